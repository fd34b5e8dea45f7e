// OpenblasGemm: the contender that is OpenBLAS's cblas_sgemm, which packs its operands anew in every call. f32 only:
// Debian builds it without its bf16 product.
#ifndef BWRT_TESTS_BENCH_GEMM_OPENBLAS_GEMM_H_
#define BWRT_TESTS_BENCH_GEMM_OPENBLAS_GEMM_H_

#include <string>
#include <vector>

#include "tests/bench/gemm/contender.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/matrix_buffer.h"

namespace bwrt::bench {

// Of the whole process.
void SetOpenblasThreads(int threads);

// Version and whose kernels it chose, such as "0.3.21 SkylakeX".
std::string OpenblasVersion();

class OpenblasGemm final : public Contender {
 public:
  // `a` [m, k] is read in place by every Multiply; `w` [k, n] is copied. The shape's type is f32.
  OpenblasGemm(const GemmShape& shape, const std::byte* a, const std::byte* w, int copies);

  void Multiply(int copy) override;
  const std::byte* c() const override { return c_.data(); }

 private:
  const GemmShape shape_;
  const float* const a_;
  std::vector<MatrixBuffer> weights_;
  MatrixBuffer c_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_OPENBLAS_GEMM_H_
