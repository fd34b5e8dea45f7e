#include "kernels/cuda/wgmma_functions_cuda.h"
#include "kernels/cuda/wgmma_launch_cuda.h"

namespace bwrt::kernels {

const void* WgmmaFunctionF8(const WgmmaKernel& kernel, bool counts) {
  if (!kernel.w_transposed || (!kernel.swapped && kernel.slabs != 1)) return nullptr;
  return kernel.dtype == kWgmmaE4M3 ? FunctionOfLayout<kWgmmaE4M3, true>(kernel, counts)
                                    : FunctionOfLayout<kWgmmaE5M2, true>(kernel, counts);
}

}  // namespace bwrt::kernels
