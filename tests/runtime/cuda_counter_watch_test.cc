#include "runtime/cuda_counter_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/fake_cuda_table.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace bwrt::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

BwrtCudaCounters Values(float tensor, float l2, float dram, float sm) {
  BwrtCudaCounters counters{};
  const auto of = [](float ratio) {
    return BwrtCudaCounter{ratio, ratio < 0 ? BWRT_CUDA_SOURCE_NONE : BWRT_CUDA_SOURCE_PM};
  };
  counters.tensor_active = of(tensor);
  counters.l2_hit = of(l2);
  counters.dram_throughput = of(dram);
  counters.sm_active = of(sm);
  return counters;
}

TEST(ToDeviceCountersTest, TheTensorPipesShareIsOfTheTimeWithWork) {
  const DeviceCounters counters = ToDeviceCounters(Values(0.25F, 0.75F, 0.125F, 0.5F));
  EXPECT_EQ(counters.wgmma_active, 0.5);
  EXPECT_EQ(counters.l2_hit, 0.75);
  EXPECT_EQ(counters.dram_throughput, 0.125);
  EXPECT_EQ(counters.sm_active, 0.5);
}

TEST(ToDeviceCountersTest, AnIdleGpuHasNoRatiosOfWork) {
  const DeviceCounters counters = ToDeviceCounters(Values(0.001F, 0.75F, 0, 0.005F));
  EXPECT_FALSE(counters.wgmma_active.has_value());
  EXPECT_FALSE(counters.l2_hit.has_value());
  EXPECT_EQ(counters.dram_throughput, 0.0);
  EXPECT_FLOAT_EQ(static_cast<float>(counters.sm_active.value_or(-1)), 0.005F);
}

TEST(ToDeviceCountersTest, WhatWasNotCountedIsAbsent) {
  EXPECT_FALSE(ToDeviceCounters(Values(-1, 0.5F, -1, 0.5F)).wgmma_active.has_value());
  EXPECT_FALSE(ToDeviceCounters(Values(-1, 0.5F, -1, 0.5F)).dram_throughput.has_value());
  EXPECT_FALSE(ToDeviceCounters(Values(0.5F, -1, 0.5F, -1)).wgmma_active.has_value()) << "a share of what?";
  EXPECT_FALSE(ToDeviceCounters(Values(0.5F, -1, 0.5F, -1)).l2_hit.has_value());
  BwrtCudaCounters odd = Values(0.5F, 0.5F, std::numeric_limits<float>::quiet_NaN(), 0.25F);
  odd.l2_hit.source = BWRT_CUDA_SOURCE_NONE;
  EXPECT_FALSE(ToDeviceCounters(odd).dram_throughput.has_value());
  EXPECT_FALSE(ToDeviceCounters(odd).l2_hit.has_value()) << "a value without a source";
  EXPECT_EQ(ToDeviceCounters(odd).wgmma_active, 1.0) << "the two are not read at one moment";
}

TEST(ToDeviceCountersTest, ATextWithoutAnEndIsRead) {
  BwrtCudaCounters counters = Values(-1, -1, -1, -1);
  std::fill(std::begin(counters.text), std::end(counters.text), 'x');
  EXPECT_EQ(ToDeviceCounters(counters).text.size(), sizeof(counters.text));
}

class CudaCounterWatchTest : public ::testing::Test {
 protected:
  CudaCounterWatchTest() {
    fake_.gpm().values = {0.25F, -1, 0.125F, 0.5F};
    fake_.pm().values = {0.375F, 0.625F, 0.125F, 0.75F};
    BwrtCudaOptions options{};
    options.size = sizeof(options);
    options.memory_limit = int64_t{1} << 20;
    connection_ = *CudaConnection::Open(fake_.table(), options);
  }
  ~CudaCounterWatchTest() override {
    watch_.reset();
    EXPECT_FALSE(fake_.gpm().counting);
    EXPECT_FALSE(fake_.pm().counting);
    EXPECT_EQ(clock_.alarms(), 0u);
  }

  void Watch(BwrtCudaCounterMode mode = BWRT_CUDA_COUNTERS_GPM) {
    watch_.emplace(connection_,
                   CudaCounterOptions{.mode = mode,
                                      .interval = seconds(2),
                                      .clock = &clock_,
                                      .on_text = [this](const std::string& text,
                                                        bool counting) { told_.emplace_back(text, counting); }},
                   &executor_);
  }
  void Interval() {
    clock_.Advance(seconds(2));
    executor_.RunAll();
  }
  // As a wave that meets a sticky error.
  void Lose() {
    BwrtCudaError error{};
    error.code = BWRT_CUDA_DEVICE_LOST;
    EXPECT_FALSE(connection_->ToStatus(connection_->epoch(), BWRT_CUDA_DEVICE_LOST, error).ok());
  }

  ManualClock clock_;
  ManualExecutor executor_;
  FakeCudaTable fake_;
  std::shared_ptr<CudaConnection> connection_;
  std::vector<std::pair<std::string, bool>> told_;
  std::optional<CudaCounterWatch> watch_;
};

TEST_F(CudaCounterWatchTest, SaysAtOnceWhatCountsAndThenWhatWasCounted) {
  Watch();
  EXPECT_EQ(watch_->Read().text, "fake GPM");
  EXPECT_FALSE(watch_->Read().sm_active.has_value());
  EXPECT_EQ(fake_.gpm().interval_ns, 2'000'000'000);
  Interval();
  EXPECT_EQ(watch_->Read().wgmma_active, 0.5);
  EXPECT_EQ(watch_->Read().sm_active, 0.5);
  EXPECT_FALSE(watch_->Read().l2_hit.has_value());
  EXPECT_THAT(told_, ElementsAre(std::pair(std::string("fake GPM"), true)));
}

TEST_F(CudaCounterWatchTest, PmSamplingOnlyWhenAskedFor) {
  Watch();
  EXPECT_EQ(fake_.pm().starts, 0);
  watch_.reset();
  Watch(BWRT_CUDA_COUNTERS_PM);
  Interval();
  EXPECT_EQ(watch_->Read().text, "fake PM");
  EXPECT_EQ(watch_->Read().l2_hit, 0.625);
  EXPECT_EQ(watch_->Read().wgmma_active, 0.5);
}

TEST_F(CudaCounterWatchTest, SamplesOnceAnInterval) {
  Watch();
  EXPECT_EQ(fake_.gpm().samples, 0);
  clock_.Advance(seconds(2) - milliseconds(1));
  EXPECT_EQ(executor_.pending(), 0u);
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(executor_.pending(), 1u) << "not on the clock's thread";
  EXPECT_EQ(fake_.gpm().samples, 0);
  clock_.Advance(seconds(60));
  EXPECT_EQ(executor_.pending(), 1u) << "no queue behind a slow one";
  executor_.RunAll();
  EXPECT_EQ(fake_.gpm().samples, 1);
}

TEST_F(CudaCounterWatchTest, WhatIsOldIsAbsent) {
  Watch();
  Interval();
  clock_.Advance(seconds(8));
  EXPECT_EQ(watch_->Read().sm_active, 0.5);
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(watch_->Read().sm_active.has_value());
  EXPECT_EQ(watch_->Read().text, "none: nothing was read for 4 intervals; before that: fake GPM");
  executor_.RunAll();
  EXPECT_EQ(watch_->Read().text, "fake GPM");
}

TEST_F(CudaCounterWatchTest, AFailureIsToldOnceAndEndsTheSeries) {
  fake_.gpm().start = {cuda::CounterFault::kMissing, "no library"};
  Watch();
  for (int i = 0; i < 5; ++i) Interval();
  EXPECT_EQ(watch_->Read().text, "none: fake GPM: no library");
  EXPECT_FALSE(watch_->Read().sm_active.has_value());
  EXPECT_THAT(told_, ElementsAre(std::pair(std::string("none: fake GPM: no library"), false)));
  EXPECT_EQ(fake_.gpm().starts, 1);
}

TEST_F(CudaCounterWatchTest, NothingIsAskedOfALostDevice) {
  Watch();
  Interval();
  EXPECT_EQ(fake_.gpm().samples, 1);
  Lose();
  Interval();
  Interval();
  EXPECT_EQ(fake_.gpm().samples, 1);
  EXPECT_FALSE(watch_->Read().sm_active.has_value());
  EXPECT_EQ(watch_->Read().text, "none: the GPU is out of service");
  connection_->MarkServing();
  Interval();
  EXPECT_EQ(watch_->Read().sm_active, 0.5) << "it was never stopped";
  EXPECT_EQ(told_.size(), 3u);
}

TEST_F(CudaCounterWatchTest, ADeviceThatIsLostAtTheStartCountsWhenItIsBack) {
  Lose();
  Watch();
  EXPECT_EQ(fake_.gpm().starts, 0);
  connection_->MarkServing();
  Interval();
  Interval();
  EXPECT_EQ(watch_->Read().sm_active, 0.5);
}

TEST_F(CudaCounterWatchTest, ANewContextIsMadeWithTheCountersGivenBack) {
  Watch();
  EXPECT_TRUE(fake_.gpm().counting);
  BwrtCudaError error{};
  // It is not lost: but for the counters nothing happens.
  EXPECT_EQ(fake_.table()->recreate(connection_->device(), &error), BWRT_CUDA_INVALID);
  EXPECT_FALSE(fake_.gpm().counting);
  Interval();
  EXPECT_TRUE(fake_.gpm().counting);
}

TEST_F(CudaCounterWatchTest, ASampleThatComesAfterTheEndDoesNothing) {
  Watch();
  clock_.Advance(seconds(2));
  EXPECT_EQ(executor_.pending(), 1u);
  watch_.reset();
  EXPECT_FALSE(fake_.gpm().counting);
  executor_.RunAll();
  EXPECT_EQ(fake_.gpm().samples, 0);
  EXPECT_FALSE(fake_.gpm().counting);
}

TEST_F(CudaCounterWatchTest, TheTablesCallsCheckTheirOrder) {
  const BwrtCudaTable& table = *fake_.table();
  BwrtCudaDevice* const device = connection_->device();
  BwrtCudaError error{};
  BwrtCudaCounters counters{};
  EXPECT_EQ(table.sample_counters(device, &counters, &error), BWRT_CUDA_INVALID);
  EXPECT_THAT(error.text, HasSubstr("not started"));
  table.stop_counters(device);
  BwrtCudaCounterOptions options{sizeof(options), BWRT_CUDA_COUNTERS_GPM, 1'000'000'000};
  options.mode = 7;
  EXPECT_EQ(table.start_counters(device, &options, &error), BWRT_CUDA_INVALID);
  options.mode = BWRT_CUDA_COUNTERS_GPM;
  options.interval_ns = 0;
  EXPECT_EQ(table.start_counters(device, &options, &error), BWRT_CUDA_INVALID);
  options.interval_ns = 1;
  EXPECT_EQ(table.start_counters(device, &options, &error), BWRT_CUDA_OK);
  EXPECT_EQ(table.start_counters(device, &options, &error), BWRT_CUDA_INVALID);
  EXPECT_THAT(error.text, HasSubstr("before"));
  EXPECT_EQ(table.sample_counters(device, &counters, &error), BWRT_CUDA_INVALID);
  EXPECT_THAT(error.text, HasSubstr("another version"));
  counters.size = sizeof(counters);
  EXPECT_EQ(table.sample_counters(device, &counters, &error), BWRT_CUDA_OK);
  table.stop_counters(device);
  EXPECT_EQ(table.sample_counters(device, &counters, &error), BWRT_CUDA_INVALID);
}

}  // namespace
}  // namespace bwrt::runtime
