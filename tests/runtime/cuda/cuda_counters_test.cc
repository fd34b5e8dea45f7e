#include "runtime/cuda/cuda_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/runtime/cuda/fake_counter_source.h"

namespace bwrt::cuda {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CudaCountersTest : public ::testing::Test {
 protected:
  CudaCountersTest() {
    pm_.values = {0.5, 0.75, 0.25, 0.875};
    gpm_.values = {0.375, -1, 0.125, 0.625};
    CudaCounters::Sources sources;
    sources.push_back(std::make_unique<FakeCounterSource>(BWRT_CUDA_SOURCE_PM, "PM", &pm_));
    sources.push_back(std::make_unique<FakeCounterSource>(BWRT_CUDA_SOURCE_GPM, "GPM", &gpm_));
    counters_.emplace(std::move(sources), seconds(1));
  }

  // After `by`.
  BwrtCudaCounters Sample(std::chrono::nanoseconds by = seconds(1)) {
    now_ += by;
    BwrtCudaCounters out{};
    counters_->Sample(now_, &out);
    EXPECT_EQ(out.size, sizeof(out));
    return out;
  }

  static void ExpectNothing(const BwrtCudaCounters& counters) {
    for (const BwrtCudaCounter& counter :
         {counters.tensor_active, counters.l2_hit, counters.dram_throughput, counters.sm_active}) {
      EXPECT_LT(counter.ratio, 0);
      EXPECT_EQ(counter.source, BWRT_CUDA_SOURCE_NONE);
    }
  }

  CounterScript pm_;
  CounterScript gpm_;
  CudaCounters::Time now_{std::chrono::hours(1)};
  std::optional<CudaCounters> counters_;
};

TEST_F(CudaCountersTest, TheFirstSampleOpensTheBestSourceAndTellsNothing) {
  EXPECT_EQ(pm_.starts, 0);
  const BwrtCudaCounters first = Sample();
  EXPECT_EQ(first.counting, 1);
  EXPECT_STREQ(first.text, "PM");
  ExpectNothing(first);
  EXPECT_EQ(pm_.interval_ns, 1'000'000'000);
  EXPECT_EQ(pm_.samples, 0);
  EXPECT_EQ(gpm_.starts, 0);
}

TEST_F(CudaCountersTest, ValuesSayWhereTheyComeFrom) {
  (void)Sample();
  const BwrtCudaCounters counters = Sample();
  EXPECT_EQ(counters.tensor_active.ratio, 0.5F);
  EXPECT_EQ(counters.l2_hit.ratio, 0.75F);
  EXPECT_EQ(counters.dram_throughput.ratio, 0.25F);
  EXPECT_EQ(counters.sm_active.ratio, 0.875F);
  for (const BwrtCudaCounter& counter :
       {counters.tensor_active, counters.l2_hit, counters.dram_throughput, counters.sm_active}) {
    EXPECT_EQ(counter.source, BWRT_CUDA_SOURCE_PM);
  }
}

TEST_F(CudaCountersTest, TheNextSourceStandsInForOneThatIsMissing) {
  pm_.start = {CounterFault::kMissing, "no library"};
  const BwrtCudaCounters first = Sample();
  EXPECT_EQ(first.counting, 1);
  EXPECT_STREQ(first.text, "GPM (PM: no library)");
  const BwrtCudaCounters counters = Sample();
  EXPECT_EQ(counters.tensor_active.ratio, 0.375F);
  EXPECT_EQ(counters.tensor_active.source, BWRT_CUDA_SOURCE_GPM);
  EXPECT_LT(counters.l2_hit.ratio, 0) << "GPM has none: absent, not 0";
  EXPECT_EQ(counters.l2_hit.source, BWRT_CUDA_SOURCE_NONE);
}

TEST_F(CudaCountersTest, WhatIsMissingOrForbiddenIsNotTriedAgain) {
  pm_.start = {CounterFault::kDenied, "insufficient privileges"};
  gpm_.start = {CounterFault::kMissing, "no library"};
  for (int i = 0; i < 10; ++i) {
    const BwrtCudaCounters counters = Sample(std::chrono::hours(1));
    ExpectNothing(counters);
    EXPECT_EQ(counters.counting, 0);
    EXPECT_STREQ(counters.text, "none: PM: insufficient privileges; GPM: no library");
  }
  EXPECT_EQ(pm_.starts, 1);
  EXPECT_EQ(gpm_.starts, 1);
}

TEST_F(CudaCountersTest, BusyCountersAreTriedAgainEverMoreRarely) {
  pm_.start = {CounterFault::kBusy, "hardware busy"};
  (void)Sample();
  EXPECT_EQ(pm_.starts, 1);
  // 8 s, then 16, 32 ... 512 and no more than that.
  int expected = 1;
  for (const int s : {8, 16, 32, 64, 128, 256, 512, 512, 512}) {
    const seconds wait(s);
    EXPECT_STREQ(Sample(wait - milliseconds(1)).text, "GPM (PM: hardware busy)");
    EXPECT_EQ(pm_.starts, expected) << wait.count();
    (void)Sample(milliseconds(1));
    EXPECT_EQ(pm_.starts, ++expected) << wait.count();
  }
}

TEST_F(CudaCountersTest, ABetterSourceThatComesBackTakesOver) {
  pm_.start = {CounterFault::kBusy, "hardware busy"};
  (void)Sample();
  EXPECT_TRUE(gpm_.counting);
  pm_.start = {};
  EXPECT_STREQ(Sample(seconds(8)).text, "PM");
  EXPECT_FALSE(gpm_.counting) << "one source at a time";
  EXPECT_EQ(Sample().tensor_active.source, BWRT_CUDA_SOURCE_PM);
}

TEST_F(CudaCountersTest, ASeriesEndsWhenItsSourceFails) {
  pm_.start = {CounterFault::kMissing, "no library"};
  (void)Sample();
  EXPECT_GE(Sample().tensor_active.ratio, 0);
  gpm_.sample = {CounterFault::kFailed, "GPU is lost"};
  const BwrtCudaCounters failed = Sample();
  ExpectNothing(failed);
  EXPECT_EQ(failed.counting, 0);
  EXPECT_STREQ(failed.text, "none: PM: no library; GPM: GPU is lost");
  EXPECT_FALSE(gpm_.counting);
  gpm_.sample = {};
  EXPECT_EQ(Sample(seconds(7)).counting, 0) << "not yet";
  EXPECT_EQ(Sample(seconds(1)).counting, 1);
  EXPECT_EQ(Sample().tensor_active.ratio, 0.375F);
}

TEST_F(CudaCountersTest, ASourceThatStartsWellAndFailsEachSampleIsNotRestartedForEver) {
  pm_.sample = {CounterFault::kFailed, "no samples"};
  (void)Sample();
  (void)Sample();  // Fails.
  EXPECT_EQ(pm_.starts, 1);
  (void)Sample(seconds(8));
  EXPECT_EQ(pm_.starts, 2);
  (void)Sample();  // Fails again.
  (void)Sample(seconds(15));
  EXPECT_EQ(pm_.starts, 2) << "16 s this time";
  (void)Sample(seconds(1));
  EXPECT_EQ(pm_.starts, 3);
}

TEST_F(CudaCountersTest, ASampleOverTooLongATimeIsNotOfNow) {
  (void)Sample();
  EXPECT_GE(Sample(seconds(4)).tensor_active.ratio, 0);
  const BwrtCudaCounters stale = Sample(seconds(4) + milliseconds(1));
  ExpectNothing(stale);
  EXPECT_EQ(stale.counting, 1);
  EXPECT_GE(Sample().tensor_active.ratio, 0);
}

TEST_F(CudaCountersTest, PauseGivesTheCountersBackUntilTheNextSample) {
  (void)Sample();
  counters_->Pause();
  EXPECT_FALSE(pm_.counting);
  ExpectNothing(Sample());
  EXPECT_TRUE(pm_.counting);
  EXPECT_GE(Sample().tensor_active.ratio, 0);
  counters_.reset();
  EXPECT_FALSE(pm_.counting) << "nor does the end leave them taken";
}

TEST_F(CudaCountersTest, WithoutSourcesItSaysSo) {
  CudaCounters none({}, seconds(1));
  BwrtCudaCounters out{};
  none.Sample(now_, &out);
  ExpectNothing(out);
  EXPECT_STREQ(out.text, "none: no source was asked for");
}

TEST_F(CudaCountersTest, LongReasonsAreCutAndEnded) {
  pm_.start = {CounterFault::kMissing, std::string(10'000, 'x')};
  EXPECT_EQ(std::string(Sample().text).size(), sizeof(BwrtCudaCounters::text) - 1);
}

}  // namespace
}  // namespace bwrt::cuda
