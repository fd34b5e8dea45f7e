#include "kernels/packed_rows.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace bwrt::kernels {

int64_t PackedRows::Bytes(int64_t m, const KChunks& chunks) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(m, chunks.packed_row(), &bytes) ||
      __builtin_mul_overflow(bytes, SizeOf(chunks.dtype()), &bytes)) {
    return std::numeric_limits<int64_t>::max();
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<PackedRows>> PackedRows::Create(const ConstMatrix& a, absl::Span<const int64_t> rows,
                                                               const KChunks& chunks, int64_t panel_rows,
                                                               AlignedBuffer& memory) {
  const int64_t m = rows.empty() ? a.rows : static_cast<int64_t>(rows.size());
  const absl::Status no_memory = absl::ResourceExhaustedError(
      absl::StrCat("no memory for a copy of A's ", m, " rows of ", chunks.packed_row(), " elements"));
  const int64_t bytes = Bytes(m, chunks);
  if (bytes == std::numeric_limits<int64_t>::max()) return no_memory;
  if (memory.size() < bytes) {
    memory = AlignedBuffer();  // Rather than to have both.
    std::optional<AlignedBuffer> more = AlignedBuffer::Allocate(bytes);
    if (!more) return no_memory;
    memory = *std::move(more);
  }
  const int64_t panels = (m - 1) / panel_rows + 1;
  std::unique_ptr<Progress[]> progress(new (std::nothrow) Progress[static_cast<std::size_t>(panels)]);
  if (progress == nullptr) return no_memory;
  std::unique_ptr<PackedRows> packed(new (std::nothrow)
                                         PackedRows(a, rows, chunks, panel_rows, memory.data(), std::move(progress)));
  if (packed == nullptr) return no_memory;
  return packed;
}

PackedRows::PackedRows(const ConstMatrix& a, absl::Span<const int64_t> rows, const KChunks& chunks, int64_t panel_rows,
                       std::byte* data, std::unique_ptr<Progress[]> progress)
    : a_(a),
      rows_(rows),
      m_(rows.empty() ? a.rows : static_cast<int64_t>(rows.size())),
      chunks_(chunks),
      panel_rows_(panel_rows),
      data_(data),
      progress_(std::move(progress)) {}

int64_t PackedRows::rows(int64_t index) const { return std::min(panel_rows_, m_ - index * panel_rows_); }

const std::byte* PackedRows::Get(int64_t index) {
  Progress& progress = progress_[static_cast<std::size_t>(index)];
  std::byte* panel = data_ + index * panel_rows_ * chunks_.packed_row() * SizeOf(chunks_.dtype());
  const auto all = static_cast<int32_t>(chunks_.count());
  int32_t packed = progress.packed.load(std::memory_order_acquire);
  if (packed == all) return panel;
  for (int32_t chunk = progress.taken.fetch_add(1, std::memory_order_relaxed); chunk < all;
       chunk = progress.taken.fetch_add(1, std::memory_order_relaxed)) {
    PackChunk(index, chunk, panel);
    packed = progress.packed.fetch_add(1, std::memory_order_acq_rel) + 1;
    if (packed == all) progress.packed.notify_all();
  }
  for (; packed != all; packed = progress.packed.load(std::memory_order_acquire)) {
    progress.packed.wait(packed, std::memory_order_acquire);
  }
  return panel;
}

void PackedRows::PackChunk(int64_t index, int64_t chunk, std::byte* panel) const {
  const int64_t size = SizeOf(chunks_.dtype());
  const int64_t count = rows(index);
  const int64_t begin = chunks_.begin(chunk);
  const int64_t length = chunks_.length(chunk);
  const int64_t stride = chunks_.RowStride(length);
  const int64_t valid = std::min(length, a_.cols - begin);
  std::byte* row = panel + count * chunk * chunks_.RowStride(chunks_.max_length()) * size;
  for (int64_t i = index * panel_rows_; i < index * panel_rows_ + count; ++i, row += stride * size) {
    const std::byte* from = a_.at(rows_.empty() ? i : rows_[static_cast<std::size_t>(i)], begin);
    if (a_.dtype == chunks_.dtype()) {
      std::memcpy(row, from, static_cast<std::size_t>(valid * size));
    } else {
      ToF32(a_.dtype, from, valid, reinterpret_cast<float*>(row));
    }
    std::fill(row + valid * size, row + length * size, std::byte{0});
  }
}

}  // namespace bwrt::kernels
