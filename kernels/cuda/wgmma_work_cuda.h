// WgmmaOrder: which piece of a wave each block of the Hopper kernel computes, one after another.
//
// Entries are the tiles of a table, or of a grid row by row or in swizzle groups; blocks, or clusters of two, take them
// in turn, so that they start in that order. Pure functions of the order, run by producer and consumers alike.
//
// 1. Every entry is computed by exactly one block, or, where it is split, each part of its K by exactly one.
// 2. Both blocks of a cluster walk the same number of works with the same number of steps: their rings stay in step. An
//    entry without a partner is computed by both and stored by the first.
// 3. A pair shares an operand (multicast) where both tiles have the same row or column of the grid, else nothing.
#ifndef BWRT_KERNELS_CUDA_WGMMA_WORK_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_WORK_CUDA_H_

#include <cstdint>

#include "kernels/cuda/host_device_cuda.h"

namespace bwrt::kernels {

enum class Multicast : int32_t { kNone, kX, kY };

struct WgmmaOrder {
  const uint32_t* tiles = nullptr;  // m << 16 | n; null: closed form.
  int32_t grid_rows = 1, grid_cols = 1;
  int32_t group =
      0;  // Closed form: tile rows of a group, within which columns are outer and rows inner; 0: row by row.
  int32_t first = 0, count = 0;  // Entries; together with parts and splits below 2^31.
  int32_t bm = 1, bn = 1;
  int32_t cluster = 1;  // Blocks; 2 only where splits and parts are 1.
  int32_t parts = 1;    // Of an entry along n, each as wide as X: swapped operands alone.
  int32_t splits = 1;   // Of K.
  int32_t k_steps = 1;
  int32_t x_rows = 1;  // Of the problem, to leave out parts beyond it.
  bool swapped = false;
};

struct WgmmaWork {
  int32_t x = 0, y = 0;  // First row of X and of Y.
  int32_t k_first = 0, k_steps = 0;
  int32_t split = 0;
  int32_t slot = 0;  // Of the entry's part, from 0.
  Multicast multicast = Multicast::kNone;
  bool stores = true;
  bool valid = true;  // Else there is nothing to do.
};

struct TileIndex {
  int32_t m;
  int32_t n;
};

BWRT_HOST_DEVICE TileIndex EntryOf(const WgmmaOrder& order, int32_t entry) {
  const int32_t index = order.first + entry;
  if (order.tiles != nullptr) {
    const uint32_t tile = order.tiles[index];
    return {static_cast<int32_t>(tile >> 16), static_cast<int32_t>(tile & 0xffffu)};
  }
  if (order.group <= 0) return {index / order.grid_cols, index % order.grid_cols};
  const int32_t size = order.group * order.grid_cols;
  const int32_t top = index / size * order.group;
  const int32_t rows = order.grid_rows - top < order.group ? order.grid_rows - top : order.group;
  const int32_t within = index % size;
  return {top + within % rows, within / rows};
}

// Works are numbered from 0 to this, exclusive; cluster c of G takes c, c + G, c + 2G, ...
BWRT_HOST_DEVICE int32_t WorkCount(const WgmmaOrder& order) {
  if (order.cluster == 2) return (order.count + 1) / 2;
  return order.count * order.parts * order.splits;
}

// The first step of a part of K; the first parts are one step longer where it does not come out even.
BWRT_HOST_DEVICE int32_t PartBegin(const WgmmaOrder& order, int32_t split) {
  const int32_t extra = order.k_steps % order.splits;
  return order.k_steps / order.splits * split + (split < extra ? split : extra);
}

// Work `number` as block `rank` of its cluster does it.
BWRT_HOST_DEVICE WgmmaWork WorkOf(const WgmmaOrder& order, int32_t number, int rank) {
  WgmmaWork work;
  work.k_steps = order.k_steps;
  if (order.cluster == 2) {
    const TileIndex even = EntryOf(order, 2 * number);
    const bool paired = 2 * number + 1 < order.count;
    const TileIndex odd = paired ? EntryOf(order, 2 * number + 1) : even;
    const TileIndex tile = rank == 0 ? even : odd;
    work.x = tile.m * order.bm;
    work.y = tile.n * order.bn;
    // The same tile shares both; one is enough.
    work.multicast = even.n == odd.n ? Multicast::kY : even.m == odd.m ? Multicast::kX : Multicast::kNone;
    work.stores = paired || rank == 0;
    work.slot = 2 * number + rank;
    return work;
  }
  const int32_t slot = number / order.splits;
  const int32_t split = number % order.splits;
  const TileIndex tile = EntryOf(order, slot / order.parts);
  work.slot = slot;
  work.split = split;
  work.k_first = PartBegin(order, split);
  work.k_steps = PartBegin(order, split + 1) - work.k_first;
  if (order.swapped) {
    const int32_t x = tile.n * order.bn + slot % order.parts * (order.bn / order.parts);
    work.x = x < order.x_rows ? x : 0;
    work.valid = x < order.x_rows;
    return work;
  }
  work.x = tile.m * order.bm;
  work.y = tile.n * order.bn;
  return work;
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_WORK_CUDA_H_
