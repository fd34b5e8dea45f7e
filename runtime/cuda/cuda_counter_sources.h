// The sources of hardware counters that a GPU has.
#ifndef BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCES_H_
#define BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCES_H_

#include <cstdint>

#include "runtime/cuda/cuda_counters.h"

namespace bwrt::cuda {

// Best first; none is opened yet. `ordinal`: as CUDA counts; `mode`: BwrtCudaCounterMode.
CudaCounters::Sources MakeCounterSources(int ordinal, int32_t mode);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCES_H_
