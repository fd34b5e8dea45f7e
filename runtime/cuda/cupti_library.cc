#include "runtime/cuda/cupti_library.h"

#include <dlfcn.h>

#include <cstdlib>

namespace bwrt::cuda {
namespace {

constexpr char kName[] = "libcupti.so.13";

constexpr char kPermission[] =
    "; start bwrtd with CAP_PERFMON (driver R565 or later) or CAP_SYS_ADMIN, or load the nvidia module with "
    "NVreg_RestrictProfilingToAdminUsers=0";

template <typename Function>
bool Find(void* library, const char* name, Function* to) {
  *to = reinterpret_cast<Function>(dlsym(library, name));
  return *to != nullptr;
}

}  // namespace

std::vector<std::string> CuptiLibrary::Places() {
  std::vector<std::string> places = {kName};
  const auto add = [&places](const std::string& home) {
    for (const char* folder : {"/lib64/", "/lib/", "/extras/CUPTI/lib64/"}) places.push_back(home + folder + kName);
  };
  if (const char* const home = std::getenv("CUDA_HOME"); home != nullptr && *home != '\0') add(home);
  add("/usr/local/cuda");
  return places;
}

CounterStatus CuptiLibrary::Load(const std::vector<std::string>& places, CuptiLibrary* to) {
  void* library = nullptr;
  for (const std::string& place : places) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    return {CounterFault::kMissing,
            std::string("no ") + kName + ": install CUPTI of CUDA 13, or set CUDA_HOME to the toolkit"};
  }
  const bool all =
      Find(library, "cuptiGetResultString", &to->get_result_string) &&
      Find(library, "cuptiProfilerInitialize", &to->profiler_initialize) &&
      Find(library, "cuptiDeviceGetChipName", &to->get_chip_name) &&
      Find(library, "cuptiProfilerHostInitialize", &to->host_initialize) &&
      Find(library, "cuptiProfilerHostDeinitialize", &to->host_deinitialize) &&
      Find(library, "cuptiProfilerHostConfigAddMetrics", &to->host_add_metrics) &&
      Find(library, "cuptiProfilerHostGetConfigImageSize", &to->host_get_config_image_size) &&
      Find(library, "cuptiProfilerHostGetConfigImage", &to->host_get_config_image) &&
      Find(library, "cuptiProfilerHostGetNumOfPasses", &to->host_get_passes) &&
      Find(library, "cuptiProfilerHostEvaluateToGpuValues", &to->host_evaluate) &&
      Find(library, "cuptiPmSamplingGetCounterAvailability", &to->get_counter_availability) &&
      Find(library, "cuptiPmSamplingEnable", &to->enable) && Find(library, "cuptiPmSamplingDisable", &to->disable) &&
      Find(library, "cuptiPmSamplingSetConfig", &to->set_config) && Find(library, "cuptiPmSamplingStart", &to->start) &&
      Find(library, "cuptiPmSamplingStop", &to->stop) && Find(library, "cuptiPmSamplingDecodeData", &to->decode) &&
      Find(library, "cuptiPmSamplingGetCounterDataSize", &to->get_counter_data_size) &&
      Find(library, "cuptiPmSamplingCounterDataImageInitialize", &to->initialize_counter_data) &&
      Find(library, "cuptiPmSamplingGetCounterDataInfo", &to->get_counter_data_info) &&
      Find(library, "cuptiPmSamplingCounterDataGetSampleInfo", &to->get_sample_info);
  if (!all)
    return {CounterFault::kMissing, std::string(kName) + " lacks PM sampling: install a newer CUPTI of CUDA 13"};
  return {};
}

CounterStatus CuptiLibrary::Check(const char* call, CUptiResult result) const {
  if (result == CUPTI_SUCCESS) return {};
  const char* name = nullptr;
  if (get_result_string(result, &name) != CUPTI_SUCCESS || name == nullptr) name = "unknown error";
  const std::string said = std::string(call) + ": " + name + " (" + std::to_string(result) + ")";
  switch (result) {
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
      return {CounterFault::kDenied, "insufficient privileges: " + said + kPermission};
    case CUPTI_ERROR_HARDWARE_BUSY:
      return {CounterFault::kBusy, "hardware busy: another profiler holds the GPU's counters: " + said};
    case CUPTI_ERROR_NOT_SUPPORTED:
    case CUPTI_ERROR_INVALID_METRIC_NAME:
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_NOT_SUPPORTED:
    case CUPTI_ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED:
    case CUPTI_ERROR_CMP_DEVICE_NOT_SUPPORTED:
    case CUPTI_ERROR_MIG_DEVICE_NOT_SUPPORTED:
    case CUPTI_ERROR_SLI_DEVICE_NOT_SUPPORTED:
    case CUPTI_ERROR_WSL_DEVICE_NOT_SUPPORTED:
      return {CounterFault::kMissing, "not on this GPU: " + said};
    default:
      return {CounterFault::kFailed, said};
  }
}

}  // namespace bwrt::cuda
