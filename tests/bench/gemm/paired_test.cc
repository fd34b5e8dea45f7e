#include "tests/bench/gemm/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

namespace bwrt::bench {
namespace {

using ::testing::ElementsAre;

std::vector<double> OneTo(int n) {
  std::vector<double> samples(static_cast<size_t>(n));
  std::iota(samples.begin(), samples.end(), 1);
  return samples;
}

// The ranks are those of the tables of the sign test.
TEST(PairedTest, TheIntervalOfTheMedianHasTheRanksOfTheSignTest) {
  for (const auto& [n, low, high] : {std::tuple(6, 1, 6), std::tuple(9, 2, 8), std::tuple(15, 4, 12),
                                     std::tuple(20, 6, 15), std::tuple(21, 6, 16)}) {
    const Interval interval = MedianInterval95(OneTo(n));
    EXPECT_EQ(interval.low, low) << n;
    EXPECT_EQ(interval.high, high) << n;
  }
}

TEST(PairedTest, FewSamplesHaveTheirRange) {
  const Interval interval = MedianInterval95({3, 1, 2});
  EXPECT_EQ(interval.low, 1);
  EXPECT_EQ(interval.high, 3);
}

TEST(PairedTest, OneOutlierDoesNotMoveTheInterval) {
  std::vector<double> samples = OneTo(15);
  samples[14] = 1e9;
  EXPECT_EQ(MedianInterval95(samples).high, 12);
}

TEST(PairedTest, MeansAndRatios) {
  EXPECT_DOUBLE_EQ(GeometricMean({0.5, 2}), 1);
  EXPECT_THAT(PairedRatios({1, 6}, {2, 3}), ElementsAre(0.5, 2));
  EXPECT_THROW(PairedRatios({1}, {}), std::runtime_error);
}

}  // namespace
}  // namespace bwrt::bench
