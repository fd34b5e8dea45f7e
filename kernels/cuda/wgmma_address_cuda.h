// Addresses and encodings of the Hopper kernel: the swizzle, wgmma's descriptors of operands in shared memory, and
// which element of a tile each thread's accumulators hold. Pure functions.
//
// Sources: the PTX ISA's sections on wgmma's matrix descriptor, canonical layouts and accumulator fragments.
#ifndef BWRT_KERNELS_CUDA_WGMMA_ADDRESS_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_ADDRESS_CUDA_H_

#include <cstdint>

#include "kernels/cuda/host_device_cuda.h"
#include "kernels/cuda/wgmma_shape_cuda.h"

namespace bwrt::kernels {

// Where the byte that would lie at `offset` lies with the 128-byte swizzle; offset 0 is at a multiple of 1024. TMA
// writes and wgmma reads like this: 16-byte pieces of a line are exchanged by the line's number modulo 8.
BWRT_HOST_DEVICE constexpr uint32_t Swizzled(uint32_t offset) { return offset ^ (offset >> 3 & 0x70u); }

// A descriptor: bits 0-13 the address, 16-29 the leading and 32-45 the stride offset, each in 16 bytes; 62-63 the
// swizzle, 1 for 128 bytes.
BWRT_HOST_DEVICE constexpr uint64_t WgmmaDescriptor(uint32_t address, uint32_t leading_bytes, uint32_t stride_bytes) {
  return static_cast<uint64_t>((address & 0x3ffffu) >> 4) | static_cast<uint64_t>(leading_bytes >> 4) << 16 |
         static_cast<uint64_t>(stride_bytes >> 4) << 32 | uint64_t{1} << 62;
}

// Of rows [row, ...) and bytes [32 * step, ...) of K in slab `slab`; the operand's tile of `rows` rows begins at
// `address`.
// K-major: the stride offset leads from 8 rows to the next 8; the leading one is not used with a swizzle.
BWRT_HOST_DEVICE constexpr uint64_t KMajorDescriptor(uint32_t address, int rows, int row, int slab, int step) {
  const int offset = slab * rows * kSwizzleBytes + row * kSwizzleBytes + step * kWgmmaKBytes;
  return WgmmaDescriptor(address + static_cast<uint32_t>(offset), 16, 8 * kSwizzleBytes);
}
// MN-major: the leading offset leads from one slab of 64 rows to the next, the stride offset from 8 lines of K to the
// next 8. `depth` is the K of a step in elements, all of it in one slab.
BWRT_HOST_DEVICE constexpr uint64_t MnMajorDescriptor(uint32_t address, int depth, int row, int slab, int step) {
  const int k = slab * 64 + step * 16;
  const int offset = row / 64 * depth * kSwizzleBytes + k * kSwizzleBytes;
  return WgmmaDescriptor(address + static_cast<uint32_t>(offset), static_cast<uint32_t>(depth * kSwizzleBytes),
                         8 * kSwizzleBytes);
}

struct TilePosition {
  int row;
  int col;
};

// Which element of a block of 64 rows of X by Shape::kCols columns of Y is register `i` of thread `thread` (of the 128
// of a warpgroup).
BWRT_HOST_DEVICE constexpr TilePosition FragmentPosition(int thread, int i) {
  const int lane = thread % 32;
  return {thread / 32 * 16 + lane / 4 + 8 * (i / 2 % 2), i / 4 * 8 + lane % 4 * 2 + i % 2};
}

// The same within a warp's piece, in C's orientation: `i` counts the piece's registers.
template <typename Shape>
BWRT_HOST_DEVICE constexpr TilePosition PiecePosition(int lane, int i) {
  const TilePosition at = FragmentPosition(lane, i);
  return Shape::kSwapped ? TilePosition{at.col, at.row} : at;
}

// Where piece `piece` of warp `warp` (of 4) of consumer `group` begins in the tile, in C's orientation.
template <typename Shape>
BWRT_HOST_DEVICE constexpr TilePosition PieceOrigin(int group, int warp, int piece) {
  constexpr int kPerBlock = Shape::kAccumulators / Shape::kPieceRegisters;
  const int x = group * (Shape::kRows / kWgmmaConsumers) + piece / kPerBlock * kWgmmaRows + warp * 16;
  const int y = piece % kPerBlock * (Shape::kPieceRegisters / 4 * 8);
  return Shape::kSwapped ? TilePosition{y, x} : TilePosition{x, y};
}

// Four neighbouring elements of a piece that `lane` stores in pass `pass` of kStorePasses.
template <typename Shape>
inline constexpr int kStorePasses = 16 * Shape::kPieceCols / 4 / 32;
template <typename Shape>
BWRT_HOST_DEVICE constexpr TilePosition StorePosition(int lane, int pass) {
  const int at = (pass * 32 + lane) * 4;
  return {at / Shape::kPieceCols, at % Shape::kPieceCols};
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_ADDRESS_CUDA_H_
