#include "runtime/readings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Metrics(const Readings& readings) {
  std::vector<std::string> metrics;
  for (const Advice& advice : Advise(readings)) metrics.push_back(advice.metric);
  return metrics;
}

Readings Good() {
  return {.wgmma_active = Reading{0.9}, .tma_occ = Reading{0.5}, .l2_hit = Reading{0.8}, .ring_occ = Reading{0.45}};
}

TEST(ReadingsTest, SourcesHaveNames) {
  EXPECT_EQ(Name(Source::kHardware), "hardware");
  EXPECT_EQ(Name(Source::kKernel), "kernel");
  EXPECT_EQ(Name(Source::kModel), "model");
}

TEST(AdviceTest, GoodReadingsNeedNone) { EXPECT_THAT(Metrics(Good()), IsEmpty()); }

TEST(AdviceTest, AbsentReadingsAreNotLow) { EXPECT_THAT(Metrics({}), IsEmpty()); }

TEST(AdviceTest, EachThresholdIsExclusive) {
  struct Case {
    std::optional<Reading> Readings::*reading;
    double threshold;
    double low;
    const char* metric;
    const char* text;
  };
  const Case cases[] = {
      {&Readings::wgmma_active, kLowWgmmaActive, 0.699, "wgmma_active", "larger bm or bn"},
      {&Readings::tma_occ, kLowTmaOcc, 0.299, "tma_occ", "add prefetch"},
      {&Readings::l2_hit, kLowL2Hit, 0.599, "l2_hit", "swizzle"},
      {&Readings::ring_occ, kRingLow, 0.299, "ring_occ", "below 30 %"},
      {&Readings::ring_occ, kRingHigh, 0.601, "ring_occ", "above 60 %"},
  };
  for (const Case& c : cases) {
    Readings readings = Good();
    readings.*c.reading = Reading{c.threshold};
    EXPECT_THAT(Metrics(readings), IsEmpty()) << c.metric << " at its threshold";
    readings.*c.reading = Reading{c.low};
    const std::vector<Advice> advice = Advise(readings);
    ASSERT_EQ(advice.size(), 1u) << c.metric;
    EXPECT_EQ(advice[0].metric, c.metric);
    EXPECT_EQ(advice[0].ratio, c.low);
    EXPECT_THAT(advice[0].text, HasSubstr(c.text));
  }
}

TEST(AdviceTest, ZeroIsLow) {
  EXPECT_THAT(
      Metrics({.wgmma_active = Reading{0}, .tma_occ = Reading{0}, .l2_hit = Reading{0}, .ring_occ = Reading{0}}),
      ElementsAre("wgmma_active", "tma_occ", "l2_hit", "ring_occ"));
}

}  // namespace
}  // namespace bwrt::runtime
