// The plain GEMM kernel for CUDA: right on every GPU from sm_80 on, for every tile shape, type and epilogue.
//
// C = activation(alpha * A @ W + beta * C + bias), tile by tile in the order of a table, sums in f32 by plain
// multiply-adds: no tensor cores, so it is the fallback for what faster kernels don't do, not the road for large waves.
//
// 1. Blocks take tiles from a ticket counter, so that tiles start in the table's order however blocks are scheduled.
// 2. Elements of C outside the listed tiles are neither read nor written. C is read only where beta != 0.
// 3. The sum over K of an element runs in the order of K in one thread: the result does not depend on tile shape,
//    traversal or GPU.
#ifndef BWRT_KERNELS_CUDA_PLAIN_GEMM_CUDA_H_
#define BWRT_KERNELS_CUDA_PLAIN_GEMM_CUDA_H_

#include <cstdint>

namespace bwrt::kernels {

// Numbers of types and activations as in runtime/cuda_plugin_abi.h. Pointers are the device's, matrices row-major with
// leading dimensions in elements.
struct PlainGemm {
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;  // [m, k]
  int64_t lda = 0;
  const void* w = nullptr;  // [k, n], or [n, k] when transposed.
  int64_t ldw = 0;
  bool w_transposed = false;
  void* c = nullptr;  // [m, n]
  int64_t ldc = 0;
  int32_t dtype = 0;
  int32_t c_dtype = 0;
  int32_t activation = 0;
  float alpha = 1;
  float beta = 0;
  const float* bias = nullptr;  // n values, or null.
  int32_t bm = 1, bn = 1;
  // Tiles [first, first + count) as m << 16 | n; null: tile i is (i / grid_cols, i % grid_cols).
  const uint32_t* tiles = nullptr;
  int64_t grid_cols = 1;
  int64_t first = 0;
  int64_t count = 0;
  unsigned long long* ticket = nullptr;  // Zero before the launch. One for each launch under way.
};

// Depth of one step of K.
inline constexpr int32_t kPlainGemmKStep = 16;

// Queues the kernel on `stream` (a cudaStream_t) of the current device. A cudaError_t.
int LaunchPlainGemm(const PlainGemm& gemm, int multiprocessors, void* stream);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_PLAIN_GEMM_CUDA_H_
