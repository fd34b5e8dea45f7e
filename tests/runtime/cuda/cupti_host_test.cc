// Asks the real CUPTI of the toolkit what it knows of a GH100, the chip of the H100 and H200. No GPU is needed.
#include "runtime/cuda/cupti_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/cuda/pm_sampler.h"

namespace bwrt::cuda {
namespace {

using ::testing::HasSubstr;

constexpr char kChip[] = "GH100";

class CuptiHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const CounterStatus status = CuptiLibrary::Load({BWRT_CUPTI_LIBRARY}, &cupti_);
    ASSERT_TRUE(status.ok()) << status.text();
  }

  CounterStatus Make(const std::vector<const char*>& metrics, const std::string& chip = kChip) {
    host_.reset();
    return CuptiHost::Create(&cupti_, chip, nullptr, metrics, &host_);
  }

  CuptiLibrary cupti_;
  std::unique_ptr<CuptiHost> host_;
};

TEST_F(CuptiHostTest, EveryMetricIsKnown) {
  for (const char* metric : kPmMetricNames) {
    const CounterStatus status = Make({metric});
    ASSERT_TRUE(status.ok()) << metric << ": " << status.text();
    EXPECT_EQ(host_->passes(), 1u) << metric;
    EXPECT_FALSE(host_->config().empty()) << metric;
  }
}

TEST_F(CuptiHostTest, AllMetricsTogetherTakeOnePass) {
  const CounterStatus status = Make({kPmMetricNames.begin(), kPmMetricNames.end()});
  ASSERT_TRUE(status.ok()) << status.text();
  EXPECT_EQ(host_->metrics().size(), static_cast<size_t>(kPmMetrics));
  EXPECT_EQ(host_->passes(), 1u);
}

TEST_F(CuptiHostTest, TheUsualHitRateTakesTwoPasses) {
  // Why it is not the one that is sampled; and the count of passes is one.
  ASSERT_TRUE(Make({"lts__t_sector_hit_rate.pct"}).ok());
  EXPECT_EQ(host_->passes(), 2u);
  ASSERT_TRUE(Make({kPmMetricNames[kPmTensorActive], "lts__t_sector_hit_rate.pct"}).ok());
  EXPECT_GT(host_->passes(), 1u);
}

TEST_F(CuptiHostTest, AMetricThatIsNotThereIsMissing) {
  const CounterStatus status = Make({"sm__no_such_metric.avg"});
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("the chip GH100 lacks a metric"));
  EXPECT_EQ(host_, nullptr);
}

TEST_F(CuptiHostTest, CountersOfTheTmaCannotBeSampled) {
  EXPECT_EQ(Make({"sm__inst_executed_pipe_tma.sum"}).fault(), CounterFault::kMissing);
}

TEST_F(CuptiHostTest, AnUnknownChipIsMissing) {
  const CounterStatus status = Make({kPmMetricNames[kPmSmActive]}, "GX999");
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("GX999"));
}

TEST_F(CuptiHostTest, WhatCannotBeEvaluatedIsAnError) {
  ASSERT_TRUE(Make({kPmMetricNames.begin(), kPmMetricNames.end()}).ok());
  std::vector<double> values(kPmMetrics, -1);
  EXPECT_FALSE(host_->Evaluate({}, 0, values.data()).ok());
}

TEST_F(CuptiHostTest, ResultsSayWhetherItHelpsToTryAgain) {
  EXPECT_TRUE(cupti_.Check("call", CUPTI_SUCCESS).ok());
  const CounterStatus denied = cupti_.Check("cuptiPmSamplingEnable", CUPTI_ERROR_INSUFFICIENT_PRIVILEGES);
  EXPECT_EQ(denied.fault(), CounterFault::kDenied);
  EXPECT_THAT(denied.text(), HasSubstr("CAP_PERFMON"));
  EXPECT_THAT(denied.text(), HasSubstr("NVreg_RestrictProfilingToAdminUsers=0"));
  const CounterStatus busy = cupti_.Check("cuptiPmSamplingEnable", CUPTI_ERROR_HARDWARE_BUSY);
  EXPECT_EQ(busy.fault(), CounterFault::kBusy);
  EXPECT_THAT(busy.text(), HasSubstr("cuptiPmSamplingEnable: CUPTI_ERROR_HARDWARE_BUSY (26)"));
  EXPECT_EQ(cupti_.Check("call", CUPTI_ERROR_MIG_DEVICE_NOT_SUPPORTED).fault(), CounterFault::kMissing);
  EXPECT_EQ(cupti_.Check("call", CUPTI_ERROR_UNKNOWN).fault(), CounterFault::kFailed);
  EXPECT_EQ(cupti_.Check("call", CUPTI_ERROR_OUT_OF_MEMORY).fault(), CounterFault::kFailed) << "the buffer overflowed";
}

TEST(CuptiLibraryTest, WithoutALibraryItSaysWhatIsMissing) {
  CuptiLibrary cupti;
  const CounterStatus status = CuptiLibrary::Load({"/no/such/libcupti.so.13"}, &cupti);
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("no libcupti.so.13: install CUPTI"));
  // One that is there and is something else.
  EXPECT_THAT(CuptiLibrary::Load({"libc.so.6"}, &cupti).text(), HasSubstr("lacks PM sampling"));
}

}  // namespace
}  // namespace bwrt::cuda
