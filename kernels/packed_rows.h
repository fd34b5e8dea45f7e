#ifndef BWRT_KERNELS_PACKED_ROWS_H_
#define BWRT_KERNELS_PACKED_ROWS_H_

// The rows of A in the micro-kernels' type and layout, packed tile row by tile row when a tile first
// needs them: for an A that the kernels can't read where it lies (another type, rows in another
// order, a K to be padded).
//
// Shared by the threads that run a wave's tiles: Get may be called by any number of them at a time,
// and those that want the same panel pack it together. A, the row map and the memory belong to the
// caller, outlive this and do not change.
//
// 1. A panel of r rows is packed once. Its chunk c is the matrix [r][RowStride(length of c)], from
//    r * c * RowStride(max_length) elements on.
// 2. Columns of A beyond k, up to the padded K, are zero.
// 3. Get does not allocate. It waits only for threads that are packing the same panel.

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/aligned_buffer.h"
#include "kernels/k_chunks.h"
#include "kernels/matrix.h"

namespace bwrt::kernels {

class PackedRows {
 public:
  // Panels of `panel_rows` rows; row i of the packed matrix is row rows[i] of `a`, or row i where `rows`
  // is empty. `memory` is grown where it is too small. RESOURCE_EXHAUSTED when there is none.
  static absl::StatusOr<std::unique_ptr<PackedRows>> Create(const ConstMatrix& a, absl::Span<const int64_t> rows,
                                                            const KChunks& chunks, int64_t panel_rows,
                                                            AlignedBuffer& memory);

  // Bytes of memory that Create wants for `m` rows; INT64_MAX where that does not fit in int64_t.
  static int64_t Bytes(int64_t m, const KChunks& chunks);

  // Panel `index`, packed.
  const std::byte* Get(int64_t index);

  // Rows of panel `index`.
  int64_t rows(int64_t index) const;

 private:
  // How far a panel is, in chunks of K.
  struct Progress {
    std::atomic<int32_t> taken{0};
    std::atomic<int32_t> packed{0};
  };

  PackedRows(const ConstMatrix& a, absl::Span<const int64_t> rows, const KChunks& chunks, int64_t panel_rows,
             std::byte* data, std::unique_ptr<Progress[]> progress);

  void PackChunk(int64_t index, int64_t chunk, std::byte* panel) const;

  const ConstMatrix a_;
  const absl::Span<const int64_t> rows_;
  const int64_t m_;
  const KChunks chunks_;
  const int64_t panel_rows_;
  std::byte* const data_;
  const std::unique_ptr<Progress[]> progress_;  // By panel.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_PACKED_ROWS_H_
