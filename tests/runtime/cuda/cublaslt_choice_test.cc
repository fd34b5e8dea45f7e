#include "runtime/cuda/cublaslt_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

constexpr uint32_t kTile = 24;    // 256 x 128
constexpr uint16_t kCluster = 5;  // 1 x 2
constexpr uint32_t k64Auto = 35;
constexpr uint32_t k64x4 = 16;

class CublasltChoiceTest : public ::testing::Test {
 protected:
  CublasltChoiceTest() {
    gpu_.recommended = {{66, 20, k64Auto, 3, 0}, {77, 24, k64Auto, 3, 0}};
    gpu_.stages = {13, k64Auto, k64x4};
    LtProblem problem;
    EXPECT_TRUE(driver_.CreateMatmul(problem, &matmul_).ok());
  }
  std::optional<LtConfig> Choose(LtWish wish = {{256, 128}, {1, 2}, {64, 4}}) {
    std::optional<LtAlgorithm> algorithm;
    const CudaStatus status = ChooseAlgorithm(*matmul_, wish, &algorithm);
    EXPECT_TRUE(status.ok()) << status.text();
    if (!algorithm) return std::nullopt;
    return algorithm->config;
  }

  FakeGpu gpu_;
  FakeCudaDriver driver_{&gpu_};
  std::unique_ptr<LtMatmul> matmul_;
};

TEST_F(CublasltChoiceTest, EverythingAsWished) {
  gpu_.legal = [](const LtConfig&) { return true; };
  EXPECT_EQ(Choose(), (LtConfig{66, kTile, k64x4, kCluster, 0}));
}

TEST_F(CublasltChoiceTest, TheStagesGoFirst) {
  gpu_.legal = [](const LtConfig& c) { return c.stages != k64x4; };
  EXPECT_EQ(Choose(), (LtConfig{66, kTile, k64Auto, kCluster, 0})) << "the same K step, as many as fit";
}

TEST_F(CublasltChoiceTest, AnotherAlgorithmBeforeAnotherTile) {
  gpu_.legal = [](const LtConfig& c) { return c.id == 77 && c.stages == 0; };
  EXPECT_EQ(Choose(), (LtConfig{77, kTile, 0, kCluster, 0}));
}

TEST_F(CublasltChoiceTest, TheClusterGoesBeforeTheTile) {
  gpu_.legal = [](const LtConfig& c) { return c.cluster == 0; };
  EXPECT_EQ(Choose(), (LtConfig{66, kTile, k64x4, 0, 0}));
}

TEST_F(CublasltChoiceTest, ElseTheLibrarysOwn) {
  gpu_.legal = [](const LtConfig&) { return false; };
  EXPECT_EQ(Choose(), gpu_.recommended[0]);
  EXPECT_EQ(Choose({{2, 2}, {1, 1}, {2, 1}}), gpu_.recommended[0]) << "a tile that the library does not know";
}

TEST_F(CublasltChoiceTest, NothingThatIsNotRecommended) {
  gpu_.recommended.clear();
  gpu_.legal = [](const LtConfig&) { return true; };
  EXPECT_EQ(Choose(), std::nullopt);
}

TEST_F(CublasltChoiceTest, NothingThatNeedsMoreWorkspace) {
  gpu_.workspace = kLtWorkspace + 1;
  EXPECT_EQ(Choose(), std::nullopt);
  gpu_.workspace = kLtWorkspace;
  EXPECT_NE(Choose(), std::nullopt);
}

}  // namespace
}  // namespace bwrt::cuda
