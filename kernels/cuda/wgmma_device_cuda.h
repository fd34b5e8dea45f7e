// The hardware of the Hopper kernel's loops (wgmma_loops_cuda.h) as it is: mbarriers, TMA and wgmma in PTX. For .cu
// files that are compiled for sm_90a.
#ifndef BWRT_KERNELS_CUDA_WGMMA_DEVICE_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_DEVICE_CUDA_H_

#include <cuda.h>

#include <cstdint>

#include "kernels/cuda/wgmma_instructions_cuda.h"
#include "kernels/cuda/wgmma_shape_cuda.h"
#include "kernels/cuda/wgmma_work_cuda.h"

namespace bwrt::kernels {

// Nothing that a block waits for takes a thousandth of that.
inline constexpr uint64_t kPatienceNs = 10'000'000'000;

__device__ __forceinline__ uint32_t SharedAddress(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}
__device__ __forceinline__ uint64_t GlobalTimer() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}
__device__ __forceinline__ uint32_t ClusterRank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void ClusterSync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

__device__ __forceinline__ void InitBarrier(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Makes them known to the cluster and to TMA.
__device__ __forceinline__ void FenceBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}
// Whether the phase of this parity is over; waits for it for a while, as long as the hardware likes.
__device__ __forceinline__ bool TryWait(uint32_t barrier, uint32_t parity) {
  uint32_t over;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}\n"
      : "=r"(over)
      : "r"(barrier), "r"(parity)
      : "memory");
  return over != 0;
}
// The same without waiting.
__device__ __forceinline__ bool TestWait(uint32_t barrier, uint32_t parity) {
  uint32_t over;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.test_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}\n"
      : "=r"(over)
      : "r"(barrier), "r"(parity)
      : "memory");
  return over != 0;
}
__device__ __forceinline__ void Wait(uint32_t barrier, uint32_t parity) {
  if (TryWait(barrier, parity)) return;
  const uint64_t begin = GlobalTimer();
  while (!TryWait(barrier, parity)) {
    if (GlobalTimer() - begin > kPatienceNs) __trap();
  }
}
__device__ __forceinline__ void ArriveExpecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// At the barrier that lies at the same place in block `rank` of the cluster.
__device__ __forceinline__ void ArriveAt(uint32_t barrier, uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}\n" ::"r"(barrier),
      "r"(rank)
      : "memory");
}

__device__ __forceinline__ void LoadBox(uint32_t to, const CUtensorMap* map, int inner, int outer, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          to),
      "l"(map), "r"(inner), "r"(outer), "r"(barrier)
      : "memory");
}
// To the same place in both blocks of the cluster; each one's barrier is told of its bytes.
__device__ __forceinline__ void LoadBoxToBoth(uint32_t to, const CUtensorMap* map, int inner, int outer,
                                              uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
      "l"(map), "r"(inner), "r"(outer), "r"(barrier), "h"(static_cast<uint16_t>(3))
      : "memory");
}
__device__ __forceinline__ void PrefetchMap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Shared addresses of a block's ring; barriers lie behind the stages: all `full` ones, then all `empty` ones.
template <typename Shape>
struct Ring {
  uint32_t base;
  uint32_t barriers;
  __device__ __forceinline__ uint32_t Stage(int stage) const {
    return base + static_cast<uint32_t>(StageOffset(Shape::kStageBytes, stage));
  }
  __device__ __forceinline__ uint32_t Full(int stage) const { return barriers + 8u * static_cast<uint32_t>(stage); }
  __device__ __forceinline__ uint32_t Empty(int stage) const {
    return barriers + 8u * static_cast<uint32_t>(kMaxStages + stage);
  }
};

// What the producer and the consumers of a block tell each other to count by, behind the barriers.
struct CountBoard {
  uint32_t issued;  // Steps that the producer has begun.
  uint32_t unused;
  uint64_t begin;  // When the block began, by its clock.
  uint64_t idle;
};

template <typename Shape, bool kCount>
struct ProducerHardware {
  Ring<Shape> ring;
  const CUtensorMap* x_map;
  const CUtensorMap* y_map;
  volatile CountBoard* board;
  uint32_t issued = 0;
  uint64_t idle = 0;
  int last_stage = 0;
  uint32_t last_parity = 0;

  __device__ __forceinline__ void WaitEmpty(int stage, uint32_t parity) {
    const uint32_t barrier = ring.Empty(stage);
    if constexpr (kCount) {
      if (issued != 0 && !TestWait(barrier, parity)) {
        // While the newest stage is still on its way memory is at work; from then on it idles.
        const uint64_t begin = GlobalTimer();
        uint64_t landed = 0;
        while (!TestWait(barrier, parity)) {
          if (landed == 0 && TestWait(ring.Full(last_stage), last_parity)) landed = clock64();
          if (GlobalTimer() - begin > kPatienceNs) __trap();
        }
        if (landed != 0) idle += clock64() - landed;
      }
      last_stage = stage;
      last_parity = parity ^ 1u;
    }
    Wait(barrier, parity);
  }
  __device__ __forceinline__ void ExpectBytes(int stage, int bytes) {
    ArriveExpecting(ring.Full(stage), static_cast<uint32_t>(bytes));
    if constexpr (kCount) board->issued = ++issued;
  }
  template <bool kMn>
  __device__ __forceinline__ void Load(const CUtensorMap* map, int stage, int offset, int k, int row, bool both) {
    const uint32_t to = ring.Stage(stage) + static_cast<uint32_t>(offset);
    const int inner = kMn ? row : k;
    const int outer = kMn ? k : row;
    if (both) {
      LoadBoxToBoth(to, map, inner, outer, ring.Full(stage));
    } else {
      LoadBox(to, map, inner, outer, ring.Full(stage));
    }
  }
  __device__ __forceinline__ void LoadX(int stage, int offset, int k, int row, bool both) {
    Load<Shape::kXMn>(x_map, stage, offset, k, row, both);
  }
  __device__ __forceinline__ void LoadY(int stage, int offset, int k, int row, bool both) {
    Load<Shape::kYMn>(y_map, stage, offset, k, row, both);
  }
};

// Store is the kernel's (wgmma_kernel_cuda.h).
template <typename Shape, bool kCount, typename Storer>
struct ConsumerHardware {
  Ring<Shape> ring;
  Storer storer;
  volatile CountBoard* board;
  int cluster;
  float sums[Shape::kBlocks][Shape::kAccumulators];
  uint32_t steps = 0;
  uint32_t occupied = 0;

  __device__ __forceinline__ void WaitFull(int stage, uint32_t parity) {
    Wait(ring.Full(stage), parity);
    if constexpr (kCount) {
      if (threadIdx.x == kWgmmaThreads - 1) occupied += board->issued - steps;
      ++steps;
    }
  }
  __device__ __forceinline__ uint32_t StageAddress(int stage) const { return ring.Stage(stage); }
  __device__ __forceinline__ void Fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
  __device__ __forceinline__ void Commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
  template <int kBlock>
  __device__ __forceinline__ void Multiply(uint64_t x, uint64_t y, bool add) {
    Wgmma<Shape::kDType, Shape::kCols, Shape::kXMn, Shape::kYMn>(sums[kBlock], x, y, add);
  }
  template <int kLeft>
  __device__ __forceinline__ void WaitGroups() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
  }
  __device__ __forceinline__ void Release(int stage) {
    // A warp's wait is for its own part of the product: each warp arrives, in every block that writes to the stage.
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane < cluster) ArriveAt(ring.Empty(stage), static_cast<uint32_t>(lane));
  }
  __device__ __forceinline__ void Store(const WgmmaWork& work) { storer.Store(sums, work); }
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_DEVICE_CUDA_H_
