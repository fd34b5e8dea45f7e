#include "client/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "client/dtype.h"
#include "client/operands.h"

namespace bwrt::client {
namespace {

std::string Bytes(DType dtype, const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) AppendElement(dtype, value, &bytes);
  return bytes;
}

// [[1, 2], [3, 4]] @ [[5, 6], [7, 8]] = [[19, 22], [43, 50]], in one tile.
v1::SubmitWaveRequest Small() {
  v1::SubmitWaveRequest request;
  request.mutable_spec()->set_bm(2);
  request.mutable_spec()->set_bn(2);
  request.mutable_spec()->set_bk(2);
  request.set_m(2);
  request.set_n(2);
  request.set_k(2);
  request.mutable_a()->set_inline_(Bytes(F32, {1, 2, 3, 4}));
  request.mutable_w()->set_inline_(Bytes(F32, {5, 6, 7, 8}));
  return request;
}

using Values = std::vector<double>;

TEST(ReferenceC, MatchesHandComputation) { EXPECT_EQ(*ReferenceC(Small()), (Values{19, 22, 43, 50})); }

TEST(ReferenceC, TransposedWeights) {
  v1::SubmitWaveRequest request = Small();
  request.set_w_transposed(true);
  EXPECT_EQ(*ReferenceC(request), (Values{17, 23, 39, 53}));
}

TEST(ReferenceC, AlphaBetaBiasActivation) {
  v1::SubmitWaveRequest request = Small();
  request.set_alpha(2);
  request.set_beta(-1);
  request.mutable_c()->set_inline_(Bytes(F32, {1, 2, 3, 200}));
  request.add_bias(10);
  request.add_bias(20);
  EXPECT_EQ(*ReferenceC(request), (Values{47, 62, 93, -80}));
  request.set_activation(v1::RELU);
  EXPECT_EQ(*ReferenceC(request), (Values{47, 62, 93, 0}));
}

TEST(ReferenceC, BetaZeroIgnoresC) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_c()->set_inline_(Bytes(F32, {NAN, 1, 1, 1}));
  EXPECT_EQ(*ReferenceC(request), (Values{19, 22, 43, 50}));
}

TEST(ReferenceC, SmoothActivations) {
  v1::SubmitWaveRequest request = Small();
  request.set_alpha(0);
  request.add_bias(1);
  request.add_bias(-1);
  const auto first = [&request](v1::Activation activation) {
    request.set_activation(activation);
    return *ReferenceC(request);
  };
  EXPECT_NEAR(first(v1::SILU)[0], 0.7310585786300049, 1e-15);
  EXPECT_NEAR(first(v1::SILU)[1], -0.2689414213699951, 1e-15);
  EXPECT_NEAR(first(v1::GELU_ERF)[0], 0.8413447460685429, 1e-15);
  EXPECT_NEAR(first(v1::GELU_TANH)[0], 0.8411919906082768, 1e-15);
}

TEST(ReferenceC, Strides) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_a()->set_inline_(Bytes(F32, {1, 2, -9, 3, 4}));
  request.mutable_a()->set_row_stride(3);
  request.mutable_w()->set_inline_(Bytes(F32, {5, 6, -9, -9, 7, 8}));
  request.mutable_w()->set_row_stride(4);
  EXPECT_EQ(*ReferenceC(request), (Values{19, 22, 43, 50}));
}

TEST(ReferenceC, PartialKeepsTilesNotListed) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_spec()->set_bm(1);
  request.mutable_spec()->set_bn(1);
  request.mutable_spec()->add_tile_order()->set_m(1);
  request.mutable_c()->set_inline_(Bytes(F32, {-1, -2, -3, -4}));
  EXPECT_EQ(*ReferenceC(request), (Values{19, 22, 43, 50}));  // COMPLETE.
  request.set_coverage(v1::PARTIAL);
  EXPECT_EQ(*ReferenceC(request), (Values{-1, -2, 43, -4}));
}

TEST(ReferenceC, DropKeepsTheTails) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_spec()->set_bm(1);
  request.mutable_spec()->set_bn(3);
  EXPECT_EQ(*ReferenceC(request), (Values{19, 22, 43, 50}));  // PAD.
  request.mutable_spec()->set_tail_policy(DROP);
  EXPECT_EQ(*ReferenceC(request), (Values{0, 0, 0, 0}));
}

TEST(ReferenceC, OddShapesMatchTheDefinition) {
  v1::SubmitWaveRequest request = Small();
  const int64_t m = 7, n = 131, k = 5;
  request.set_m(m);
  request.set_n(n);
  request.set_k(k);
  request.mutable_spec()->set_dtype(BF16);
  request.mutable_a()->set_inline_(*RandomMatrix({.seed = 1, .wave = 0, .role = OperandStream::kA}, BF16, m, k));
  request.mutable_w()->set_inline_(*RandomMatrix({.seed = 1, .wave = 0, .role = OperandStream::kW}, BF16, k, n));
  const Values a = *DecodeElements(BF16, request.a().inline_());
  const Values w = *DecodeElements(BF16, request.w().inline_());
  const Values c = *ReferenceC(request);
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      double sum = 0;
      for (int64_t depth = 0; depth < k; ++depth) sum += a[row * k + depth] * w[depth * n + column];
      ASSERT_NEAR(c[row * n + column], sum, 1e-14);
    }
  }
}

TEST(ReferenceC, RefusesWhatDoesNotFit) {
  v1::SubmitWaveRequest request = Small();
  request.set_k(3);
  EXPECT_EQ(ReferenceC(request).status().code(), absl::StatusCode::kInvalidArgument);
  request = Small();
  request.mutable_a()->set_row_stride(1);
  EXPECT_FALSE(ReferenceC(request).ok());
  request.mutable_a()->set_row_stride(std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(ReferenceC(request).ok());
  request.mutable_a()->set_row_stride(-2);
  EXPECT_FALSE(ReferenceC(request).ok());
  request = Small();
  request.set_m(std::numeric_limits<int64_t>::max());
  request.set_n(std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(ReferenceC(request).ok());
  request = Small();
  request.mutable_spec()->set_bm(0);
  EXPECT_FALSE(ReferenceC(request).ok());
  request = Small();
  request.mutable_w()->set_tensor("w");
  EXPECT_FALSE(ReferenceC(request).ok());
  request = Small();
  request.add_bias(1);
  EXPECT_FALSE(ReferenceC(request).ok());
  request = Small();
  request.set_coverage(v1::PARTIAL);
  request.mutable_spec()->add_tile_order()->set_m(5);
  EXPECT_FALSE(ReferenceC(request).ok());
}

TEST(CompareTiles, FindsTheWorstTile) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_spec()->set_bm(1);
  request.mutable_spec()->set_bn(1);
  const Values reference = *ReferenceC(request);
  auto comparison = CompareTiles(request, reference, Bytes(F32, {19, 22, 43, 50}));
  ASSERT_TRUE(comparison.ok());
  EXPECT_EQ(comparison->tiles, 4);
  EXPECT_EQ(comparison->max_rel_error, 0);
  comparison = CompareTiles(request, reference, Bytes(F32, {19, 33, 43, 51}));
  EXPECT_DOUBLE_EQ(comparison->max_rel_error, 0.5);
  EXPECT_EQ(comparison->worst_m, 0);
  EXPECT_EQ(comparison->worst_n, 1);
}

TEST(CompareTiles, UsesTheFrobeniusNormOfATile) {
  const v1::SubmitWaveRequest request = Small();
  const auto comparison = CompareTiles(request, {3, 0, 0, 4}, Bytes(F32, {3, 1, 0, 4}));
  EXPECT_DOUBLE_EQ(comparison->max_rel_error, 0.2);
}

TEST(CompareTiles, TailsAndStrides) {
  v1::SubmitWaveRequest request = Small();
  request.mutable_spec()->set_bn(3);
  request.mutable_c()->set_inline_(Bytes(F32, {0, 0, 7, 0, 0}));
  request.mutable_c()->set_row_stride(3);
  const auto comparison = CompareTiles(request, *ReferenceC(request), Bytes(F32, {19, 22, 7, 43, 50}));
  ASSERT_TRUE(comparison.ok());
  EXPECT_EQ(comparison->tiles, 1);
  EXPECT_EQ(comparison->max_rel_error, 0);
}

TEST(CompareTiles, NanAndInfinityAreNeverClose) {
  const v1::SubmitWaveRequest request = Small();
  for (const float wrong : {NAN, INFINITY, -INFINITY}) {
    const auto comparison = CompareTiles(request, {19, 22, 43, 50}, Bytes(F32, {19, wrong, 43, 50}));
    EXPECT_EQ(comparison->max_rel_error, std::numeric_limits<double>::infinity());
  }
  // Where one belongs it is right.
  const auto comparison = CompareTiles(request, {19, NAN, INFINITY, 50}, Bytes(F32, {19, NAN, INFINITY, 50}));
  EXPECT_EQ(comparison->max_rel_error, 0);
}

TEST(CompareTiles, AZeroTileMustBeZero) {
  const v1::SubmitWaveRequest request = Small();
  EXPECT_EQ(CompareTiles(request, {0, 0, 0, 0}, Bytes(F32, {0, 0, 0, 0}))->max_rel_error, 0);
  EXPECT_GT(CompareTiles(request, {0, 0, 0, 0}, Bytes(F32, {0, 1e-6f, 0, 0}))->max_rel_error, 0.1);
}

TEST(CompareTiles, RefusesAnotherSize) {
  EXPECT_FALSE(CompareTiles(Small(), {1, 2, 3, 4}, Bytes(F32, {1, 2, 3})).ok());
  EXPECT_FALSE(CompareTiles(Small(), {1, 2, 3}, Bytes(F32, {1, 2, 3, 4})).ok());
}

TEST(Tolerance, FollowsTheTypes) {
  v1::SubmitWaveRequest request;
  EXPECT_EQ(Tolerance(request), 1e-5);
  request.mutable_spec()->set_dtype(BF16);
  EXPECT_EQ(Tolerance(request), 1e-2);
  request.set_c_dtype(F32);
  EXPECT_EQ(Tolerance(request), 1e-2);
}

}  // namespace
}  // namespace bwrt::client
