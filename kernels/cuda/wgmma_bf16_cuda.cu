#include "kernels/cuda/wgmma_functions_cuda.h"
#include "kernels/cuda/wgmma_launch_cuda.h"

namespace bwrt::kernels {

const void* WgmmaFunctionBF16(const WgmmaKernel& kernel, bool counts) {
  return kernel.w_transposed ? FunctionOfLayout<kWgmmaBF16, true>(kernel, counts)
                             : FunctionOfLayout<kWgmmaBF16, false>(kernel, counts);
}

}  // namespace bwrt::kernels
