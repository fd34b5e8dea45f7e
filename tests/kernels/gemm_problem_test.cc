#include "kernels/gemm_problem.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "kernels/kernel_dtype.h"
#include "tests/kernels/test_matrix.h"

namespace bwrt::kernels {
namespace {

class GemmProblemTest : public testing::Test {
 protected:
  GemmProblemTest() : a_(DType::kF16, 3, 5, 1), w_(DType::kF32, 5, 4), c_(DType::kF32, 3, 4, 2), bias_(4) {
    w_.Fill([] { return 1.0f; });
    problem_.m = 3;
    problem_.n = 4;
    problem_.k = 5;
    problem_.a = a_.view();
    problem_.w = *PackedWeights::Pack(w_.view(), false);
    problem_.c = c_.mutable_view();
    problem_.bias = bias_;
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

TEST_F(GemmProblemTest, RefusesRowsThatAreNotThere) {
  const std::vector<int64_t> good = {2, 0, 1};
  problem_.rows = good;
  EXPECT_TRUE(Validate(problem_).ok());
  for (const std::vector<int64_t>& bad :
       std::vector<std::vector<int64_t>>{{0, 1}, {0, 1, 2, 0}, {0, 1, 3}, {-1, 1, 2}}) {
    GemmProblem problem = problem_;
    problem.rows = bad;
    ExpectRefused(problem);
  }
}

TEST_F(GemmProblemTest, RefusesWeightsPackedForAnotherType) {
  TestMatrix a(DType::kBF16, 3, 5);
  problem_.a = a.view();
  // Where bf16 is multiplied in f32, the panels are the same.
  EXPECT_EQ(Validate(problem_).ok(), KernelDType(DType::kBF16) == DType::kF32);
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
