// What the parts of the benchmark decide before and after they measure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/bench/gemm/case_bench.h"
#include "tests/bench/gemm/peak.h"
#include "tests/bench/gemm/traversal_bench.h"

namespace bwrt::bench {
namespace {

using kernels::DType;
constexpr int64_t kMiB = int64_t{1} << 20;

TEST(PartsTest, CopiesOfTheWeightsAreThreeTimesTheCache) {
  EXPECT_EQ(WeightCopies(64 * kMiB, 32 * kMiB), 2);
  EXPECT_EQ(WeightCopies(32 * kMiB, 32 * kMiB), 3);
  EXPECT_EQ(WeightCopies(kMiB, 32 * kMiB), 96);
  // At least two, and no more than 1 GiB.
  EXPECT_EQ(WeightCopies(1024 * kMiB, 32 * kMiB), 2);
  EXPECT_EQ(WeightCopies(64 * kMiB, 1024 * kMiB), 16);
}

TEST(PartsTest, OfTheShapesForTraversalsOneFitsTheCacheAndTheOthersWeightsDoNot) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t cache : {4 * kMiB, 32 * kMiB}) {
      const auto shapes = TraversalShapes(dtype, cache);
      ASSERT_EQ(shapes.size(), 2);
      EXPECT_LE(shapes[0].bytes(), cache);
      EXPECT_GE(shapes[0].bytes(), cache / 2);
      EXPECT_GE(shapes[1].weight_bytes(), cache * 3 / 2);
      for (const GemmShape& shape : shapes) {
        for (const int64_t dimension : {shape.m, shape.n, shape.k}) EXPECT_EQ(dimension % 128, 0) << shape.name();
      }
    }
  }
}

TEST(PartsTest, AModelNamesTheFasterTraversalByMoreHits) {
  EXPECT_EQ(NamesFaster(1.2, 0.9, 0.5), true);
  EXPECT_EQ(NamesFaster(1.2, 0.5, 0.9), false);
  EXPECT_EQ(NamesFaster(0.8, 0.5, 0.9), true);
  EXPECT_EQ(NamesFaster(0.8, 0.9, 0.5), false);
  // One that sees no difference names none.
  EXPECT_EQ(NamesFaster(1.2, 0.5, 0.5), false);
  EXPECT_EQ(NamesFaster(0.97, 0.5, 0.9), "within 5 %");
}

TEST(PartsTest, APeakIsOneThatAProcessorCanHave) {
  const auto peaks = MeasurePeaks(/*threads=*/1, /*seconds=*/0.01, /*repeats=*/2);
  for (const PeakRate& peak : peaks) {
    // From a slow clock shared with others to 128 operations at 8 GHz.
    EXPECT_GT(peak.gflops, 0.1) << peak.instructions;
    EXPECT_LT(peak.gflops, 1024) << peak.instructions;
  }
}

}  // namespace
}  // namespace bwrt::bench
