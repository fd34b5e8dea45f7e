#include "server/services/sample_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bwrt::server {
namespace {

using runtime::Reading;
using runtime::Source;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

runtime::Runtime::DeviceSample SampleOf(size_t waves) {
  runtime::Runtime::DeviceSample sample;
  sample.device = "cuda:0";
  sample.sample.waves = waves;
  sample.sample.compute = std::chrono::milliseconds(1500);
  return sample;
}

std::vector<std::string> AdviceIn(const v1::SampleResponse& response) {
  std::vector<std::string> metrics;
  for (const v1::Advice& advice : response.advice()) metrics.push_back(advice.metric());
  return metrics;
}

TEST(SampleCodecTest, CountersStandBesideTheKernels) {
  runtime::Runtime::DeviceSample sample = SampleOf(3);
  sample.sample.readings.wgmma_active = Reading{0.75, Source::kKernel};
  sample.counters = {.wgmma_active = 0.875, .l2_hit = 0.625, .sm_active = 0.5, .dram_throughput = 0.25};
  v1::SampleResponse out;
  EncodeSample(sample, &out);
  EXPECT_EQ(out.device(), "cuda:0");
  EXPECT_EQ(out.waves(), 3u);
  EXPECT_EQ(out.compute_seconds(), 1.5);
  EXPECT_EQ(out.readings().wgmma_active().ratio(), 0.75);
  EXPECT_EQ(out.readings().wgmma_active().source(), v1::KERNEL);
  EXPECT_EQ(out.readings().wgmma_active_hardware().ratio(), 0.875);
  EXPECT_EQ(out.readings().wgmma_active_hardware().source(), v1::HARDWARE);
  EXPECT_EQ(out.readings().l2_hit_hardware().ratio(), 0.625);
  EXPECT_EQ(out.readings().l2_hit_hardware().source(), v1::HARDWARE);
  EXPECT_EQ(out.readings().sm_active().ratio(), 0.5);
  EXPECT_EQ(out.readings().sm_active().source(), v1::HARDWARE);
  EXPECT_EQ(out.readings().dram_throughput().ratio(), 0.25);
  EXPECT_EQ(out.readings().dram_throughput().source(), v1::HARDWARE);
  EXPECT_FALSE(out.readings().has_l2_hit()) << "the kernel counts none";
}

TEST(SampleCodecTest, CountersThatFailedAreAbsent) {
  runtime::Runtime::DeviceSample sample = SampleOf(3);
  sample.counters.text = "none: hardware busy";
  v1::SampleResponse out;
  EncodeSample(sample, &out);
  EXPECT_FALSE(out.readings().has_wgmma_active_hardware());
  EXPECT_FALSE(out.readings().has_l2_hit_hardware());
  EXPECT_FALSE(out.readings().has_sm_active());
  EXPECT_FALSE(out.readings().has_dram_throughput());
}

TEST(SampleCodecTest, AdviceIsDrawnFromTheBestSource) {
  runtime::Runtime::DeviceSample sample = SampleOf(3);
  sample.sample.readings.wgmma_active = Reading{0.2, Source::kKernel};
  sample.sample.readings.l2_hit = Reading{0.9, Source::kModel};
  v1::SampleResponse kernel;
  EncodeSample(sample, &kernel);
  EXPECT_THAT(AdviceIn(kernel), ElementsAre("wgmma_active"));
  sample.counters = {.wgmma_active = 0.9, .l2_hit = 0.125};
  v1::SampleResponse hardware;
  EncodeSample(sample, &hardware);
  EXPECT_THAT(AdviceIn(hardware), ElementsAre("l2_hit"));
  EXPECT_EQ(hardware.advice(0).ratio(), 0.125);
}

TEST(SampleCodecTest, WithoutWavesThereIsNoAdvice) {
  runtime::Runtime::DeviceSample sample = SampleOf(0);
  sample.counters.wgmma_active = 0.1;
  v1::SampleResponse out;
  EncodeSample(sample, &out);
  EXPECT_EQ(out.readings().wgmma_active_hardware().ratio(), 0.1) << "of whoever uses the GPU";
  EXPECT_THAT(AdviceIn(out), IsEmpty());
}

}  // namespace
}  // namespace bwrt::server
