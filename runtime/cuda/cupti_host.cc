#include "runtime/cuda/cupti_host.h"

#include <utility>

namespace bwrt::cuda {

CuptiHost::CuptiHost(const CuptiLibrary* cupti, std::vector<const char*> metrics)
    : cupti_(cupti), metrics_(std::move(metrics)) {}

CuptiHost::~CuptiHost() {
  if (host_ == nullptr) return;
  CUpti_Profiler_Host_Deinitialize_Params params{};
  params.structSize = CUpti_Profiler_Host_Deinitialize_Params_STRUCT_SIZE;
  params.pHostObject = host_;
  (void)cupti_->host_deinitialize(&params);
}

CounterStatus CuptiHost::Create(const CuptiLibrary* cupti, const std::string& chip, const uint8_t* availability,
                                std::vector<const char*> metrics, std::unique_ptr<CuptiHost>* to) {
  std::unique_ptr<CuptiHost> host(new CuptiHost(cupti, std::move(metrics)));
  CounterStatus status = host->Open(chip, availability);
  if (status.ok()) *to = std::move(host);
  return status;
}

CounterStatus CuptiHost::Open(const std::string& chip, const uint8_t* availability) {
  {
    CUpti_Profiler_Host_Initialize_Params params{};
    params.structSize = CUpti_Profiler_Host_Initialize_Params_STRUCT_SIZE;
    params.profilerType = CUPTI_PROFILER_TYPE_PM_SAMPLING;
    params.pChipName = chip.c_str();
    params.pCounterAvailabilityImage = availability;
    const CUptiResult result = cupti_->host_initialize(&params);
    if (CounterStatus status = cupti_->Check("cuptiProfilerHostInitialize", result); !status.ok()) {
      return {CounterFault::kMissing, "no metrics of the chip " + chip + ": " + status.text()};
    }
    host_ = params.pHostObject;
  }
  {
    CUpti_Profiler_Host_ConfigAddMetrics_Params params{};
    params.structSize = CUpti_Profiler_Host_ConfigAddMetrics_Params_STRUCT_SIZE;
    params.pHostObject = host_;
    params.ppMetricNames = metrics_.data();
    params.numMetrics = metrics_.size();
    const CUptiResult result = cupti_->host_add_metrics(&params);
    if (CounterStatus status = cupti_->Check("cuptiProfilerHostConfigAddMetrics", result); !status.ok()) {
      // What it says of a name that it does not know.
      const bool unknown = result == CUPTI_ERROR_INVALID_PARAMETER || result == CUPTI_ERROR_INVALID_METRIC_NAME;
      return unknown ? CounterStatus(CounterFault::kMissing, "the chip " + chip + " lacks a metric: " + status.text())
                     : status;
    }
  }
  CUpti_Profiler_Host_GetConfigImageSize_Params size{};
  size.structSize = CUpti_Profiler_Host_GetConfigImageSize_Params_STRUCT_SIZE;
  size.pHostObject = host_;
  if (CounterStatus status =
          cupti_->Check("cuptiProfilerHostGetConfigImageSize", cupti_->host_get_config_image_size(&size));
      !status.ok()) {
    return status;
  }
  config_.resize(size.configImageSize);
  CUpti_Profiler_Host_GetConfigImage_Params image{};
  image.structSize = CUpti_Profiler_Host_GetConfigImage_Params_STRUCT_SIZE;
  image.pHostObject = host_;
  image.configImageSize = config_.size();
  image.pConfigImage = config_.data();
  if (CounterStatus status = cupti_->Check("cuptiProfilerHostGetConfigImage", cupti_->host_get_config_image(&image));
      !status.ok()) {
    return status;
  }
  CUpti_Profiler_Host_GetNumOfPasses_Params passes{};
  passes.structSize = CUpti_Profiler_Host_GetNumOfPasses_Params_STRUCT_SIZE;
  passes.configImageSize = config_.size();
  passes.pConfigImage = config_.data();
  CounterStatus status = cupti_->Check("cuptiProfilerHostGetNumOfPasses", cupti_->host_get_passes(&passes));
  passes_ = passes.numOfPasses;
  return status;
}

CounterStatus CuptiHost::Evaluate(const std::vector<uint8_t>& counter_data, size_t sample, double* values) {
  CUpti_Profiler_Host_EvaluateToGpuValues_Params params{};
  params.structSize = CUpti_Profiler_Host_EvaluateToGpuValues_Params_STRUCT_SIZE;
  params.pHostObject = host_;
  params.pCounterDataImage = counter_data.data();
  params.counterDataImageSize = counter_data.size();
  params.rangeIndex = sample;
  params.ppMetricNames = metrics_.data();
  params.numMetrics = metrics_.size();
  params.pMetricValues = values;
  return cupti_->Check("cuptiProfilerHostEvaluateToGpuValues", cupti_->host_evaluate(&params));
}

}  // namespace bwrt::cuda
