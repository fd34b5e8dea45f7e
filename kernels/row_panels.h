#ifndef BWRT_KERNELS_ROW_PANELS_H_
#define BWRT_KERNELS_ROW_PANELS_H_

// Tile rows of A, converted to f32 and packed for the micro-kernels, kept in a direct-mapped cache.
//
// Used by one thread. Owns the packed copies; A belongs to the caller, outlives this and does not
// change.
//
// 1. Chunk c of a panel is the matrix [rows_capacity()][KChunks::RowStride(length of c)], from
//    ChunkOffset(c) on.
// 2. Columns of A beyond k, up to the padded K, are zero.
// 3. Get does not allocate.

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/aligned_buffer.h"
#include "kernels/k_chunks.h"
#include "kernels/matrix.h"

namespace bwrt::kernels {

class RowPanels {
 public:
  static constexpr int64_t kMaxSlots = 256;

  // Panels of at most `max_rows` rows of `a` (which is [m, k]). There are as many slots as tile
  // rows, but no more than kMaxSlots or than fit in `cache_bytes`, and at least one.
  // RESOURCE_EXHAUSTED when there is no memory.
  static absl::StatusOr<RowPanels> Create(const ConstMatrix& a, const KChunks& chunks, int64_t max_rows,
                                          int64_t cache_bytes);

  // The packed rows row0 .. row0 + rows - 1, followed by `padding` zero rows; rows + padding <=
  // rows_capacity(). Valid until the next call.
  const float* Get(int64_t row0, int64_t rows, int64_t padding);

  // Elements from the start of a panel to the start of a chunk.
  int64_t ChunkOffset(int64_t chunk) const { return rows_capacity_ * chunk * KChunks::RowStride(KChunks::kMaxLength); }

  // max_rows, rounded up to whole blocks of MicroKernels::kMaxRows where it is larger than one.
  int64_t rows_capacity() const { return rows_capacity_; }
  int64_t slots() const { return slot_count_; }

 private:
  struct Slot {
    int64_t row0 = -1;
    int64_t rows = 0;
    int64_t padding = 0;
  };

  RowPanels(const ConstMatrix& a, const KChunks& chunks, int64_t max_rows, int64_t rows_capacity, int64_t slot_count,
            AlignedBuffer data);

  void Pack(int64_t row0, int64_t rows, int64_t padding, float* panel) const;

  ConstMatrix a_;
  KChunks chunks_;
  int64_t max_rows_;
  int64_t rows_capacity_;
  int64_t slot_count_;
  std::array<Slot, kMaxSlots> slots_;
  AlignedBuffer data_;  // One panel for each slot.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_ROW_PANELS_H_
