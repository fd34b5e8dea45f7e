// The Hopper GEMM kernel (sm_90a): what it takes, what it makes of it, and its launch.
//
// C = activation(alpha * A @ W + beta * C + bias) on the tensor cores: persistent blocks of one producing warpgroup
// (TMA) and two multiplying ones (wgmma), a ring of stages between them, sums in f32. Waves of at most kSkinnyRows rows
// run with swapped operands and K split among blocks, so that all of the GPU reads weights.
//
// 1. Blocks take tiles in the table's order. Elements of C outside the listed tiles are neither read nor written, what
// lies
//    outside A and W counts as zero. C is read only where beta != 0.
// 2. The result does not depend on the traversal, nor on which block computes what: parts of a split K are added up in
//    their order.
// 3. Waits are bounded: a kernel that hangs ends itself with a trap, which loses the context, and not the machine.
//
// All that decides is host code without CUDA (wgmma_gemm_cuda.cc).
#ifndef BWRT_KERNELS_CUDA_WGMMA_GEMM_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_GEMM_CUDA_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/wgmma_work_cuda.h"

namespace bwrt::kernels {

inline constexpr int64_t kSkinnyRows = 64;  // The most rows of A that run with swapped operands.

// One instantiation of the kernel and the type of its result: what is right or wrong together.
struct WgmmaKernel {
  int32_t dtype = 0;
  int32_t c_dtype = 0;
  bool w_transposed = false;
  bool swapped = false;
  int32_t rows = 0, cols = 0, slabs = 0;  // As in WgmmaShape.
  friend auto operator<=>(const WgmmaKernel&, const WgmmaKernel&) = default;
};
// "bwrt_wgmma_bf16_128x256x64_nk", or "bwrt_skinny_bf16_16_kn".
std::string NameOf(const WgmmaKernel& kernel);
// Every one there is.
std::vector<WgmmaKernel> AllWgmmaKernels();

// Elements of K in a step, bytes of a stage, and stages that fit.
int32_t StepOf(const WgmmaKernel& kernel);
int32_t StageBytesOf(const WgmmaKernel& kernel);
int32_t MostStagesOf(const WgmmaKernel& kernel);
int32_t SharedBytesOf(const WgmmaKernel& kernel, int32_t stages);

// What decides how a problem runs; leading dimensions in elements.
struct WgmmaProblem {
  int64_t m = 0, n = 0, k = 0;
  int32_t dtype = 0, c_dtype = 0;
  bool w_transposed = false;
  int64_t lda = 0, ldw = 0, ldc = 0;
  int32_t bm = 1, bn = 1, bk = 1, stages = 2, cluster_x = 1, cluster_y = 1;
};

struct WgmmaChoice {
  const char* reason = "";  // Why the kernel can't run it; empty where it can.
  WgmmaKernel kernel;
  int32_t stages = 2;
  int32_t cluster = 1;  // Blocks.
  int32_t splits = 1;   // Of K.
  bool supported() const { return *reason == '\0'; }
};

// How a problem runs on a GPU of `multiprocessors`; the tile and its cluster as asked, or not at all.
WgmmaChoice ChooseWgmma(const WgmmaProblem& problem, int multiprocessors);

// Parts of K such that `tiles` times as many keep all multiprocessors at work, at least one step each.
int32_t SkinnySplits(int64_t tiles, int64_t k_steps, int multiprocessors);

// What a block counts, once at its end. Cycles of its multiprocessor.
struct WgmmaCounts {
  uint64_t elapsed = 0;
  uint64_t steps = 0;  // Of K that its consumers multiplied.
  uint64_t ring = 0;   // Stages that were loading or loaded, summed over the steps.
  uint64_t idle = 0;   // While nothing was on its way from memory.
};

struct WgmmaGemm {
  int64_t m = 0, n = 0, k = 0;
  const void* a =
      nullptr;  // [m, k]; all pointers at multiples of 16 bytes, and lda, ldw and ldc multiples of 16 bytes.
  int64_t lda = 0;
  const void* w = nullptr;  // [k, n], or [n, k] when kernel.w_transposed.
  int64_t ldw = 0;
  void* c = nullptr;  // [m, n]
  int64_t ldc = 0;
  int32_t activation = 0;
  float alpha = 1;
  float beta = 0;
  const float* bias = nullptr;
  WgmmaKernel kernel;
  int32_t stages = 2;
  int32_t cluster = 1;
  int32_t splits = 1;
  int32_t bm = 1, bn = 1;
  const uint32_t* tiles = nullptr;  // Null: tile i is (i / grid_cols, i % grid_cols).
  int64_t grid_cols = 1;
  int64_t first = 0;
  int64_t count = 0;
  // With splits > 1: f32 of PartialBytes, and SlotsOf counters that are zero before the launch.
  float* partials = nullptr;
  uint32_t* slots = nullptr;
  int32_t blocks = 0;             // At most; 0: one for each multiprocessor.
  WgmmaCounts* counts = nullptr;  // One for each multiprocessor, zero before the launch; null: nothing is counted.
};

WgmmaOrder OrderOf(const WgmmaGemm& gemm);
int64_t SlotsOf(const WgmmaGemm& gemm);
// Floats from row to row of a part.
int64_t PartialPitch(int64_t n);
int64_t PartialBytes(int64_t m, int64_t n, int32_t splits);

// One operand as TMA sees it: a matrix of `inner` contiguous elements by `outer` lines.
struct WgmmaMap {
  const void* base = nullptr;
  uint64_t inner = 0, outer = 0;
  uint64_t pitch = 0;  // Bytes, a multiple of 16.
  uint32_t box_inner = 0, box_outer = 0;
};
// X and Y.
std::array<WgmmaMap, 2> MapsOf(const WgmmaGemm& gemm);

// Ratios in [0, 1] of launches that ran one after another, `per_launch` blocks' counts each; below 0: not counted.
struct WgmmaRatios {
  float wgmma_active = -1;
  float tma_occ = -1;
  float ring_occ = -1;
};
WgmmaRatios RatiosOf(const std::vector<WgmmaCounts>& counts, int64_t per_launch, const WgmmaKernel& kernel,
                     int32_t stages);

// Queues the kernel on `stream` (a cudaStream_t) of the current device, of compute capability 9.0. A cudaError_t.
int LaunchWgmmaGemm(const WgmmaGemm& gemm, int multiprocessors, void* stream);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_GEMM_CUDA_H_
