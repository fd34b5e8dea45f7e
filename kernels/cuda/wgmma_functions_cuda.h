// Every instantiation of the Hopper kernel for one type of operands. For .cu files that are compiled for sm_90a.
#ifndef BWRT_KERNELS_CUDA_WGMMA_FUNCTIONS_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_FUNCTIONS_CUDA_H_

#include "kernels/cuda/wgmma_kernel_cuda.h"

namespace bwrt::kernels {

template <typename Shape>
const void* FunctionOf(bool counts) {
  return counts ? reinterpret_cast<const void*>(&WgmmaKernelOf<Shape, true>)
                : reinterpret_cast<const void*>(&WgmmaKernelOf<Shape, false>);
}

// W [N, K] (kTransposed) or [K, N].
template <int32_t kDType, bool kTransposed>
const void* FunctionOfLayout(const WgmmaKernel& kernel, bool counts) {
  constexpr bool kMn = !kTransposed;
  if (kernel.swapped) {
    if (kernel.cols == 16) return FunctionOf<WgmmaShape<kDType, 128, 16, 2, kMn, false, true>>(counts);
    if (kernel.cols == 64) return FunctionOf<WgmmaShape<kDType, 128, 64, 2, kMn, false, true>>(counts);
    return nullptr;
  }
  if (kernel.rows == 128 && kernel.cols == 128) {
    return kernel.slabs == 1 ? FunctionOf<WgmmaShape<kDType, 128, 128, 1, false, kMn, false>>(counts)
                             : FunctionOf<WgmmaShape<kDType, 128, 128, 2, false, kMn, false>>(counts);
  }
  if (kernel.rows == 128) return FunctionOf<WgmmaShape<kDType, 128, 256, 1, false, kMn, false>>(counts);
  return FunctionOf<WgmmaShape<kDType, 256, 128, 1, false, kMn, false>>(counts);
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_FUNCTIONS_CUDA_H_
