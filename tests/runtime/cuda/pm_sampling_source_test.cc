#include "runtime/cuda/pm_sampling_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bwrt::cuda {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

PmSample SampleOf(uint64_t begin_ns, uint64_t end_ns, double tensor, double l2, double dram, double sm,
                  double sectors) {
  PmSample sample;
  sample.begin_ns = begin_ns;
  sample.end_ns = end_ns;
  sample.values = {tensor, l2, dram, sm, sectors};
  return sample;
}

TEST(SummariseTest, NothingSampledIsNothing) {
  const CounterValues values = Summarise({});
  EXPECT_LT(values.tensor_active, 0);
  EXPECT_LT(values.l2_hit, 0);
  EXPECT_LT(values.dram_throughput, 0);
  EXPECT_LT(values.sm_active, 0);
}

TEST(SummariseTest, SamplesCountByTheirTime) {
  const CounterValues values = Summarise({SampleOf(0, 10, 80, 50, 20, 100, 1), SampleOf(10, 40, 40, 50, 60, 0, 1)});
  EXPECT_FLOAT_EQ(values.tensor_active, 0.5F);
  EXPECT_FLOAT_EQ(values.dram_throughput, 0.5F);
  EXPECT_FLOAT_EQ(values.sm_active, 0.25F);
}

TEST(SummariseTest, HitsCountByWhatWasRead) {
  // An idle moment with a rate of its own does not move it.
  const CounterValues values =
      Summarise({SampleOf(0, 1, 0, 90, 0, 0, 300), SampleOf(1, 2, 0, 50, 0, 0, 100), SampleOf(2, 1000, 0, 0, 0, 0, 0)});
  EXPECT_FLOAT_EQ(values.l2_hit, 0.8F);
}

TEST(SummariseTest, WithoutReadsThereIsNoHitRate) {
  const CounterValues values = Summarise({SampleOf(0, 10, 0, 0, 0, 0, 0)});
  EXPECT_LT(values.l2_hit, 0);
  EXPECT_EQ(values.tensor_active, 0) << "counted, and nothing ran";
}

TEST(SummariseTest, WhatIsNoNumberIsLeftOut) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const CounterValues values =
      Summarise({SampleOf(0, 10, nan, nan, inf, 50, 1), SampleOf(10, 20, 30, 70, 40, nan, inf)});
  EXPECT_FLOAT_EQ(values.tensor_active, 0.3F);
  EXPECT_FLOAT_EQ(values.dram_throughput, 0.4F);
  EXPECT_FLOAT_EQ(values.sm_active, 0.5F);
  EXPECT_LT(values.l2_hit, 0);
}

TEST(SummariseTest, WhatCannotBeIsAbsentAndALittleTooMuchIsAll) {
  EXPECT_LT(Summarise({SampleOf(0, 10, 300, 0, -20, 0, 0)}).tensor_active, 0);
  EXPECT_LT(Summarise({SampleOf(0, 10, 0, 0, -20, 0, 0)}).dram_throughput, 0);
  EXPECT_EQ(Summarise({SampleOf(0, 10, 100.5, 0, 0, 0, 0)}).tensor_active, 1);
}

TEST(SummariseTest, SamplesWithoutTimeAreLeftOut) {
  EXPECT_FLOAT_EQ(
      Summarise({SampleOf(5, 5, 90, 0, 0, 0, 0), SampleOf(9, 5, 90, 0, 0, 0, 0), SampleOf(0, 1, 10, 0, 0, 0, 0)})
          .tensor_active,
      0.1F);
}

TEST(PmOptionsTest, AboutAHundredSamplesAnInterval) {
  EXPECT_EQ(PmOptionsFor(1'000'000'000).period_ns, 10'000'000);
  EXPECT_EQ(PmOptionsFor(1'000'000'000).most_samples, 800u);
  EXPECT_EQ(PmOptionsFor(10'000'000).period_ns, 1'000'000) << "none shorter";
  EXPECT_EQ(PmOptionsFor(60'000'000'000).period_ns, 100'000'000) << "none longer";
  EXPECT_EQ(PmOptionsFor(60'000'000'000).most_samples, 4800u);
}

// What a sampler did, and is to answer.
struct SamplerScript {
  CounterStatus open;
  CounterStatus decode;
  std::vector<PmSample> samples;
  std::vector<std::string> calls;
};

class FakeSampler final : public PmSampler {
 public:
  explicit FakeSampler(SamplerScript* script) : script_(script) {}
  CounterStatus Open(const PmSamplerOptions& options) override {
    script_->calls.push_back("open " + std::to_string(options.period_ns / 1'000'000) + " ms");
    return script_->open;
  }
  CounterStatus Decode(std::vector<PmSample>* to) override {
    to->insert(to->end(), script_->samples.begin(), script_->samples.end());
    return script_->decode;
  }
  void Close() override { script_->calls.push_back("close"); }

 private:
  SamplerScript* const script_;
};

class PmSamplingSourceTest : public ::testing::Test {
 protected:
  static constexpr int64_t kSecond = 1'000'000'000;
  SamplerScript script_;
  PmSamplingSource source_{std::make_unique<FakeSampler>(&script_)};
  CounterValues values_;
};

TEST_F(PmSamplingSourceTest, OpensSamplesAndCloses) {
  ASSERT_TRUE(source_.Start(kSecond).ok());
  script_.samples = {SampleOf(0, 10, 50, 25, 75, 100, 8)};
  ASSERT_TRUE(source_.Sample(&values_).ok());
  EXPECT_FLOAT_EQ(values_.tensor_active, 0.5F);
  script_.samples = {SampleOf(10, 20, 10, 25, 75, 100, 8)};
  ASSERT_TRUE(source_.Sample(&values_).ok());
  EXPECT_FLOAT_EQ(values_.tensor_active, 0.1F) << "of the new samples alone";
  source_.Stop();
  source_.Stop();
  EXPECT_THAT(script_.calls, ElementsAre("open 10 ms", "close"));
}

TEST_F(PmSamplingSourceTest, AnOpenThatFailedIsClosed) {
  script_.open = {CounterFault::kBusy, "hardware busy"};
  EXPECT_EQ(source_.Start(kSecond).fault(), CounterFault::kBusy);
  EXPECT_THAT(script_.calls, ElementsAre("open 10 ms", "close"));
}

TEST_F(PmSamplingSourceTest, AnOverflowFailsTheSample) {
  ASSERT_TRUE(source_.Start(kSecond).ok());
  script_.samples = {SampleOf(0, 10, 50, 25, 75, 100, 8)};
  script_.decode = {CounterFault::kFailed, "overflowed"};
  EXPECT_EQ(source_.Sample(&values_).text(), "overflowed");
  EXPECT_LT(values_.tensor_active, 0);
}

TEST_F(PmSamplingSourceTest, NoSamplesForLongIsAFailure) {
  ASSERT_TRUE(source_.Start(kSecond).ok());
  EXPECT_TRUE(source_.Sample(&values_).ok());
  EXPECT_TRUE(source_.Sample(&values_).ok());
  EXPECT_LT(values_.tensor_active, 0);
  script_.samples = {SampleOf(0, 10, 50, 25, 75, 100, 8)};
  EXPECT_TRUE(source_.Sample(&values_).ok()) << "one begins the count anew";
  script_.samples = {};
  EXPECT_TRUE(source_.Sample(&values_).ok());
  EXPECT_TRUE(source_.Sample(&values_).ok());
  const CounterStatus status = source_.Sample(&values_);
  EXPECT_EQ(status.fault(), CounterFault::kFailed);
  EXPECT_THAT(status.text(), HasSubstr("no samples in 3 intervals"));
}

}  // namespace
}  // namespace bwrt::cuda
