#include "kernels/gemm_problem.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/kernels/test_matrix.h"

namespace bwrt::kernels {
namespace {

class GemmProblemTest : public testing::Test {
 protected:
  GemmProblemTest() : a_(DType::kBF16, 3, 5, 1), w_(DType::kF32, 5, 4), c_(DType::kF32, 3, 4, 2), bias_(4) {
    w_.Fill([] { return 1.0f; });
    problem_ = {.m = 3,
                .n = 4,
                .k = 5,
                .a = a_.view(),
                .w = *PackedWeights::Pack(w_.view(), false),
                .c = c_.mutable_view(),
                .bias = bias_};
  }

  void ExpectRefused(const GemmProblem& problem) {
    EXPECT_EQ(Validate(problem).code(), absl::StatusCode::kInvalidArgument);
  }

  TestMatrix a_;
  TestMatrix w_;
  TestMatrix c_;
  std::vector<float> bias_;
  GemmProblem problem_;
};

TEST_F(GemmProblemTest, AcceptsWhatFits) {
  EXPECT_TRUE(Validate(problem_).ok());
  problem_.bias = {};
  EXPECT_TRUE(Validate(problem_).ok());
}

TEST_F(GemmProblemTest, RefusesShapesThatDisagree) {
  for (int64_t GemmProblem::*dimension : {&GemmProblem::m, &GemmProblem::n, &GemmProblem::k}) {
    for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{6}, std::numeric_limits<int64_t>::max()}) {
      GemmProblem problem = problem_;
      problem.*dimension = value;
      ExpectRefused(problem);
    }
  }
}

TEST_F(GemmProblemTest, RefusesMissingOrInvalidOperands) {
  GemmProblem problem = problem_;
  problem.w = nullptr;
  ExpectRefused(problem);
  problem = problem_;
  problem.a.data = nullptr;
  ExpectRefused(problem);
  problem = problem_;
  problem.c.row_stride = 3;
  ExpectRefused(problem);
  problem = problem_;
  problem.bias = absl::MakeConstSpan(bias_).subspan(1);
  ExpectRefused(problem);
}

}  // namespace
}  // namespace bwrt::kernels
