// The PM sampling of a GPU, where the plugin was built with CUPTI.
#ifndef BWRT_RUNTIME_CUDA_PM_SAMPLING_H_
#define BWRT_RUNTIME_CUDA_PM_SAMPLING_H_

#include <memory>

#include "runtime/cuda/pm_sampler.h"

namespace bwrt::cuda {

// `ordinal`: as CUDA counts. Touches neither GPU nor library before it is opened; without CUPTI it is MISSING then.
std::unique_ptr<PmSampler> MakePmSampler(int ordinal);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_PM_SAMPLING_H_
