// What a scrape says of the devices' readings.
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <map>
#include <string>

#include "server/runtime_metrics.h"
#include "tests/runtime/runtime_fixture.h"

namespace bwrt::server {
namespace {

using runtime::Reading;
using runtime::Source;

class RuntimeGaugesTest : public runtime::RuntimeFixture {
 protected:
  // After one wave with these readings: the family's values by their labels, "device,source".
  std::map<std::string, double> Ratios(const std::string& name, const runtime::Readings& readings,
                                       const runtime::DeviceCounters& counters = {}) {
    Create();
    device_->SetReadings(readings);
    device_->SetCounters(counters);
    EXPECT_TRUE(RunWave(Wave("a")).ok());
    std::map<std::string, double> ratios;
    for (const prometheus::MetricFamily& family : RuntimeGauges(runtime_.get()).Collect()) {
      if (family.name != name) continue;
      EXPECT_FALSE(family.metric.empty());
      for (const prometheus::ClientMetric& metric : family.metric) {
        std::string labels;
        for (const auto& label : metric.label) labels += (labels.empty() ? "" : ",") + label.name + "=" + label.value;
        EXPECT_TRUE(ratios.emplace(labels, metric.gauge.value).second) << labels << " twice";
      }
    }
    return ratios;
  }
  using Values = std::map<std::string, double>;
};

TEST_F(RuntimeGaugesTest, HardwareAndModelAreTwoSeries) {
  runtime::Readings readings;
  readings.l2_hit = Reading{0.25, Source::kModel};
  readings.l2_hit_hardware = Reading{0.5, Source::kHardware};
  EXPECT_EQ(Ratios("bwrt_l2_hit_ratio", readings),
            (Values{{"device=fake,source=model", 0.25}, {"device=fake,source=hardware", 0.5}}));
}

TEST_F(RuntimeGaugesTest, WithoutCountersThereIsOnlyTheModel) {
  runtime::Readings readings;
  readings.l2_hit = Reading{0, Source::kModel};
  EXPECT_EQ(Ratios("bwrt_l2_hit_ratio", readings), (Values{{"device=fake,source=model", 0}}));
}

TEST_F(RuntimeGaugesTest, WithoutReadingsThereIsNoFamily) {
  EXPECT_EQ(Ratios("bwrt_l2_hit_ratio", {}), Values());
  EXPECT_EQ(Ratios("bwrt_llc_hit_ratio", {}), Values());
}

TEST_F(RuntimeGaugesTest, TheLastLevelIsAFamilyOfItsOwn) {
  runtime::Readings readings;
  readings.llc_hit_hardware = Reading{0.75, Source::kHardware};
  EXPECT_EQ(Ratios("bwrt_llc_hit_ratio", readings), (Values{{"device=fake,source=hardware", 0.75}}));
  EXPECT_EQ(Ratios("bwrt_l2_hit_ratio", readings), Values());
}

TEST_F(RuntimeGaugesTest, CountersOfTheDeviceStandBesideTheKernels) {
  runtime::Readings readings;
  readings.wgmma_active = Reading{0.75, Source::kKernel};
  const runtime::DeviceCounters counters = {.wgmma_active = 0.5, .l2_hit = 0.25, .dram_throughput = 0.125};
  EXPECT_EQ(Ratios("bwrt_wgmma_active_ratio", readings, counters),
            (Values{{"device=fake,source=kernel", 0.75}, {"device=fake,source=hardware", 0.5}}));
  EXPECT_EQ(Ratios("bwrt_l2_hit_ratio", readings, counters), (Values{{"device=fake,source=hardware", 0.25}}));
  EXPECT_EQ(Ratios("bwrt_dram_throughput_ratio", readings, counters), (Values{{"device=fake,source=hardware", 0.125}}));
  EXPECT_EQ(Ratios("bwrt_sm_active_ratio", readings, counters), Values()) << "not counted";
}

}  // namespace
}  // namespace bwrt::server
