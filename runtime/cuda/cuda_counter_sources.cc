#include "runtime/cuda/cuda_counter_sources.h"

#include <cuda_runtime_api.h>

#include <array>
#include <memory>

#include "runtime/cuda/nvml_gpm_source.h"
#include "runtime/cuda/pm_sampling.h"
#include "runtime/cuda/pm_sampling_source.h"

namespace bwrt::cuda {

CudaCounters::Sources MakeCounterSources(int ordinal, int32_t mode) {
  CudaCounters::Sources sources;
  if (mode == BWRT_CUDA_COUNTERS_PM) {
    sources.push_back(std::make_unique<PmSamplingSource>(MakePmSampler(ordinal)));
  }
  // Left empty on an error: then NVML does not find the GPU, and says so.
  std::array<char, 32> bus_id{};
  if (cudaDeviceGetPCIBusId(bus_id.data(), static_cast<int>(bus_id.size()), ordinal) != cudaSuccess) bus_id[0] = '\0';
  sources.push_back(std::make_unique<NvmlGpmSource>(bus_id.data(), &NvmlLibrary::Load));
  return sources;
}

}  // namespace bwrt::cuda
