#include "kernels/cuda/wgmma_functions_cuda.h"
#include "kernels/cuda/wgmma_launch_cuda.h"

namespace bwrt::kernels {

const void* WgmmaFunctionF16(const WgmmaKernel& kernel, bool counts) {
  return kernel.w_transposed ? FunctionOfLayout<kWgmmaF16, true>(kernel, counts)
                             : FunctionOfLayout<kWgmmaF16, false>(kernel, counts);
}

}  // namespace bwrt::kernels
