#ifndef BWRT_KERNELS_PACKED_WEIGHTS_H_
#define BWRT_KERNELS_PACKED_WEIGHTS_H_

// The weight operand W of a GEMM, converted to f32 and laid out as the tile kernels read it.
//
// Immutable and owned through shared_ptr<const>: any number of threads and waves may use one at a
// time, and it lives as long as the last of them. It holds a copy: the matrix that it was packed
// from may go once Pack has returned.
//
// 1. Element (k, n) of W is at `panel(n / kPanelWidth)[k * kPanelWidth + n % kPanelWidth]`.
// 2. Panels follow each other without gaps; each has padded_k() rows and starts on a 64-byte
//    boundary.
// 3. Rows from k() to padded_k(), and columns of the last panel beyond n(), are zero.

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/aligned_buffer.h"
#include "kernels/matrix.h"

namespace bwrt::kernels {

class PackedWeights {
 public:
  // Columns of a panel: four AVX-512 registers, and a good width from 1 row of A upwards.
  static constexpr int64_t kPanelWidth = 64;
  // K is padded to a multiple of this, which keeps the set of JIT kernels small.
  static constexpr int64_t kKMultiple = 8;

  // Packs `w`, which is [K, N], or [N, K] when `transposed`. Errors: INVALID_ARGUMENT when
  // IsValid(w) is false, RESOURCE_EXHAUSTED when PackedBytes(k, n) is not to be had. Takes about
  // the time of one copy of W.
  static absl::StatusOr<std::shared_ptr<const PackedWeights>> Pack(const ConstMatrix& w, bool transposed);

  // Bytes that a packed [k, n] matrix holds: 4 * ceil(n / 64) * 64 * ceil(k / 8) * 8. INT64_MAX
  // where that does not fit in int64_t, 0 where k or n is not positive.
  static int64_t PackedBytes(int64_t k, int64_t n);

  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  int64_t k() const { return k_; }
  int64_t n() const { return n_; }
  int64_t padded_k() const { return padded_k_; }
  int64_t panels() const { return panels_; }
  int64_t bytes() const { return data_.size() * int64_t{sizeof(float)}; }

  // Panel j of 0 .. panels() - 1, as [padded_k()][kPanelWidth].
  const float* panel(int64_t j) const { return data_.data() + j * padded_k_ * kPanelWidth; }

 private:
  PackedWeights(int64_t k, int64_t n, AlignedBuffer data);

  const int64_t k_;
  const int64_t n_;
  const int64_t padded_k_;
  const int64_t panels_;
  AlignedBuffer data_;  // Written by Pack only.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_PACKED_WEIGHTS_H_
