#include <cuda.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "kernels/cuda/wgmma_kernel_cuda.h"
#include "kernels/cuda/wgmma_launch_cuda.h"

namespace bwrt::kernels {
namespace {

const void* FunctionOf(const WgmmaKernel& kernel, bool counts) {
  switch (kernel.dtype) {
    case kWgmmaBF16:
      return WgmmaFunctionBF16(kernel, counts);
    case kWgmmaF16:
      return WgmmaFunctionF16(kernel, counts);
    case kWgmmaE4M3:
    case kWgmmaE5M2:
      return WgmmaFunctionF8(kernel, counts);
    default:
      return nullptr;
  }
}

CUtensorMapDataType TypeOf(int32_t dtype) {
  return dtype == kWgmmaBF16  ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
         : dtype == kWgmmaF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                              : CU_TENSOR_MAP_DATA_TYPE_UINT8;
}

using Encoder = decltype(&cuTensorMapEncodeTiled);

// From the driver by way of the runtime: nothing is linked to libcuda. It stays where it is for the life of the
// process.
cudaError_t FindEncoder(Encoder* to) {
  static std::atomic<Encoder> known{nullptr};
  *to = known.load(std::memory_order_relaxed);
  if (*to != nullptr) return cudaSuccess;
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
  if (error != cudaSuccess) return error;
  if (result != cudaDriverEntryPointSuccess || found == nullptr) return cudaErrorSymbolNotFound;
  *to = reinterpret_cast<Encoder>(found);
  known.store(*to, std::memory_order_relaxed);
  return cudaSuccess;
}

cudaError_t Encode(const WgmmaMap& map, int32_t dtype, CUtensorMap* to) {
  Encoder encode = nullptr;
  if (const cudaError_t error = FindEncoder(&encode); error != cudaSuccess) return error;
  const std::array<cuuint64_t, 2> dims = {map.inner, map.outer};
  const std::array<cuuint64_t, 1> pitches = {map.pitch};
  const std::array<cuuint32_t, 2> box = {map.box_inner, map.box_outer};
  const std::array<cuuint32_t, 2> strides = {1, 1};
  const CUresult status = encode(to, TypeOf(dtype), 2, const_cast<void*>(map.base), dims.data(), pitches.data(),
                                 box.data(), strides.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return status == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

int LaunchWgmmaGemm(const WgmmaGemm& gemm, int multiprocessors, void* stream) {
  if (gemm.count <= 0) return cudaSuccess;
  const void* const function = FunctionOf(gemm.kernel, gemm.counts != nullptr);
  if (function == nullptr) return cudaErrorInvalidValue;
  CUtensorMap x_map;
  CUtensorMap y_map;
  const std::array<WgmmaMap, 2> maps = MapsOf(gemm);
  if (const cudaError_t error = Encode(maps[0], gemm.kernel.dtype, &x_map); error != cudaSuccess) return error;
  if (const cudaError_t error = Encode(maps[1], gemm.kernel.dtype, &y_map); error != cudaSuccess) return error;

  WgmmaParams params{};
  params.order = OrderOf(gemm);
  params.m = gemm.m;
  params.n = gemm.n;
  params.c = gemm.c;
  params.ldc = gemm.ldc;
  params.c_dtype = gemm.kernel.c_dtype;
  params.activation = gemm.activation;
  params.alpha = gemm.alpha;
  params.beta = gemm.beta;
  params.bias = gemm.bias;
  params.partials = gemm.partials;
  params.partial_pitch = PartialPitch(gemm.n);
  params.slots = gemm.slots;
  params.counts = gemm.counts;
  params.stages = gemm.stages;

  const int shared = SharedBytesOf(gemm.kernel, gemm.stages);
  if (const cudaError_t error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
      error != cudaSuccess) {
    return error;
  }
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = static_cast<unsigned>(gemm.cluster);
  attribute.val.clusterDim.y = 1;
  attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  const int blocks = gemm.blocks > 0 ? std::min(gemm.blocks, multiprocessors) : multiprocessors;
  config.gridDim = dim3(static_cast<unsigned>(multiprocessors / gemm.cluster * gemm.cluster));
  config.blockDim = dim3(kWgmmaThreads);
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = gemm.cluster > 1 ? 1 : 0;
  // Not every multiprocessor has a partner: as many clusters as can be there at once, at most one block on each.
  int64_t clusters = blocks;
  if (gemm.cluster > 1) {
    int most = 0;
    if (const cudaError_t error = cudaOccupancyMaxActiveClusters(&most, function, &config); error != cudaSuccess) {
      return error;
    }
    clusters = std::min(most, blocks / gemm.cluster);
    if (clusters < 1) return cudaErrorInvalidClusterSize;
  }
  clusters = std::min(clusters, int64_t{WorkCount(params.order)});
  config.gridDim = dim3(static_cast<unsigned>(clusters * gemm.cluster));
  void* arguments[] = {&x_map, &y_map, &params};
  return cudaLaunchKernelExC(&config, function, arguments);
}

}  // namespace bwrt::kernels
