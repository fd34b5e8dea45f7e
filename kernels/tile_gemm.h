#ifndef BWRT_KERNELS_TILE_GEMM_H_
#define BWRT_KERNELS_TILE_GEMM_H_

// Runs the tiles of one GemmProblem on the CPU, in whatever order the caller likes.
//
// Used by one thread for one wave; two threads that share a wave have one each and split its tiles.
// It owns its scratch memory and shares ownership of the packed weights; A, C and bias must outlive
// it.
//
// 1. Everything that can fail happens in Create. Run neither fails nor allocates.
// 2. Run writes exactly the elements of C in its rectangle, and reads C only there, and only where
//    beta != 0.
// 3. A row panel of A is converted and packed once and kept: for as long as tiles stay in its tile
//    row, and, up to kPanelCacheBytes, while they alternate between tile rows, as column-wise and
//    swizzled traversals do.
// 4. Each chunk of K is summed by itself, in f32, and the chunks' sums are added in order; so the
//    rounding error hardly grows with K. The result does not depend on the traversal or on where
//    tiles begin.
//
// The product of a tile is made of libxsmm JIT kernels of at most 64 rows of A x one 64-wide panel
// of W x one chunk of at most 512 of K. A tile that starts or ends inside a panel computes the
// panel's whole width and stores its own columns. The kernels' strides are functions of the chunk
// length alone, so that whatever shapes, strides and tiles clients ask for, a process makes at most
// 64 (rows) x 64 (chunk lengths, multiples of 8) = 4096 kernels, some 40 MB, which libxsmm keeps.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/aligned_buffer.h"
#include "kernels/gemm_problem.h"
#include "kernels/micro_kernels.h"
#include "kernels/row_panels.h"
#include "kernels/tile_rect.h"

namespace bwrt::kernels {

class TileGemm {
 public:
  // Most memory that more than one packed row panel of A may take; one panel is always kept.
  static constexpr int64_t kPanelCacheBytes = int64_t{16} << 20;

  // Tiles given to Run are at most max_tile_rows x max_tile_cols. Errors: INVALID_ARGUMENT
  // (Validate(problem), or a tile dimension that is not positive), RESOURCE_EXHAUSTED (scratch
  // memory: the kept row panels of A in f32, which take real memory only once used, and some
  // 200 KiB), UNAVAILABLE (this CPU has no AVX2 with
  // FMA, which the kernels need), INTERNAL (libxsmm could not make a kernel: the process may not
  // map executable memory).
  static absl::StatusOr<std::unique_ptr<TileGemm>> Create(GemmProblem problem, int64_t max_tile_rows,
                                                          int64_t max_tile_cols);

  TileGemm(const TileGemm&) = delete;
  TileGemm& operator=(const TileGemm&) = delete;

  // Computes one tile. `tile` lies within C, is not empty and is no larger than Create was told;
  // anything else is the caller's bug and ends the process.
  void Run(const TileRect& tile);

  // Time spent in micro-kernels and in adding up their chunks so far: without packing and epilogue.
  std::chrono::nanoseconds kernel_time() const { return kernel_time_; }

  // What computes the tiles on this host, e.g. "libxsmm_f32_avx512"; "none" where Create would be
  // UNAVAILABLE.
  static std::string_view kernel_name();

  // The step in which K is really traversed, whatever bk a wave asked for.
  static int64_t k_step(int64_t k);

 private:
  // A tile is computed in blocks of at most this size, whose sums stay in L2 while K is traversed.
  static constexpr int64_t kBlockRows = 128;
  static constexpr int64_t kBlockPanels = 4;
  // Elements between rows of sums: one cache line more than the widest block, as rows at a distance
  // of a large power of two compete for the same cache sets.
  static constexpr int64_t kSumStride = kBlockPanels * PackedWeights::kPanelWidth + 16;

  TileGemm(GemmProblem problem, int64_t max_tile_rows, int64_t max_tile_cols, const KChunks& chunks,
           const MicroKernels& kernels, RowPanels row_panels, AlignedBuffer sums, AlignedBuffer chunk_sums);

  // Rows [row, row + rows) of the packed row panel times panels [panel0, panel0 + panels) of W,
  // into sums_.
  void SumBlock(const float* row_panel, int64_t row, int64_t rows, int64_t panel0, int64_t panels);
  // Applies the epilogue to those sums and stores what of them lies in `tile`.
  void StoreBlock(const TileRect& tile, int64_t row, int64_t rows, int64_t panel0, int64_t panels);

  const GemmProblem problem_;
  const int64_t max_tile_rows_;
  const int64_t max_tile_cols_;
  const KChunks chunks_;
  const MicroKernels kernels_;
  RowPanels row_panels_;
  AlignedBuffer sums_;        // [kBlockRows][kSumStride]
  AlignedBuffer chunk_sums_;  // [MicroKernels::kMaxRows][PackedWeights::kPanelWidth]
  std::chrono::nanoseconds kernel_time_{0};
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_TILE_GEMM_H_
