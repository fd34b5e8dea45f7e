#ifndef BWRT_KERNELS_TILE_GEMM_H_
#define BWRT_KERNELS_TILE_GEMM_H_

// Runs the tiles of one GemmProblem on the CPU, in whatever order the callers like.
//
// Shared by the threads that run a wave's tiles: Run may be called by any number of them at a time,
// each with a TileScratch of its own and for parts of C that don't overlap. It shares ownership of
// the packed weights; A, C, rows, bias and the memory for packed rows must outlive it.
//
// 1. Everything that can fail happens in Create. Run neither fails nor allocates.
// 2. Run writes exactly the elements of C in its rectangle, and reads C only there, and only where
//    beta != 0.
// 3. A is read where it lies if the micro-kernels can: its type is theirs (f32, and bf16 on a CPU that
//    multiplies it), its rows are in order and K needs no padding. Else each tile row is converted and
//    packed once for the wave (PackedRows).
// 4. Each chunk of K is summed by itself, in f32, and the chunks' sums are added in order; so the
//    rounding error hardly grows with K. The result depends neither on the traversal, nor on where
//    tiles begin, nor on how many threads there are.
//
// The product of a tile is made of libxsmm JIT kernels of at most 64 rows of A x one 64-wide panel
// of W x one chunk of at most 2 KiB of K. A tile that starts or ends inside a panel computes the
// panel's whole width and stores its own columns.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/aligned_buffer.h"
#include "kernels/gemm_problem.h"
#include "kernels/micro_kernels.h"
#include "kernels/packed_rows.h"
#include "kernels/tile_rect.h"

namespace bwrt::kernels {

// What one thread computes tiles with; it can go from one TileGemm to the next.
class TileScratch {
 public:
  // Some 155 KiB; nullopt when there is no memory.
  static std::optional<TileScratch> Create();

  // Time spent in micro-kernels and in adding up their chunks so far: without packing and epilogue.
  std::chrono::nanoseconds kernel_time() const { return kernel_time_; }

 private:
  friend class TileGemm;
  TileScratch(AlignedBuffer sums, AlignedBuffer chunk_sums)
      : sums_(std::move(sums)), chunk_sums_(std::move(chunk_sums)) {}

  AlignedBuffer sums_;        // f32 [TileGemm::kBlockRows][TileGemm::kSumStride]
  AlignedBuffer chunk_sums_;  // f32 [MicroKernels::kMaxRows][PackedWeights::kPanelWidth]
  std::chrono::nanoseconds kernel_time_{0};
};

class TileGemm {
 public:
  // Rows and columns of the grid in which a tile can be cut into parts without computing anything twice.
  static constexpr int64_t kPartRows = MicroKernels::kMaxRows;
  static constexpr int64_t kPartCols = PackedWeights::kPanelWidth;

  // Tile row i starts at row i * tile_rows. `row_memory` is what rows of A are packed into, grown where
  // it is too small. Errors: INVALID_ARGUMENT (Validate(problem), or tile_rows not positive),
  // RESOURCE_EXHAUSTED (no memory for packed rows), UNAVAILABLE (this CPU has no AVX2 with FMA, which
  // the kernels need), INTERNAL (libxsmm could not make a kernel: the process may not map executable
  // memory).
  static absl::StatusOr<std::unique_ptr<TileGemm>> Create(GemmProblem problem, int64_t tile_rows,
                                                          AlignedBuffer& row_memory);

  TileGemm(const TileGemm&) = delete;
  TileGemm& operator=(const TileGemm&) = delete;

  // Computes a tile or a part of one: within C and one tile row, starting a multiple of kPartRows rows
  // below that tile row's start, and as high as a multiple of kPartRows or down to its end. Anything else
  // is the caller's bug and ends the process.
  void Run(const TileRect& part, TileScratch& scratch);

  // Bytes of `row_memory` that Create wants for a problem of this many rows and this K, with a row map or
  // without. Saturates. Where it is 0, A may still be packed for its stride (an odd one of bf16, or one too many for a
  // process): that takes about as much as A itself.
  static int64_t RowMemory(int64_t m, int64_t k, DType dtype, bool row_map);

  // The step in which K is really traversed, whatever bk a wave asked for, with operands of type `dtype`.
  static int64_t k_step(int64_t k, DType dtype);

 private:
  friend class TileScratch;
  // A part is computed in blocks of at most this size, whose sums stay in L2 while K is traversed.
  static constexpr int64_t kBlockRows = 128;
  static constexpr int64_t kBlockPanels = 4;
  // Elements between rows of sums: one cache line more than the widest block, as rows at a distance
  // of a large power of two compete for the same cache sets.
  static constexpr int64_t kSumStride = kBlockPanels * PackedWeights::kPanelWidth + 16;

  TileGemm(GemmProblem problem, int64_t tile_rows, const KChunks& chunks, const MicroKernels& kernels,
           std::unique_ptr<PackedRows> packed);

  // Whether Run may be asked for it.
  bool IsPart(const TileRect& part) const;

  // Rows [row, row + rows) of C's rows times panels [panel0, panel0 + panels) of W, into the sums.
  void SumBlock(int64_t row, int64_t rows, int64_t panel0, int64_t panels, TileScratch& scratch);
  // Applies the epilogue to those sums and stores what of them lies in `part`.
  void StoreBlock(const TileRect& part, int64_t row, int64_t rows, int64_t panel0, int64_t panels,
                  TileScratch& scratch) const;

  const GemmProblem problem_;
  const int64_t tile_rows_;
  const KChunks chunks_;
  const MicroKernels kernels_;
  const std::unique_ptr<PackedRows> packed_;  // Null: A is read where it lies.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_TILE_GEMM_H_
