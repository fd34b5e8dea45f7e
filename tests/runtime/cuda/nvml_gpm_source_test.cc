#include "runtime/cuda/nvml_gpm_source.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace bwrt::cuda {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// NVML with one GPU. One at a time: plain functions carry no context.
class FakeNvml {
 public:
  FakeNvml() { self_ = this; }
  ~FakeNvml() { self_ = nullptr; }
  FakeNvml(const FakeNvml&) = delete;
  FakeNvml& operator=(const FakeNvml&) = delete;

  static CounterStatus Load(NvmlLibrary* to) {
    if (!self_->load.ok()) return self_->load;
    to->init = [] {
      self_->initialised += self_->Answer("init") == 0 ? 1 : 0;
      return self_->Answer("init");
    };
    to->shutdown = [] { return --self_->initialised < 0 ? 1 : 0; };
    to->error_string = [](int code) { return code == 999 ? nullptr : "as asked"; };
    to->get_handle_by_pci_bus_id = [](const char* bus_id, NvmlDevice* device) {
      self_->bus_id = bus_id;
      *device = Device();
      return self_->Answer("handle");
    };
    to->gpm_query_support = [](NvmlDevice device, NvmlGpmSupport* support) {
      EXPECT_EQ(device, Device());
      EXPECT_EQ(support->version, 1u);
      support->supported = self_->supported ? 1 : 0;
      return self_->Answer("support");
    };
    to->gpm_sample_alloc = [](NvmlGpmSample* sample) {
      if (const int code = self_->Answer("alloc"); code != 0) return code;
      *sample = reinterpret_cast<NvmlGpmSample>(new int(-1));
      ++self_->samples;
      return 0;
    };
    to->gpm_sample_free = [](NvmlGpmSample sample) {
      delete reinterpret_cast<int*>(sample);
      --self_->samples;
      return 0;
    };
    to->gpm_sample_get = [](NvmlDevice device, NvmlGpmSample sample) {
      EXPECT_EQ(device, Device());
      if (const int code = self_->Answer("get"); code != 0) return code;
      *reinterpret_cast<int*>(sample) = self_->clock;
      return 0;
    };
    to->gpm_metrics_get = [](NvmlGpmMetricsGet* get) {
      EXPECT_EQ(get->version, 1u);
      self_->from = *reinterpret_cast<int*>(get->earlier);
      self_->until = *reinterpret_cast<int*>(get->later);
      for (unsigned i = 0; i < get->metric_count; ++i) {
        NvmlGpmMetric& metric = get->metrics[i];
        metric.status = self_->metric_status[metric.metric_id];
        metric.value = self_->values[metric.metric_id];
      }
      return self_->Answer("metrics");
    };
    to->get_mig_mode = !self_->knows_mig ? nullptr : +[](NvmlDevice, unsigned* now, unsigned* pending) {
      *now = self_->split ? 1 : 0;
      *pending = 0;
      return self_->Answer("mig");
    };
    return {};
  }

  CounterStatus load;
  std::map<std::string, int> codes;  // What calls answer; 0 else.
  bool supported = true;
  bool knows_mig = true;
  bool split = false;
  std::map<unsigned, int> metric_status;
  std::map<unsigned, double> values = {{5, 50}, {2, 80}, {10, 25}};
  int clock = 100;

  std::string bus_id;
  int initialised = 0;
  int samples = 0;
  int from = 0;
  int until = 0;

 private:
  static NvmlDevice Device() { return reinterpret_cast<NvmlDevice>(&device_); }
  int Answer(const std::string& call) const {
    const auto at = codes.find(call);
    return at == codes.end() ? 0 : at->second;
  }

  static inline FakeNvml* self_ = nullptr;
  static inline int device_ = 0;
};

class NvmlGpmSourceTest : public ::testing::Test {
 protected:
  ~NvmlGpmSourceTest() override {
    source_.Stop();
    EXPECT_EQ(nvml_.samples, 0);
    EXPECT_EQ(nvml_.initialised, 0);
  }
  CounterStatus Start() { return source_.Start(1'000'000'000); }

  FakeNvml nvml_;
  NvmlGpmSource source_{"0000:1b:00.0", &FakeNvml::Load};
  CounterValues values_;
};

TEST_F(NvmlGpmSourceTest, CountsFromOneSampleToTheNext) {
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(nvml_.bus_id, "0000:1b:00.0");
  nvml_.clock = 101;
  ASSERT_TRUE(source_.Sample(&values_).ok());
  EXPECT_EQ(nvml_.from, 100);
  EXPECT_EQ(nvml_.until, 101);
  EXPECT_FLOAT_EQ(values_.tensor_active, 0.5F);
  EXPECT_FLOAT_EQ(values_.sm_active, 0.8F);
  EXPECT_FLOAT_EQ(values_.dram_throughput, 0.25F);
  EXPECT_LT(values_.l2_hit, 0) << "GPM has none";
  nvml_.clock = 102;
  ASSERT_TRUE(source_.Sample(&values_).ok());
  EXPECT_EQ(nvml_.from, 101);
  EXPECT_EQ(nvml_.until, 102);
}

TEST_F(NvmlGpmSourceTest, AMetricThatFailedIsAbsentAndTheOthersAreNot) {
  ASSERT_TRUE(Start().ok());
  nvml_.metric_status[kNvmlGpmAnyTensorUtil] = kNvmlNotSupported;
  nvml_.values[kNvmlGpmDramBandwidthUtil] = std::nan("");
  ASSERT_TRUE(source_.Sample(&values_).ok());
  EXPECT_LT(values_.tensor_active, 0);
  EXPECT_LT(values_.dram_throughput, 0);
  EXPECT_FLOAT_EQ(values_.sm_active, 0.8F);
}

TEST_F(NvmlGpmSourceTest, WhereNoMetricWorksTheSourceFails) {
  ASSERT_TRUE(Start().ok());
  for (const unsigned metric : {2, 5, 10}) nvml_.metric_status[metric] = kNvmlNotSupported;
  EXPECT_EQ(source_.Sample(&values_).fault(), CounterFault::kMissing);
}

TEST_F(NvmlGpmSourceTest, WithoutALibraryItSaysWhatIsMissing) {
  nvml_.load = {CounterFault::kMissing, "no libnvidia-ml.so.1"};
  EXPECT_EQ(Start().text(), "no libnvidia-ml.so.1");
  nvml_.load = {};
  EXPECT_TRUE(Start().ok());
}

TEST_F(NvmlGpmSourceTest, AGpuWithoutGpm) {
  nvml_.supported = false;
  const CounterStatus status = Start();
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("Hopper"));
  EXPECT_EQ(nvml_.initialised, 0) << "what was opened is closed";
}

TEST_F(NvmlGpmSourceTest, AGpuThatIsSplit) {
  nvml_.split = true;
  const CounterStatus status = Start();
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), HasSubstr("MIG"));
}

TEST_F(NvmlGpmSourceTest, GpusThatCannotBeSplitCount) {
  nvml_.codes["mig"] = kNvmlNotSupported;
  nvml_.split = true;  // Means nothing then.
  EXPECT_TRUE(Start().ok());
}

TEST_F(NvmlGpmSourceTest, AnOldLibraryThatKnowsNoSplitting) {
  nvml_.knows_mig = false;
  EXPECT_TRUE(Start().ok());
}

TEST_F(NvmlGpmSourceTest, EveryCallMayFailAndLeavesNothingOpen) {
  for (const char* call : {"init", "handle", "support", "alloc", "get"}) {
    nvml_.codes = {{call, kNvmlGpuIsLost}};
    const CounterStatus status = Start();
    EXPECT_EQ(status.fault(), CounterFault::kFailed) << call;
    EXPECT_THAT(status.text(), StartsWith("nvml")) << call;
    EXPECT_THAT(status.text(), HasSubstr("as asked (15)")) << call;
    EXPECT_EQ(nvml_.samples, 0) << call;
    EXPECT_EQ(nvml_.initialised, 0) << call;
  }
  nvml_.codes = {};
  ASSERT_TRUE(Start().ok()) << "and works again";
  for (const char* call : {"get", "metrics"}) {
    nvml_.codes = {{call, 999}};
    EXPECT_EQ(source_.Sample(&values_).fault(), CounterFault::kFailed) << call;
    EXPECT_LT(values_.sm_active, 0) << call;
  }
}

TEST_F(NvmlGpmSourceTest, CodesSayWhetherItHelpsToTryAgain) {
  const auto fault = [this](int code) {
    nvml_.codes = {{"support", code}};
    return Start().fault();
  };
  EXPECT_EQ(fault(kNvmlNoPermission), CounterFault::kDenied);
  EXPECT_EQ(fault(kNvmlNotSupported), CounterFault::kMissing);
  EXPECT_EQ(fault(kNvmlFunctionNotFound), CounterFault::kMissing);
  EXPECT_EQ(fault(kNvmlInUse), CounterFault::kBusy);
  EXPECT_EQ(fault(kNvmlDriverNotLoaded), CounterFault::kFailed);
}

TEST(NvmlLibraryTest, WithoutADriverItSaysWhatIsMissing) {
  if (dlopen("libnvidia-ml.so.1", RTLD_LAZY) != nullptr) GTEST_SKIP() << "there is an NVIDIA driver";
  NvmlLibrary nvml;
  const CounterStatus status = NvmlLibrary::Load(&nvml);
  EXPECT_EQ(status.fault(), CounterFault::kMissing);
  EXPECT_THAT(status.text(), StartsWith("no libnvidia-ml.so.1: it comes with NVIDIA's driver"));
}

TEST(NvmlLibraryTest, TypesAreLaidOutAsDocumented) {
  // Of 64-bit systems: an unsigned, an enum, a double and three pointers; two unsigned and two pointers before them.
  EXPECT_EQ(sizeof(NvmlGpmMetric), 40u);
  EXPECT_EQ(offsetof(NvmlGpmMetric, value), 8u);
  EXPECT_EQ(offsetof(NvmlGpmMetricsGet, earlier), 8u);
  EXPECT_EQ(offsetof(NvmlGpmMetricsGet, metrics), 24u);
  EXPECT_EQ(sizeof(NvmlGpmSupport), 8u);
}

}  // namespace
}  // namespace bwrt::cuda
