#include "kernels/row_panels.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/micro_kernels.h"

namespace bwrt::kernels {

absl::StatusOr<RowPanels> RowPanels::Create(const ConstMatrix& a, const KChunks& chunks, int64_t max_rows,
                                            int64_t cache_bytes) {
  constexpr int64_t kBlock = MicroKernels::kMaxRows;
  const int64_t capacity = max_rows <= kBlock ? max_rows : max_rows + (kBlock - max_rows % kBlock) % kBlock;
  int64_t panel = 0;
  const bool fits = !__builtin_mul_overflow(capacity, chunks.packed_row(), &panel);
  std::optional<AlignedBuffer> data;
  int64_t slots = 1;
  if (fits) {
    const int64_t tile_rows = (a.rows - 1) / max_rows + 1;
    slots = std::clamp(cache_bytes / static_cast<int64_t>(sizeof(float)) / panel, int64_t{1},
                       std::min(tile_rows, kMaxSlots));
    data = AlignedBuffer::Allocate(slots * panel);
  }
  if (!data) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a row panel of ", capacity, " x ", chunks.packed_row(), " f32: use a smaller bm"));
  }
  return RowPanels(a, chunks, max_rows, capacity, slots, *std::move(data));
}

RowPanels::RowPanels(const ConstMatrix& a, const KChunks& chunks, int64_t max_rows, int64_t rows_capacity,
                     int64_t slot_count, AlignedBuffer data)
    : a_(a),
      chunks_(chunks),
      max_rows_(max_rows),
      rows_capacity_(rows_capacity),
      slot_count_(slot_count),
      data_(std::move(data)) {}

const float* RowPanels::Get(int64_t row0, int64_t rows, int64_t padding) {
  const int64_t index = row0 / max_rows_ % slot_count_;
  Slot& slot = slots_[static_cast<std::size_t>(index)];
  float* panel = data_.data() + index * rows_capacity_ * chunks_.packed_row();
  if (slot.row0 != row0 || slot.rows != rows || slot.padding != padding) {
    Pack(row0, rows, padding, panel);
    slot = {row0, rows, padding};
  }
  return panel;
}

void RowPanels::Pack(int64_t row0, int64_t rows, int64_t padding, float* panel) const {
  for (int64_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    const int64_t begin = chunks_.begin(chunk);
    const int64_t length = chunks_.length(chunk);
    const int64_t stride = KChunks::RowStride(length);
    const int64_t valid = std::min(length, a_.cols - begin);
    float* row = panel + ChunkOffset(chunk);
    for (int64_t i = 0; i < rows; ++i, row += stride) {
      ToF32(a_.dtype, a_.at(row0 + i, begin), valid, row);
      std::fill(row + valid, row + length, 0.0f);
    }
    std::fill(row, row + padding * stride, 0.0f);
  }
}

}  // namespace bwrt::kernels
