#include "runtime/cuda/nvml_gpm_source.h"

#include <array>
#include <utility>

namespace bwrt::cuda {
namespace {

struct Counted {
  NvmlGpmMetricId metric;
  float CounterValues::*to;
};

constexpr std::array<Counted, 3> kCounted = {{
    {kNvmlGpmAnyTensorUtil, &CounterValues::tensor_active},
    {kNvmlGpmSmUtil, &CounterValues::sm_active},
    {kNvmlGpmDramBandwidthUtil, &CounterValues::dram_throughput},
}};

}  // namespace

NvmlGpmSource::NvmlGpmSource(std::string pci_bus_id, Load load) : pci_bus_id_(std::move(pci_bus_id)), load_(load) {}

NvmlGpmSource::~NvmlGpmSource() { Stop(); }

CounterStatus NvmlGpmSource::Check(const char* call, int code) const {
  const auto said = [&] {
    const char* const text = nvml_.error_string(code);
    return std::string(call) + ": " + (text == nullptr ? "unknown error" : text) + " (" + std::to_string(code) + ")";
  };
  switch (code) {
    case kNvmlSuccess:
      return {};
    case kNvmlNoPermission:
      return {CounterFault::kDenied, said() + "; see NVreg_RestrictProfilingToAdminUsers in README"};
    case kNvmlNotSupported:
    case kNvmlFunctionNotFound:
      return {CounterFault::kMissing, said() + "; GPM needs a GPU from Hopper on, that is not split (MIG)"};
    case kNvmlInUse:
      return {CounterFault::kBusy, said()};
    default:
      return {CounterFault::kFailed, said()};
  }
}

CounterStatus NvmlGpmSource::Start(int64_t /*interval_ns*/) {
  if (!loaded_) {
    if (CounterStatus status = load_(&nvml_); !status.ok()) return status;
    loaded_ = true;
  }
  CounterStatus status = Open();
  if (!status.ok()) Stop();
  return status;
}

CounterStatus NvmlGpmSource::Open() {
  if (CounterStatus status = Check("nvmlInit", nvml_.init()); !status.ok()) return status;
  initialised_ = true;
  if (CounterStatus status =
          Check("nvmlDeviceGetHandleByPciBusId", nvml_.get_handle_by_pci_bus_id(pci_bus_id_.c_str(), &device_));
      !status.ok()) {
    return status;
  }
  NvmlGpmSupport support{NvmlGpmSupport::kVersion, 0};
  if (CounterStatus status = Check("nvmlGpmQueryDeviceSupport", nvml_.gpm_query_support(device_, &support));
      !status.ok()) {
    return status;
  }
  if (support.supported == 0) return {CounterFault::kMissing, "this GPU has no GPM; GPUs from Hopper on have"};
  unsigned split = 0;
  unsigned pending = 0;
  if (nvml_.get_mig_mode != nullptr && nvml_.get_mig_mode(device_, &split, &pending) == kNvmlSuccess && split != 0) {
    return {CounterFault::kMissing, "the GPU is split (MIG): its counters would be those of all parts together"};
  }
  for (NvmlGpmSample* sample : {&earlier_, &later_}) {
    if (CounterStatus status = Check("nvmlGpmSampleAlloc", nvml_.gpm_sample_alloc(sample)); !status.ok()) {
      *sample = nullptr;
      return status;
    }
  }
  metrics_ = std::make_unique<NvmlGpmMetricsGet>();
  return Check("nvmlGpmSampleGet", nvml_.gpm_sample_get(device_, earlier_));
}

CounterStatus NvmlGpmSource::Sample(CounterValues* values) {
  if (CounterStatus status = Check("nvmlGpmSampleGet", nvml_.gpm_sample_get(device_, later_)); !status.ok()) {
    return status;
  }
  metrics_->version = NvmlGpmMetricsGet::kVersion;
  metrics_->metric_count = kCounted.size();
  metrics_->earlier = earlier_;
  metrics_->later = later_;
  for (size_t i = 0; i < kCounted.size(); ++i) {
    metrics_->metrics[i] = {};
    metrics_->metrics[i].metric_id = kCounted[i].metric;
  }
  if (CounterStatus status = Check("nvmlGpmMetricsGet", nvml_.gpm_metrics_get(metrics_.get())); !status.ok()) {
    return status;
  }
  std::swap(earlier_, later_);
  CounterStatus last;
  bool any = false;
  for (size_t i = 0; i < kCounted.size(); ++i) {
    const NvmlGpmMetric& metric = metrics_->metrics[i];
    if (metric.status != kNvmlSuccess) {
      last = Check("nvmlGpmMetricsGet", metric.status);
      continue;
    }
    values->*kCounted[i].to = RatioOfPercent(metric.value);
    any = true;
  }
  return any ? CounterStatus() : last;
}

void NvmlGpmSource::Stop() {
  for (NvmlGpmSample* sample : {&earlier_, &later_}) {
    if (*sample != nullptr) (void)nvml_.gpm_sample_free(std::exchange(*sample, nullptr));
  }
  metrics_.reset();
  device_ = nullptr;
  // NVML counts how often it was initialised.
  if (std::exchange(initialised_, false)) (void)nvml_.shutdown();
}

}  // namespace bwrt::cuda
