// The sampler on the toolkit's real profiler host, with a fake GPU behind the calls that need one.
#include "runtime/cuda/cupti_pm_sampler.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bwrt::cuda {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// One at a time: plain functions carry no context.
class FakeGpu {
 public:
  FakeGpu() { self_ = this; }
  ~FakeGpu() { self_ = nullptr; }
  FakeGpu(const FakeGpu&) = delete;
  FakeGpu& operator=(const FakeGpu&) = delete;

  // The real library, but for what needs a GPU.
  CounterStatus Load(CuptiLibrary* to) {
    CounterStatus status = CuptiLibrary::Load({BWRT_CUPTI_LIBRARY}, to);
    if (!status.ok()) return status;
    to->profiler_initialize = [](CUpti_Profiler_Initialize_Params*) { return self_->Answer("initialize"); };
    to->get_chip_name = [](CUpti_Device_GetChipName_Params* params) {
      EXPECT_EQ(params->deviceIndex, 3u);
      params->pChipName = "GH100";
      return self_->Answer("chip");
    };
    to->get_counter_availability = [](CUpti_PmSampling_GetCounterAvailability_Params* params) {
      params->counterAvailabilityImageSize = 16;
      return self_->Answer("availability");
    };
    // The image comes from a GPU: without one the host is asked for all that the chip has.
    self_->real_initialize_ = to->host_initialize;
    to->host_initialize = [](CUpti_Profiler_Host_Initialize_Params* params) {
      EXPECT_NE(params->pCounterAvailabilityImage, nullptr);
      params->pCounterAvailabilityImage = nullptr;
      return self_->real_initialize_(params);
    };
    self_->real_passes_ = to->host_get_passes;
    to->host_get_passes = [](CUpti_Profiler_Host_GetNumOfPasses_Params* params) {
      const CUptiResult result = self_->real_passes_(params);
      params->numOfPasses += self_->more_passes;
      return result;
    };
    to->enable = [](CUpti_PmSampling_Enable_Params* params) {
      EXPECT_EQ(params->deviceIndex, 3u);
      params->pPmSamplingObject = Object();
      return self_->Answer("enable");
    };
    to->disable = [](CUpti_PmSampling_Disable_Params* params) {
      EXPECT_EQ(params->pPmSamplingObject, Object());
      return self_->Answer("disable");
    };
    to->set_config = [](CUpti_PmSampling_SetConfig_Params* params) {
      EXPECT_EQ(params->pPmSamplingObject, Object());
      EXPECT_GT(params->configSize, 0u);
      EXPECT_EQ(params->triggerMode, CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL);
      self_->period_ns = params->samplingInterval;
      return self_->Answer("config");
    };
    to->get_counter_data_size = [](CUpti_PmSampling_GetCounterDataSize_Params* params) {
      EXPECT_EQ(params->numMetrics, static_cast<size_t>(kPmMetrics));
      EXPECT_STREQ(params->pMetricNames[kPmL2Hit], kPmMetricNames[kPmL2Hit]);
      params->counterDataSize = params->maxSamples;
      return self_->Answer("size");
    };
    to->initialize_counter_data = [](CUpti_PmSampling_CounterDataImage_Initialize_Params* params) {
      EXPECT_EQ(params->counterDataSize, 400u);
      return self_->Answer("clear");
    };
    to->start = [](CUpti_PmSampling_Start_Params*) { return self_->Answer("start"); };
    to->stop = [](CUpti_PmSampling_Stop_Params*) { return self_->Answer("stop"); };
    to->decode = [](CUpti_PmSampling_DecodeData_Params* params) {
      params->overflow = self_->overflow ? 1 : 0;
      return self_->Answer("decode");
    };
    to->get_counter_data_info = [](CUpti_PmSampling_GetCounterDataInfo_Params* params) {
      params->numTotalSamples = 400;
      params->numPopulatedSamples = self_->samples + 1;  // One is under way.
      params->numCompletedSamples = self_->samples;
      return self_->Answer("info");
    };
    to->get_sample_info = [](CUpti_PmSampling_CounterData_GetSampleInfo_Params* params) {
      params->startTimestamp = 1000 * params->sampleIndex;
      params->endTimestamp = params->startTimestamp + 1000;
      return self_->Answer("when");
    };
    to->host_evaluate = [](CUpti_Profiler_Host_EvaluateToGpuValues_Params* params) {
      for (size_t i = 0; i < params->numMetrics; ++i) {
        params->pMetricValues[i] = static_cast<double>(10 * params->rangeIndex + i);
      }
      return self_->Answer("evaluate");
    };
    return status;
  }

  std::map<std::string, CUptiResult> results;  // What calls answer; success else.
  std::vector<std::string> calls;
  size_t more_passes = 0;
  size_t samples = 0;
  bool overflow = false;
  uint64_t period_ns = 0;

 private:
  static CUpti_PmSampling_Object* Object() { return reinterpret_cast<CUpti_PmSampling_Object*>(&object_); }
  CUptiResult Answer(const std::string& call) {
    calls.push_back(call);
    const auto at = results.find(call);
    return at == results.end() ? CUPTI_SUCCESS : at->second;
  }

  static inline FakeGpu* self_ = nullptr;
  static inline int object_ = 0;
  decltype(&cuptiProfilerHostInitialize) real_initialize_ = nullptr;
  decltype(&cuptiProfilerHostGetNumOfPasses) real_passes_ = nullptr;
};

class CuptiPmSamplerTest : public ::testing::Test {
 protected:
  // All of it, as PmSamplingSource does.
  CounterStatus Open() {
    CounterStatus status = sampler_.Open({10'000'000, 400});
    if (!status.ok()) sampler_.Close();
    return status;
  }

  FakeGpu gpu_;
  CounterStatus enter_;
  CuptiPmSampler sampler_{3, [this](CuptiLibrary* to) { return gpu_.Load(to); }, [this] { return enter_; }};
};

TEST_F(CuptiPmSamplerTest, TakesTheCountersLastAndGivesThemBack) {
  const CounterStatus status = Open();
  ASSERT_TRUE(status.ok()) << status.text();
  EXPECT_THAT(gpu_.calls, ElementsAre("initialize", "chip", "availability", "availability", "enable", "config", "size",
                                      "clear", "start"));
  EXPECT_EQ(gpu_.period_ns, 10'000'000u);
  gpu_.calls.clear();
  sampler_.Close();
  EXPECT_THAT(gpu_.calls, ElementsAre("stop", "disable"));
  gpu_.calls.clear();
  sampler_.Close();
  EXPECT_THAT(gpu_.calls, IsEmpty());
  EXPECT_TRUE(Open().ok()) << "and again";
}

TEST_F(CuptiPmSamplerTest, TellsTheWholeSamplesOnce) {
  ASSERT_TRUE(Open().ok());
  gpu_.samples = 2;
  gpu_.calls.clear();
  std::vector<PmSample> samples;
  ASSERT_TRUE(sampler_.Decode(&samples).ok());
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1].begin_ns, 1000u);
  EXPECT_EQ(samples[1].end_ns, 2000u);
  EXPECT_THAT(samples[1].values, ElementsAre(10, 11, 12, 13, 14));
  EXPECT_EQ(gpu_.calls.back(), "clear") << "so that they are not told again";
}

TEST_F(CuptiPmSamplerTest, WhatNeedsMorePassesIsNotTried) {
  gpu_.more_passes = 1;
  const CounterStatus status = Open();
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("2 passes"));
  EXPECT_THAT(gpu_.calls, Not(Contains("enable")));
}

TEST_F(CuptiPmSamplerTest, NothingFollowsACallThatFailed) {
  // CUPTI 13.0 crashes when a chip's name is asked for after its initialisation has failed.
  const std::vector<std::string> order = {"initialize", "chip", "availability", "enable",
                                          "config",     "size", "clear",        "start"};
  for (size_t i = 0; i < order.size(); ++i) {
    gpu_.results = {{order[i], CUPTI_ERROR_UNKNOWN}};
    gpu_.calls.clear();
    EXPECT_EQ(Open().fault(), CounterFault::kFailed) << order[i];
    for (size_t later = i + 1; later < order.size(); ++later) {
      EXPECT_THAT(gpu_.calls, Not(Contains(order[later]))) << "after " << order[i];
    }
    const bool taken = i > 3;
    EXPECT_EQ(gpu_.calls.back() == "disable", taken) << order[i];
    EXPECT_THAT(gpu_.calls, Not(Contains("stop"))) << "it never ran";
  }
}

TEST_F(CuptiPmSamplerTest, ReasonsAreNamed) {
  gpu_.results = {{"enable", CUPTI_ERROR_HARDWARE_BUSY}};
  EXPECT_EQ(Open().fault(), CounterFault::kBusy);
  gpu_.results = {{"enable", CUPTI_ERROR_INSUFFICIENT_PRIVILEGES}};
  EXPECT_EQ(Open().fault(), CounterFault::kDenied);
  gpu_.results = {{"availability", CUPTI_ERROR_INSUFFICIENT_PRIVILEGES}};
  EXPECT_EQ(Open().fault(), CounterFault::kDenied);
  enter_ = {CounterFault::kFailed, "no context"};
  gpu_.calls.clear();
  EXPECT_EQ(Open().text(), "no context");
  EXPECT_THAT(gpu_.calls, IsEmpty());
}

TEST_F(CuptiPmSamplerTest, AnOverflowIsAFailure) {
  ASSERT_TRUE(Open().ok());
  std::vector<PmSample> samples;
  gpu_.samples = 1;
  gpu_.overflow = true;
  EXPECT_EQ(sampler_.Decode(&samples).fault(), CounterFault::kFailed);
  gpu_.overflow = false;
  for (const char* call : {"decode", "info", "when", "evaluate", "clear"}) {
    gpu_.results = {{call, CUPTI_ERROR_OUT_OF_MEMORY}};
    EXPECT_EQ(sampler_.Decode(&samples).fault(), CounterFault::kFailed) << call;
  }
}

TEST(CuptiPmSamplerRealTest, WithoutADriverItIsAReasonAndNoCrash) {
  if (dlopen("libcuda.so.1", RTLD_LAZY) != nullptr) GTEST_SKIP() << "there is an NVIDIA driver";
  CuptiPmSampler sampler(
      0, [](CuptiLibrary* to) { return CuptiLibrary::Load({BWRT_CUPTI_LIBRARY}, to); }, [] { return CounterStatus(); });
  for (int i = 0; i < 3; ++i) {
    const CounterStatus status = sampler.Open({10'000'000, 400});
    EXPECT_EQ(status.fault(), CounterFault::kFailed);
    EXPECT_THAT(status.text(), HasSubstr("cuptiProfilerInitialize: CUPTI_ERROR_"));
    sampler.Close();
  }
}

TEST_F(CuptiPmSamplerTest, WithoutALibraryNothingIsCalled) {
  CuptiPmSampler none(
      0, [](CuptiLibrary* to) { return CuptiLibrary::Load({"/no/such/file"}, to); }, [] { return CounterStatus(); });
  EXPECT_EQ(none.Open({1, 1}).fault(), CounterFault::kMissing);
  none.Close();
}

}  // namespace
}  // namespace bwrt::cuda
