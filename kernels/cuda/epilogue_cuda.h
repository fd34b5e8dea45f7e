// The epilogue of the CUDA kernels, in f32: the formulas of kernels/activation.h. For .cu files.
#ifndef BWRT_KERNELS_CUDA_EPILOGUE_CUDA_H_
#define BWRT_KERNELS_CUDA_EPILOGUE_CUDA_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

namespace bwrt::kernels {

__device__ __forceinline__ float ToF32(float x) { return x; }
__device__ __forceinline__ float ToF32(__half x) { return __half2float(x); }
__device__ __forceinline__ float ToF32(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float ToF32(__nv_fp8_e4m3 x) { return static_cast<float>(x); }
__device__ __forceinline__ float ToF32(__nv_fp8_e5m2 x) { return static_cast<float>(x); }
__device__ __forceinline__ void StoreF32(float* to, float x) { *to = x; }
__device__ __forceinline__ void StoreF32(__half* to, float x) { *to = __float2half_rn(x); }
__device__ __forceinline__ void StoreF32(__nv_bfloat16* to, float x) { *to = __float2bfloat16_rn(x); }

// Numbers as in runtime/cuda_plugin_abi.h. A NaN stays one: fmaxf would drop it.
__device__ __forceinline__ float Activate(int activation, float x) {
  switch (activation) {
    case 1:  // relu
      return x < 0.0f ? 0.0f : x;
    case 2: {  // gelu_tanh
      const float u = 0.797884560802865f * (x + 0.044715f * (x * x * x));
      return x / (1.0f + expf(-2.0f * u));
    }
    case 3:  // gelu_erf
      return 0.5f * x * erfcf(-0.707106781186548f * x);
    case 4:  // silu
      return x / (1.0f + expf(-x));
    default:
      return x;
  }
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_EPILOGUE_CUDA_H_
