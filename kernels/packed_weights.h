#ifndef BWRT_KERNELS_PACKED_WEIGHTS_H_
#define BWRT_KERNELS_PACKED_WEIGHTS_H_

// The weight operand W of a GEMM, laid out as the tile kernels read it.
//
// Immutable and owned through shared_ptr<const>: any number of threads and waves may use one at a
// time, and it lives as long as the last of them. It holds a copy: the matrix that it was packed
// from may go once Pack has returned.
//
// 1. Its elements are KernelDType(type of W): f32, or bf16 as it is.
// 2. Element (k, n) of W is in panel n / kPanelWidth, with x = n % kPanelWidth: in f32 at
//    [k][x] of [padded_k()][kPanelWidth]; in bf16 at [k / 2][x][k % 2] of
//    [padded_k() / 2][kPanelWidth][2], as instructions that add two products at once want it.
// 3. Panels follow each other without gaps; each starts on a 64-byte boundary.
// 4. Rows from k() to padded_k(), and columns of the last panel beyond n(), are zero.

#include <cstddef>
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
  // K is padded to a multiple of this many bytes, which keeps the set of JIT kernels small.
  static constexpr int64_t kKMultipleBytes = 32;
  static constexpr int64_t KMultiple(DType dtype) { return kKMultipleBytes / SizeOf(dtype); }

  // Packs `w`, which is [K, N], or [N, K] when `transposed`. Errors: INVALID_ARGUMENT when
  // IsValid(w) is false, RESOURCE_EXHAUSTED when PackedBytes(k, n, type) is not to be had. Takes
  // about the time of one copy of W.
  static absl::StatusOr<std::shared_ptr<const PackedWeights>> Pack(const ConstMatrix& w, bool transposed);

  // Bytes that a packed [k, n] matrix of type `dtype` holds: ceil(n / 64) * 64 columns of K, padded, in
  // KernelDType(dtype). INT64_MAX where that does not fit in int64_t, 0 where k or n is not positive.
  static int64_t PackedBytes(int64_t k, int64_t n, DType dtype);

  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  int64_t k() const { return k_; }
  int64_t n() const { return n_; }
  DType dtype() const { return dtype_; }  // kF32 or kBF16.
  int64_t padded_k() const { return padded_k_; }
  int64_t panels() const { return panels_; }
  int64_t bytes() const { return data_.size(); }

  // Rows from k on (an even number) of panel j of 0 .. panels() - 1.
  const std::byte* panel(int64_t j, int64_t k = 0) const {
    return data_.data() + (j * padded_k_ + k) * kPanelWidth * SizeOf(dtype_);
  }

  // Element (k, n), with k < padded_k() and n < panels() * kPanelWidth.
  float At(int64_t k, int64_t n) const;

 private:
  PackedWeights(int64_t k, int64_t n, DType dtype, AlignedBuffer data);

  const int64_t k_;
  const int64_t n_;
  const DType dtype_;
  const int64_t padded_k_;
  const int64_t panels_;
  AlignedBuffer data_;  // Written by Pack only.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_PACKED_WEIGHTS_H_
