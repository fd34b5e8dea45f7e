#include <cuda_runtime_api.h>

#include <string>

#include "runtime/cuda/cupti_pm_sampler.h"
#include "runtime/cuda/pm_sampling.h"

namespace bwrt::cuda {

std::unique_ptr<PmSampler> MakePmSampler(int ordinal) {
  return std::make_unique<CuptiPmSampler>(
      ordinal, [](CuptiLibrary* to) { return CuptiLibrary::Load(CuptiLibrary::Places(), to); },
      [ordinal]() -> CounterStatus {
        const cudaError_t error = cudaSetDevice(ordinal);
        if (error == cudaSuccess) return {};
        return {CounterFault::kFailed, std::string("cudaSetDevice: ") + cudaGetErrorName(error)};
      });
}

}  // namespace bwrt::cuda
