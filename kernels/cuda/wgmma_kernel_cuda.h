// The Hopper kernel itself, a template over WgmmaShape. For .cu files that are compiled for sm_90a.
#ifndef BWRT_KERNELS_CUDA_WGMMA_KERNEL_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_KERNEL_CUDA_H_

#include "kernels/cuda/epilogue_cuda.h"
#include "kernels/cuda/wgmma_device_cuda.h"
#include "kernels/cuda/wgmma_gemm_cuda.h"
#include "kernels/cuda/wgmma_loops_cuda.h"

namespace bwrt::kernels {

struct WgmmaParams {
  WgmmaOrder order;
  int64_t m, n;
  void* c;
  int64_t ldc;
  int32_t c_dtype;
  int32_t activation;
  float alpha, beta;
  const float* bias;
  float* partials;
  int64_t partial_pitch;
  uint32_t* slots;
  WgmmaCounts* counts;
  int32_t stages;
};

// alpha * sum + beta * C + bias, activated, of `count` (1 to 4) neighbouring elements; four whole ones go as one word.
template <typename T>
__device__ __forceinline__ void StoreFour(const WgmmaParams& p, int64_t row, int64_t col, const float (&sums)[4],
                                          int count) {
  T* const to = static_cast<T*>(p.c) + row * p.ldc + col;
  alignas(sizeof(T) * 4) T four[4];
  using Word = std::conditional_t<sizeof(T) == 4, float4, uint2>;
  if (p.beta != 0.0f) {
    if (count == 4) {
      *reinterpret_cast<Word*>(four) = *reinterpret_cast<const Word*>(to);
    } else {
      for (int i = 0; i < 4; ++i) {
        if (i < count) four[i] = to[i];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float value = p.alpha * sums[i];
    if (i < count) {
      if (p.beta != 0.0f) value += p.beta * ToF32(four[i]);
      if (p.bias != nullptr) value += p.bias[col + i];
    }
    StoreF32(&four[i], Activate(p.activation, value));
  }
  if (count == 4) {
    *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(four);
  } else {
    for (int i = 0; i < 4; ++i) {
      if (i < count) to[i] = four[i];
    }
  }
}

__device__ __forceinline__ void StoreResult(const WgmmaParams& p, int64_t row, int64_t col, const float (&sums)[4],
                                            int count) {
  switch (p.c_dtype) {
    case kWgmmaF32:
      return StoreFour<float>(p, row, col, sums, count);
    case kWgmmaF16:
      return StoreFour<__half>(p, row, col, sums, count);
    default:
      return StoreFour<__nv_bfloat16>(p, row, col, sums, count);
  }
}

// From accumulators to C, or to the parts that the last block of an entry adds up.
template <typename Shape>
struct TileStorer {
  const WgmmaParams& p;
  float* piece;    // The warp's own shared memory.
  uint32_t* last;  // A shared word.

  __device__ __forceinline__ void Store(float (&sums)[Shape::kBlocks][Shape::kAccumulators], const WgmmaWork& work) {
    if (!work.stores) return;
    const int thread = static_cast<int>(threadIdx.x) - 128;
    const int group = thread / 128;
    const int warp = thread / 32 % 4;
    const int lane = thread % 32;
    const int64_t row0 = Shape::kSwapped ? work.y : work.x;
    const int64_t col0 = Shape::kSwapped ? work.x : work.y;
    constexpr int kPerBlock = Shape::kAccumulators / Shape::kPieceRegisters;
#pragma unroll 1
    for (int at = 0; at < Shape::kPieces; ++at) {
      // Registers have no index at run time: each piece has its copy of this, and of this alone.
#pragma unroll
      for (int known = 0; known < Shape::kPieces; ++known) {
        if (known != at) continue;
#pragma unroll
        for (int i = 0; i < Shape::kPieceRegisters; i += 2) {
          const TilePosition to = PiecePosition<Shape>(lane, i);
          float* const pair = piece + to.row * Shape::kPiecePitch + to.col;
          const float low = sums[known / kPerBlock][known % kPerBlock * Shape::kPieceRegisters + i];
          const float high = sums[known / kPerBlock][known % kPerBlock * Shape::kPieceRegisters + i + 1];
          if constexpr (Shape::kSwapped) {
            pair[0] = low;
            pair[Shape::kPiecePitch] = high;
          } else {
            *reinterpret_cast<float2*>(pair) = make_float2(low, high);
          }
        }
      }
      __syncwarp();
      const TilePosition origin = PieceOrigin<Shape>(group, warp, at);
#pragma unroll 1
      for (int pass = 0; pass < kStorePasses<Shape>; ++pass) {
        const TilePosition from = StorePosition<Shape>(lane, pass);
        const int64_t row = row0 + origin.row + from.row;
        const int64_t col = col0 + origin.col + from.col;
        if (row >= p.m || col >= p.n) continue;
        const float4 four = *reinterpret_cast<const float4*>(piece + from.row * Shape::kPiecePitch + from.col);
        const int count = p.n - col < 4 ? static_cast<int>(p.n - col) : 4;
        const float values[4] = {four.x, four.y, four.z, four.w};
        if (Shape::kSwapped && p.order.splits > 1) {
          // Rows of a part are padded to fours.
          *reinterpret_cast<float4*>(p.partials + (static_cast<int64_t>(work.split) * p.m + row) * p.partial_pitch +
                                     col) = four;
        } else {
          StoreResult(p, row, col, values, count);
        }
      }
      __syncwarp();
    }
    if constexpr (Shape::kSwapped) {
      if (p.order.splits > 1) AddParts(work, thread);
    }
  }

  // The block that comes last to an entry adds its parts up, in their order whoever wrote them when.
  __device__ __forceinline__ void AddParts(const WgmmaWork& work, int thread) {
    __threadfence();
    asm volatile("bar.sync 1, 256;" ::: "memory");
    if (thread == 0) *last = atomicAdd(p.slots + work.slot, 1u) + 1 == static_cast<uint32_t>(p.order.splits) ? 1 : 0;
    asm volatile("bar.sync 1, 256;" ::: "memory");
    if (*last == 0) return;
    __threadfence();
    constexpr int kFours = Shape::kRows / 4;
#pragma unroll 1
    for (int64_t at = thread; at < p.m * kFours; at += 256) {
      const int64_t row = at / kFours;
      const int64_t col = work.x + at % kFours * 4;
      if (col >= p.n) continue;
      float sums[4] = {};
#pragma unroll 1
      for (int split = 0; split < p.order.splits; ++split) {
        const float4 part =
            __ldcg(reinterpret_cast<const float4*>(p.partials + (split * p.m + row) * p.partial_pitch + col));
        sums[0] += part.x;
        sums[1] += part.y;
        sums[2] += part.z;
        sums[3] += part.w;
      }
      StoreResult(p, row, col, sums, p.n - col < 4 ? static_cast<int>(p.n - col) : 4);
    }
  }
};

template <typename Shape, bool kCount>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    WgmmaKernelOf(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap y_map,
                  const __grid_constant__ WgmmaParams p) {
  extern __shared__ unsigned char memory[];
  const uint32_t unaligned = SharedAddress(memory);
  const uint32_t base = (unaligned + kSharedAlign - 1) / kSharedAlign * kSharedAlign;
  unsigned char* const aligned = memory + (base - unaligned);
  const Ring<Shape> ring{base, base + static_cast<uint32_t>(BarrierOffset(Shape::kStageBytes, p.stages))};
  unsigned char* const barriers = aligned + BarrierOffset(Shape::kStageBytes, p.stages);
  auto* const board = reinterpret_cast<volatile CountBoard*>(barriers + 8 * 2 * kMaxStages);
  auto* const last = reinterpret_cast<uint32_t*>(barriers + 8 * 2 * kMaxStages + sizeof(CountBoard));
  static_assert(8 * 2 * kMaxStages + sizeof(CountBoard) + 4 <= kBarrierBytes);
  const int thread = static_cast<int>(threadIdx.x);
  const int cluster = p.order.cluster;
  const ClusterPlace place{static_cast<int32_t>(blockIdx.x) / cluster, static_cast<int32_t>(gridDim.x) / cluster,
                           cluster == 1 ? 0 : static_cast<int>(ClusterRank())};
  if (thread == 0) {
    PrefetchMap(&x_map);
    PrefetchMap(&y_map);
    for (int stage = 0; stage < p.stages; ++stage) {
      InitBarrier(ring.Full(stage), 1);
      // Every warp of every consumer in the cluster.
      InitBarrier(ring.Empty(stage), static_cast<uint32_t>(4 * kWgmmaConsumers * cluster));
    }
    board->issued = 0;
    if constexpr (kCount) board->begin = static_cast<uint64_t>(clock64());
    FenceBarriers();
  }
  __syncthreads();
  // No block may reach for another's barriers before they are there.
  if (cluster > 1) ClusterSync();

  const int group = thread / 128 - 1;
  WgmmaCounts counts;
  if (group < 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
    if (thread == 0) {
      ProducerHardware<Shape, kCount> hardware{ring, &x_map, &y_map, board};
      Produce<Shape>(hardware, p.order, place, p.stages);
      if constexpr (kCount) board->idle = hardware.idle;
    }
    __syncwarp();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
    float* const piece = reinterpret_cast<float*>(aligned + PieceOffset(Shape::kStageBytes, p.stages) +
                                                  (thread / 32 - 4) * Shape::kPieceBytes);
    ConsumerHardware<Shape, kCount, TileStorer<Shape>> hardware{ring, {p, piece, last}, board, cluster, {}};
    Consume<Shape>(hardware, p.order, place, group, p.stages);
    if constexpr (kCount) {
      counts.elapsed = static_cast<uint64_t>(clock64()) - board->begin;
      counts.steps = hardware.steps;
      counts.ring = hardware.occupied;
    }
  }
  if constexpr (kCount) {
    __syncthreads();  // The producer has told how long it idled.
    if (thread == kWgmmaThreads - 1) {
      counts.idle = board->idle;
      p.counts[blockIdx.x] = counts;
    }
  }
  // A block's barriers and stages stay until the other one has no more to do with them.
  if (cluster > 1) ClusterSync();
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_KERNEL_CUDA_H_
