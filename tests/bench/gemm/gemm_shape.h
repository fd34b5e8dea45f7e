// GemmShape: one product C = A @ W of the benchmark, with A [m, k], W [k, n] and C [m, n], all of one type. A value.
#ifndef BWRT_TESTS_BENCH_GEMM_GEMM_SHAPE_H_
#define BWRT_TESTS_BENCH_GEMM_GEMM_SHAPE_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"

namespace bwrt::bench {

struct GemmShape {
  kernels::DType dtype = kernels::DType::kF32;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;

  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
  int64_t weight_bytes() const { return k * n * kernels::SizeOf(dtype); }
  // What the product has to touch: A, W and C once each.
  int64_t bytes() const { return (m * k + k * n + m * n) * kernels::SizeOf(dtype); }
  // Such as "bf16/128/11008x4096": dtype/M/NxK.
  std::string name() const { return absl::StrCat(kernels::Name(dtype), "/", m, "/", n, "x", k); }
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_GEMM_SHAPE_H_
