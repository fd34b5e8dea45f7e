// CuptiLibrary: the functions of libcupti that sample performance counters, loaded with dlopen, so that the plugin
// loads on a machine without it.
#ifndef BWRT_RUNTIME_CUDA_CUPTI_LIBRARY_H_
#define BWRT_RUNTIME_CUDA_CUPTI_LIBRARY_H_

#include <cuda.h>
// After cuda.h, whose types they use.
#include <cupti_pmsampling.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_target.h>

#include <string>
#include <vector>

#include "runtime/cuda/cuda_counter_source.h"

namespace bwrt::cuda {

struct CuptiLibrary {
  CUptiResult (*get_result_string)(CUptiResult result, const char** to) = nullptr;
  decltype(&cuptiProfilerInitialize) profiler_initialize = nullptr;
  decltype(&cuptiDeviceGetChipName) get_chip_name = nullptr;
  decltype(&cuptiProfilerHostInitialize) host_initialize = nullptr;
  decltype(&cuptiProfilerHostDeinitialize) host_deinitialize = nullptr;
  decltype(&cuptiProfilerHostConfigAddMetrics) host_add_metrics = nullptr;
  decltype(&cuptiProfilerHostGetConfigImageSize) host_get_config_image_size = nullptr;
  decltype(&cuptiProfilerHostGetConfigImage) host_get_config_image = nullptr;
  decltype(&cuptiProfilerHostGetNumOfPasses) host_get_passes = nullptr;
  decltype(&cuptiProfilerHostEvaluateToGpuValues) host_evaluate = nullptr;
  decltype(&cuptiPmSamplingGetCounterAvailability) get_counter_availability = nullptr;
  decltype(&cuptiPmSamplingEnable) enable = nullptr;
  decltype(&cuptiPmSamplingDisable) disable = nullptr;
  decltype(&cuptiPmSamplingSetConfig) set_config = nullptr;
  decltype(&cuptiPmSamplingStart) start = nullptr;
  decltype(&cuptiPmSamplingStop) stop = nullptr;
  decltype(&cuptiPmSamplingDecodeData) decode = nullptr;
  decltype(&cuptiPmSamplingGetCounterDataSize) get_counter_data_size = nullptr;
  decltype(&cuptiPmSamplingCounterDataImageInitialize) initialize_counter_data = nullptr;
  decltype(&cuptiPmSamplingGetCounterDataInfo) get_counter_data_info = nullptr;
  decltype(&cuptiPmSamplingCounterDataGetSampleInfo) get_sample_info = nullptr;

  // Where the library may lie: what the dynamic linker finds, $CUDA_HOME, where NVIDIA's packages install it.
  static std::vector<std::string> Places();
  // Loads the first that is there. MISSING where none is, or it lacks a function.
  static CounterStatus Load(const std::vector<std::string>& places, CuptiLibrary* to);

  // What `call` answered, in words.
  CounterStatus Check(const char* call, CUptiResult result) const;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUPTI_LIBRARY_H_
