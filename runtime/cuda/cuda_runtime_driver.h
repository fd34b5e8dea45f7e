// CudaRuntimeDriver: CudaDriver on the CUDA runtime, which is linked in, and cuBLASLt, which is loaded.
#ifndef BWRT_RUNTIME_CUDA_CUDA_RUNTIME_DRIVER_H_
#define BWRT_RUNTIME_CUDA_CUDA_RUNTIME_DRIVER_H_

#include <memory>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

// NO_DRIVER, NO_DEVICE or NO_CUBLASLT, with what is missing and what mends it.
CudaStatus MakeRuntimeDriver(int ordinal, std::unique_ptr<CudaDriver>* to);

// What an error of the runtime means: whether it is sticky, above all. `call` says what failed.
CudaStatus RuntimeError(const char* call, int error);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_RUNTIME_DRIVER_H_
