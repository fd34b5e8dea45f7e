// WgmmaShape: what one instantiation of the Hopper kernel computes in one go, and how its operands lie in shared
// memory.
//
// wgmma knows a side of 64 rows a warpgroup, called X here, and one of 8 to 256 columns, Y. A tile of C = A @ W has X =
// A and Y = W. A skinny wave swaps them (X = W, Y = A), so that its few rows cost a narrow Y instead of an empty X.
//
// An operand's tile is made of slabs, each as wide as the 128-byte swizzle:
// - K-major (a row holds consecutive K): [slab of 128 bytes of K][row][128 bytes];
// - MN-major (W as [K, N]; 16-bit types alone): [slab of 64 rows][K][128 bytes].
#ifndef BWRT_KERNELS_CUDA_WGMMA_SHAPE_CUDA_H_
#define BWRT_KERNELS_CUDA_WGMMA_SHAPE_CUDA_H_

#include <cstdint>

#include "kernels/cuda/host_device_cuda.h"

namespace bwrt::kernels {

// Numbers of types as in runtime/cuda_plugin_abi.h.
inline constexpr int32_t kWgmmaF32 = 0;
inline constexpr int32_t kWgmmaF16 = 1;
inline constexpr int32_t kWgmmaBF16 = 2;
inline constexpr int32_t kWgmmaE4M3 = 3;
inline constexpr int32_t kWgmmaE5M2 = 4;

inline constexpr int kSwizzleBytes = 128;  // Of K or of rows in one line of a slab.
inline constexpr int kWgmmaConsumers = 2;  // Warpgroups.
inline constexpr int kWgmmaThreads = 384;  // And one warpgroup that produces.
inline constexpr int kWgmmaKBytes = 32;    // That one wgmma takes.
inline constexpr int kWgmmaRows = 64;      // Of X in one wgmma.
inline constexpr int kMaxStages = 8;
inline constexpr int kSharedBytes = 232448;  // A block's most on sm_90.
inline constexpr int kSharedAlign = 1024;    // Of a swizzled tile.
inline constexpr int kBarrierBytes = 256;    // Barriers of kMaxStages, and a few words beside them.

// kRows of X by kCols of Y, and kSlabs * 128 bytes of K a step. kSwapped: X is W.
template <int32_t kDTypeValue, int kRowsValue, int kColsValue, int kSlabsValue, bool kXMnValue, bool kYMnValue,
          bool kSwappedValue>
struct WgmmaShape {
  static constexpr int32_t kDType = kDTypeValue;
  static constexpr int kRows = kRowsValue;
  static constexpr int kCols = kColsValue;
  static constexpr int kSlabs = kSlabsValue;
  static constexpr bool kXMn = kXMnValue;
  static constexpr bool kYMn = kYMnValue;
  static constexpr bool kSwapped = kSwappedValue;

  static constexpr int kElementBytes = kDType == kWgmmaE4M3 || kDType == kWgmmaE5M2 ? 1 : 2;
  static constexpr int kSlabElements = kSwizzleBytes / kElementBytes;
  static constexpr int kStep = kSlabs * kSlabElements;  // Of K.
  static constexpr int kXBytes = kRows * kStep * kElementBytes;
  static constexpr int kYBytes = kCols * kStep * kElementBytes;
  static constexpr int kStageBytes = kXBytes + kYBytes;
  static constexpr int kBlocks = kRows / kWgmmaRows / kWgmmaConsumers;  // wgmmas of a warpgroup side by side.
  static constexpr int kAccumulators = kCols / 2;                       // Of each block, in every thread.

  // A warp hands its accumulators to memory in pieces of 16 rows of C, through shared memory of its own.
  static constexpr int kPieceCols = kSwapped ? 16 : 32;
  static constexpr int kPiecePitch = kSwapped ? 20 : 40;  // Floats from row to row: no two lanes meet in a bank.
  static constexpr int kPieceRegisters = kSwapped ? 8 : 16;
  static constexpr int kPieces = kBlocks * kAccumulators / kPieceRegisters;
  static constexpr int kPieceBytes = 16 * kPiecePitch * 4;
  static constexpr int kPiecesBytes = kPieceBytes * kWgmmaConsumers * 4;

  static_assert(kRows % (kWgmmaRows * kWgmmaConsumers) == 0 && kCols % 8 == 0 && kCols <= 256);
  static_assert(!(kXMn || kYMn) || kElementBytes == 2, "wgmma transposes 16-bit types alone");
  static_assert(!kYMn || kCols % 64 == 0);
  static_assert(kXBytes % kSharedAlign == 0 && kYBytes % kSharedAlign == 0);
};

// Where things lie in a block's shared memory: [stages][barriers][pieces], after up to kSharedAlign bytes of alignment.
BWRT_HOST_DEVICE constexpr int StageOffset(int stage_bytes, int stage) { return stage * stage_bytes; }
BWRT_HOST_DEVICE constexpr int BarrierOffset(int stage_bytes, int stages) { return stages * stage_bytes; }
BWRT_HOST_DEVICE constexpr int PieceOffset(int stage_bytes, int stages) {
  return BarrierOffset(stage_bytes, stages) + kBarrierBytes;
}
BWRT_HOST_DEVICE constexpr int SharedBytes(int stage_bytes, int pieces_bytes, int stages) {
  return PieceOffset(stage_bytes, stages) + pieces_bytes + kSharedAlign;
}
// The most stages that fit, at most kMaxStages.
BWRT_HOST_DEVICE constexpr int MostStages(int stage_bytes, int pieces_bytes) {
  int stages = kMaxStages;
  while (stages > 1 && SharedBytes(stage_bytes, pieces_bytes, stages) > kSharedBytes) --stages;
  return stages;
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CUDA_WGMMA_SHAPE_CUDA_H_
