// MatrixBuffer: an owned row-major matrix without gaps, and how the results of two contenders are compared.
//
// Move-only; not synchronised. Large ones are offered to the kernel for huge pages, as the daemon's packed weights are,
// so that no contender is slower for the pages it got.
#ifndef BWRT_TESTS_BENCH_GEMM_MATRIX_BUFFER_H_
#define BWRT_TESTS_BENCH_GEMM_MATRIX_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "kernels/aligned_buffer.h"
#include "kernels/dtype.h"

namespace bwrt::bench {

class MatrixBuffer {
 public:
  // Zeros. Throws when there is no memory.
  explicit MatrixBuffer(int64_t bytes);
  // Uniform values in [-1, 1), rounded to `dtype`; the same ones for the same seed.
  static MatrixBuffer Random(kernels::DType dtype, int64_t rows, int64_t cols, uint64_t seed);

  std::byte* data() { return buffer_.data(); }
  const std::byte* data() const { return buffer_.data(); }
  int64_t bytes() const { return buffer_.size(); }

 private:
  kernels::AlignedBuffer buffer_;
};

// The largest ||got - want|| / ||want|| (Frobenius) of all 128 x 128 tiles of two [m, n] matrices: a tile that is wrong
// shows, however many are right. Infinite when any element is not a number.
double WorstTileError(kernels::DType dtype, int64_t m, int64_t n, const std::byte* got, const std::byte* want);

// What WorstTileError may be between two correct libraries. They sum in different orders, in f32, which at K = 11008
// differs by some 1e-6; and round to C's type, which for bf16 (8 bits) differs by up to 2^-8 an element.
constexpr double Tolerance(kernels::DType dtype) { return dtype == kernels::DType::kF32 ? 1e-5 : 1e-2; }

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_MATRIX_BUFFER_H_
