#include <cuda_runtime_api.h>

#include "kernels/cuda/epilogue_cuda.h"
#include "kernels/cuda/plain_gemm_cuda.h"

namespace bwrt::kernels {
namespace {

// A block of 16 x 16 threads computes 64 x 64 elements at a time, 4 x 4 a thread.
constexpr int kSide = 64;
constexpr int kThreads = 256;
constexpr int kPerThread = 4;
constexpr int kStep = kPlainGemmKStep;

// One 64 x 64 piece of C from (row0, col0), of which the part below (row_end, col_end) counts.
template <typename In, typename Out>
__device__ void Piece(const PlainGemm& g, int64_t row0, int64_t col0, int64_t row_end, int64_t col_end,
                      float (&a_step)[kStep][kSide + 1], float (&w_step)[kStep][kSide + 1]) {
  const In* const a = static_cast<const In*>(g.a);
  const In* const w = static_cast<const In*>(g.w);
  const int thread = static_cast<int>(threadIdx.x);
  const int tx = thread % 16;
  const int ty = thread / 16;
  float sums[kPerThread][kPerThread] = {};
  for (int64_t k0 = 0; k0 < g.k; k0 += kStep) {
    // What lies outside is zero in both operands, so that no infinity of one meets the padding of the other.
    for (int i = thread; i < kStep * kSide; i += kThreads) {
      const int kk = i % kStep;
      const int row = i / kStep;
      const bool in = row0 + row < row_end && k0 + kk < g.k;
      a_step[kk][row] = in ? ToF32(a[(row0 + row) * g.lda + k0 + kk]) : 0.0f;
    }
    for (int i = thread; i < kStep * kSide; i += kThreads) {
      // Neighbouring threads read neighbouring addresses in either orientation.
      const int kk = g.w_transposed ? i % kStep : i / kSide;
      const int col = g.w_transposed ? i / kStep : i % kSide;
      const bool in = col0 + col < col_end && k0 + kk < g.k;
      const int64_t at = g.w_transposed ? (col0 + col) * g.ldw + k0 + kk : (k0 + kk) * g.ldw + col0 + col;
      w_step[kk][col] = in ? ToF32(w[at]) : 0.0f;
    }
    __syncthreads();
    for (int kk = 0; kk < kStep; ++kk) {
      float x[kPerThread];
      float y[kPerThread];
      for (int i = 0; i < kPerThread; ++i) x[i] = a_step[kk][ty + 16 * i];
      for (int j = 0; j < kPerThread; ++j) y[j] = w_step[kk][tx + 16 * j];
      for (int i = 0; i < kPerThread; ++i) {
        for (int j = 0; j < kPerThread; ++j) sums[i][j] = fmaf(x[i], y[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
  Out* const c = static_cast<Out*>(g.c);
  for (int i = 0; i < kPerThread; ++i) {
    for (int j = 0; j < kPerThread; ++j) {
      const int64_t row = row0 + ty + 16 * i;
      const int64_t col = col0 + tx + 16 * j;
      if (row >= row_end || col >= col_end) continue;
      Out* const to = c + row * g.ldc + col;
      float value = g.alpha * sums[i][j];
      if (g.beta != 0.0f) value += g.beta * ToF32(*to);
      if (g.bias != nullptr) value += g.bias[col];
      StoreF32(to, Activate(g.activation, value));
    }
  }
}

template <typename In, typename Out>
__global__ void __launch_bounds__(kThreads) PlainGemmKernel(const PlainGemm g) {
  __shared__ float a_step[kStep][kSide + 1];
  __shared__ float w_step[kStep][kSide + 1];
  __shared__ unsigned long long taken;
  for (;;) {
    if (threadIdx.x == 0) taken = atomicAdd(g.ticket, 1ull);
    __syncthreads();
    const int64_t ticket = static_cast<int64_t>(taken);
    // Nobody takes the next one before all have read this one.
    __syncthreads();
    if (ticket >= g.count) return;
    const int64_t index = g.first + ticket;
    const int64_t tile_m = g.tiles != nullptr ? static_cast<int64_t>(g.tiles[index] >> 16) : index / g.grid_cols;
    const int64_t tile_n = g.tiles != nullptr ? static_cast<int64_t>(g.tiles[index] & 0xffffu) : index % g.grid_cols;
    const int64_t row_end = min(static_cast<long long>(g.m), static_cast<long long>((tile_m + 1) * g.bm));
    const int64_t col_end = min(static_cast<long long>(g.n), static_cast<long long>((tile_n + 1) * g.bn));
    for (int64_t row = tile_m * g.bm; row < row_end; row += kSide) {
      for (int64_t col = tile_n * g.bn; col < col_end; col += kSide) {
        Piece<In, Out>(g, row, col, row_end, col_end, a_step, w_step);
      }
    }
  }
}

template <typename In, typename Out>
int Launch(const PlainGemm& gemm, int multiprocessors, cudaStream_t stream) {
  int per_multiprocessor = 0;
  const cudaError_t error =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, PlainGemmKernel<In, Out>, kThreads, 0);
  if (error != cudaSuccess) return error;
  const int64_t resident = static_cast<int64_t>(multiprocessors) * (per_multiprocessor > 0 ? per_multiprocessor : 1);
  const int64_t blocks = gemm.count < resident ? gemm.count : resident;
  PlainGemmKernel<In, Out><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(gemm);
  return cudaGetLastError();
}

// An fp8 operand's C has a type of its own.
template <typename In>
int LaunchF8(const PlainGemm& gemm, int multiprocessors, cudaStream_t stream) {
  switch (gemm.c_dtype) {
    case 0:
      return Launch<In, float>(gemm, multiprocessors, stream);
    case 1:
      return Launch<In, __half>(gemm, multiprocessors, stream);
    case 2:
      return Launch<In, __nv_bfloat16>(gemm, multiprocessors, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

int LaunchPlainGemm(const PlainGemm& gemm, int multiprocessors, void* stream) {
  if (gemm.count <= 0) return cudaSuccess;
  auto* const on = static_cast<cudaStream_t>(stream);
  const bool wide = gemm.c_dtype == 0;
  switch (gemm.dtype) {
    case 0:
      return wide ? Launch<float, float>(gemm, multiprocessors, on) : cudaErrorInvalidValue;
    case 1:
      return wide ? Launch<__half, float>(gemm, multiprocessors, on)
                  : Launch<__half, __half>(gemm, multiprocessors, on);
    case 2:
      return wide ? Launch<__nv_bfloat16, float>(gemm, multiprocessors, on)
                  : Launch<__nv_bfloat16, __nv_bfloat16>(gemm, multiprocessors, on);
    case 3:
      return LaunchF8<__nv_fp8_e4m3>(gemm, multiprocessors, on);
    case 4:
      return LaunchF8<__nv_fp8_e5m2>(gemm, multiprocessors, on);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace bwrt::kernels
