#include "runtime/device_counters.h"

#include <gtest/gtest.h>

namespace bwrt::runtime {
namespace {

Readings OfKernel() {
  Readings readings;
  readings.wgmma_active = Reading{0.5, Source::kKernel};
  readings.tma_occ = Reading{0.25, Source::kKernel};
  readings.l2_hit = Reading{0.75, Source::kModel};
  readings.l2_hit_hardware = Reading{0.125, Source::kHardware};
  return readings;
}

TEST(BestOfTest, WithoutCountersTheReadingsStay) { EXPECT_EQ(BestOf(OfKernel(), {}), OfKernel()); }

TEST(BestOfTest, CountersComeFirstWhereTheyHaveARatio) {
  Readings expected = OfKernel();
  expected.wgmma_active = Reading{0.875, Source::kHardware};
  EXPECT_EQ(BestOf(OfKernel(), {.wgmma_active = 0.875, .sm_active = 1, .dram_throughput = 1}), expected);
  expected.l2_hit = Reading{0.0625, Source::kHardware};
  EXPECT_EQ(BestOf(OfKernel(), {.wgmma_active = 0.875, .l2_hit = 0.0625}), expected);
}

TEST(BestOfTest, CountersAloneWillDo) {
  Readings expected;
  expected.l2_hit = Reading{0, Source::kHardware};
  EXPECT_EQ(BestOf({}, {.l2_hit = 0}), expected) << "0 is a value";
}

}  // namespace
}  // namespace bwrt::runtime
