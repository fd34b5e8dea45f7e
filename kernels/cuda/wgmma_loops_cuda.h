// The loops of the Hopper kernel: a producer that fills a ring of stages in shared memory, consumers that multiply
// them.
//
// Templates over the hardware: on a GPU its calls become single instructions (wgmma_device_cuda.h), in tests a
// simulated cluster whose copies and products come as late or as early as they may. A hardware offers, for stage s and
// parity p:
//   WaitFull(s, p), WaitEmpty(s, p)   until that phase of the stage's barrier is over
//   ExpectBytes(s, n)                 the producer's one arrival at `full`, with the bytes that its phase takes
//   LoadX/LoadY(s, offset, k, row, both)  TMA of one box to `offset` of the stage; `both`: to both blocks' shared
//   memory Release(s)                        a consumer's arrivals at `empty`, in every block that writes to the stage
//   StageAddress(s), Fence(), Multiply<block>(x, y, add), Commit(), WaitGroups<n>(), Store(work)
//
// 1. A stage is filled only after every consumer of the cluster has released it: multicast writes into both blocks.
// 2. A consumer releases a stage only when the products that read it are complete; one group stays under way.
// 3. Per work and stage the full barrier gets exactly kStageBytes in each block, whoever sent them.
#ifndef BWRT_KERNELS_CUDA_WGMMA_LOOPS_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_LOOPS_CUDA_H_

#include <cstdint>

#include "kernels/cuda/host_device_cuda.h"
#include "kernels/cuda/wgmma_address_cuda.h"
#include "kernels/cuda/wgmma_shape_cuda.h"
#include "kernels/cuda/wgmma_work_cuda.h"

namespace bwrt::kernels {

// A position in the ring and the parity of its phase.
struct RingPosition {
  int stage = 0;
  uint32_t parity = 0;
  BWRT_HOST_DEVICE void Advance(int stages) {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1u;
    }
  }
};

// Which cluster this block belongs to, and which block of it this is.
struct ClusterPlace {
  int32_t cluster = 0;
  int32_t clusters = 1;
  int rank = 0;
};

// One operand's tile, box by box. A box is 1/`cluster` of the tile's rows; a shared operand is loaded by halves, each
// block sending its own to both.
template <int kRows, int kSlabs, int kSlabElements, bool kMn, typename Load>
BWRT_HOST_DEVICE void LoadOperand(int cluster, int rank, bool shared, int k, int row, const Load& load) {
  const int first = shared ? rank : 0;
  const int end = shared ? rank + 1 : cluster;
  for (int half = first; half < end; ++half) {
    const int rows = kRows / cluster;
    if constexpr (kMn) {
      for (int r = half * rows; r < (half + 1) * rows; r += 64) {
        load(r * kSlabs * kSwizzleBytes, k, row + r, shared);  // r / 64 slabs of kSlabs * 64 lines.
      }
    } else {
      for (int slab = 0; slab < kSlabs; ++slab) {
        load((slab * kRows + half * rows) * kSwizzleBytes, k + slab * kSlabElements, row + half * rows, shared);
      }
    }
  }
}

// One thread of a block runs it.
template <typename Shape, typename Hardware>
BWRT_HOST_DEVICE void Produce(Hardware& hardware, const WgmmaOrder& order, const ClusterPlace& place, int stages) {
  RingPosition at;
  const int32_t end = WorkCount(order);
  for (int32_t number = place.cluster; number < end; number += place.clusters) {
    const WgmmaWork work = WorkOf(order, number, place.rank);
    if (!work.valid) continue;
    for (int step = 0; step < work.k_steps; ++step) {
      // A barrier that has never completed a phase counts as having completed the one before: the first round is free.
      hardware.WaitEmpty(at.stage, at.parity ^ 1u);
      hardware.ExpectBytes(at.stage, Shape::kStageBytes);
      const int k = (work.k_first + step) * Shape::kStep;
      LoadOperand<Shape::kRows, Shape::kSlabs, Shape::kSlabElements, Shape::kXMn>(
          order.cluster, place.rank, work.multicast == Multicast::kX, k, work.x,
          [&](int offset, int k_at, int row, bool both) { hardware.LoadX(at.stage, offset, k_at, row, both); });
      LoadOperand<Shape::kCols, Shape::kSlabs, Shape::kSlabElements, Shape::kYMn>(
          order.cluster, place.rank, work.multicast == Multicast::kY, k, work.y,
          [&](int offset, int k_at, int row, bool both) {
            hardware.LoadY(at.stage, Shape::kXBytes + offset, k_at, row, both);
          });
      at.Advance(stages);
    }
  }
}

template <typename Shape>
BWRT_HOST_DEVICE constexpr uint64_t XDescriptor(uint32_t stage, int row, int slab, int step) {
  return Shape::kXMn ? MnMajorDescriptor(stage, Shape::kStep, row, slab, step)
                     : KMajorDescriptor(stage, Shape::kRows, row, slab, step);
}
template <typename Shape>
BWRT_HOST_DEVICE constexpr uint64_t YDescriptor(uint32_t stage, int slab, int step) {
  return Shape::kYMn ? MnMajorDescriptor(stage + Shape::kXBytes, Shape::kStep, 0, slab, step)
                     : KMajorDescriptor(stage + Shape::kXBytes, Shape::kCols, 0, slab, step);
}

// Queues the products of one stage; `first`: they do not add to what the accumulators hold.
template <typename Shape, typename Hardware>
BWRT_HOST_DEVICE void MultiplyStage(Hardware& hardware, int group, int stage, bool first) {
  const uint32_t address = hardware.StageAddress(stage);
  const int row = group * (Shape::kRows / kWgmmaConsumers);
  hardware.Fence();
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < Shape::kSlabs * 4; ++i) {
    const bool add = !first || i != 0;
    const uint64_t y = YDescriptor<Shape>(address, i / 4, i % 4);
    hardware.template Multiply<0>(XDescriptor<Shape>(address, row, i / 4, i % 4), y, add);
    if constexpr (Shape::kBlocks == 2) {
      hardware.template Multiply<1>(XDescriptor<Shape>(address, row + kWgmmaRows, i / 4, i % 4), y, add);
    }
  }
  hardware.Commit();
}

// Every thread of consumer warpgroup `group` runs it.
template <typename Shape, typename Hardware>
BWRT_HOST_DEVICE void Consume(Hardware& hardware, const WgmmaOrder& order, const ClusterPlace& place, int group,
                              int stages) {
  RingPosition at;
  const int32_t end = WorkCount(order);
  for (int32_t number = place.cluster; number < end; number += place.clusters) {
    const WgmmaWork work = WorkOf(order, number, place.rank);
    if (!work.valid) continue;
    hardware.WaitFull(at.stage, at.parity);
    MultiplyStage<Shape>(hardware, group, at.stage, true);
    int before = at.stage;
    at.Advance(stages);
    for (int step = 1; step < work.k_steps; ++step) {
      hardware.WaitFull(at.stage, at.parity);
      MultiplyStage<Shape>(hardware, group, at.stage, false);
      hardware.template WaitGroups<1>();
      hardware.Release(before);
      before = at.stage;
      at.Advance(stages);
    }
    hardware.template WaitGroups<0>();
    hardware.Release(before);
    hardware.Store(work);
  }
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_LOOPS_CUDA_H_
