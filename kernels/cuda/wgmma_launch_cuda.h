// Between the launch and the files that hold the kernel's instantiations. For .cu files.
#ifndef BWRT_KERNELS_CUDA_WGMMA_LAUNCH_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_LAUNCH_CUDA_H_

#include "kernels/cuda/wgmma_gemm_cuda.h"

namespace bwrt::kernels {

// The kernel's function on the host, to launch it by; null where there is none.
const void* WgmmaFunctionBF16(const WgmmaKernel& kernel, bool counts);
const void* WgmmaFunctionF16(const WgmmaKernel& kernel, bool counts);
const void* WgmmaFunctionF8(const WgmmaKernel& kernel, bool counts);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_LAUNCH_CUDA_H_
