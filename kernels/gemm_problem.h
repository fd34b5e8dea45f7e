#ifndef BWRT_KERNELS_GEMM_PROBLEM_H_
#define BWRT_KERNELS_GEMM_PROBLEM_H_

// One GEMM: C = activation(alpha * A @ W + beta * C + bias), with A [m, k], W [k, n], C [m, n],
// accumulated in f32.
//
// A value that shares ownership of the packed weights and views everything else: A, C, rows and bias
// belong to the caller, who keeps them until the last tile has run. All but C are only read; C
// must not overlap them.
//
// 1. C holds its start content (what the client supplied, or zeros). It is read only where beta !=
//    0: with beta == 0 a NaN in it does not leak into the result.
// 2. Zero padding of K never meets an infinity or NaN of the operands: both A and W are padded.

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/activation.h"
#include "kernels/matrix.h"
#include "kernels/packed_weights.h"

namespace bwrt::kernels {

struct GemmProblem {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  ConstMatrix a{};
  std::shared_ptr<const PackedWeights> w{};
  MutableMatrix c{};
  // Row i of the problem is row rows[i] of A and of C; empty: row i.
  absl::Span<const int64_t> rows{};
  float alpha = 1.0f;
  float beta = 0.0f;
  absl::Span<const float> bias{};  // Empty, or n values, one for each column.
  Activation activation = Activation::kIdentity;
};

// INVALID_ARGUMENT, naming what is wrong, unless the views are valid and the shapes agree: a is m x
// k, w is k x n and packed in the type that a is multiplied in, c is m x n, rows is empty or has m values in
// [0, m), and bias is empty or has n values.
absl::Status Validate(const GemmProblem& problem);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_GEMM_PROBLEM_H_
