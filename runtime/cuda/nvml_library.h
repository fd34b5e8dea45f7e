// NvmlLibrary: the functions of libnvidia-ml.so.1 that read a GPU's performance monitoring (GPM), loaded with dlopen.
//
// The CUDA toolkit has no nvml.h in every installation: types and numbers are those of NVML's documented interface,
// which keeps them ("NVML API Reference Guide", GPM Functions and Structs).
#ifndef BWRT_RUNTIME_CUDA_NVML_LIBRARY_H_
#define BWRT_RUNTIME_CUDA_NVML_LIBRARY_H_

#include "runtime/cuda/cuda_counter_source.h"

namespace bwrt::cuda {

// nvmlReturn_t.
enum NvmlReturn : int {
  kNvmlSuccess = 0,
  kNvmlNotSupported = 3,
  kNvmlNoPermission = 4,
  kNvmlDriverNotLoaded = 9,
  kNvmlFunctionNotFound = 13,
  kNvmlGpuIsLost = 15,
  kNvmlInUse = 19,
};

// nvmlGpmMetricId_t; in percent.
enum NvmlGpmMetricId : unsigned {
  kNvmlGpmSmUtil = 2,
  kNvmlGpmAnyTensorUtil = 5,
  kNvmlGpmDramBandwidthUtil = 10,
};

using NvmlDevice = struct NvmlDeviceTag*;        // nvmlDevice_t
using NvmlGpmSample = struct NvmlGpmSampleTag*;  // nvmlGpmSample_t

// nvmlGpmMetric_t.
struct NvmlGpmMetric {
  unsigned metric_id;  // In.
  int status;          // Out: NvmlReturn.
  double value;        // Out.
  const char* short_name;
  const char* long_name;
  const char* unit;
};

// nvmlGpmMetricsGet_t, of which the library reads and writes the first metric_count metrics. Its own array has had 98
// to 477 places, which grow with its versions.
struct NvmlGpmMetricsGet {
  static constexpr unsigned kVersion = 1;
  static constexpr unsigned kPlaces = 512;

  unsigned version;
  unsigned metric_count;
  NvmlGpmSample earlier;
  NvmlGpmSample later;
  NvmlGpmMetric metrics[kPlaces];
};

// nvmlGpmSupport_t.
struct NvmlGpmSupport {
  static constexpr unsigned kVersion = 1;

  unsigned version;
  unsigned supported;  // Out.
};

struct NvmlLibrary {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*get_handle_by_pci_bus_id)(const char* bus_id, NvmlDevice* to) = nullptr;
  int (*gpm_query_support)(NvmlDevice device, NvmlGpmSupport* to) = nullptr;
  int (*gpm_sample_alloc)(NvmlGpmSample* to) = nullptr;
  int (*gpm_sample_free)(NvmlGpmSample sample) = nullptr;
  int (*gpm_sample_get)(NvmlDevice device, NvmlGpmSample to) = nullptr;
  int (*gpm_metrics_get)(NvmlGpmMetricsGet* metrics) = nullptr;
  int (*get_mig_mode)(NvmlDevice device, unsigned* now, unsigned* pending) = nullptr;  // May be null.

  // MISSING where there is no library, or one of a driver before R520, which knows no GPM.
  static CounterStatus Load(NvmlLibrary* to);
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_NVML_LIBRARY_H_
