#include "kernels/tile_gemm.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/epilogue.h"
#include "kernels/isa.h"

namespace bwrt::kernels {
namespace {

constexpr int64_t kWidth = PackedWeights::kPanelWidth;
constexpr int64_t kBlock = MicroKernels::kMaxRows;

// The block heights of tile rows: of whole tiles and of the last tile row. Any other height is
// padded to one of these.
absl::InlinedVector<int64_t, 3> RowCounts(int64_t m, int64_t tile_rows) {
  absl::InlinedVector<int64_t, 3> counts;
  if (tile_rows >= kBlock) counts.push_back(kBlock);
  for (const int64_t tail : {tile_rows % kBlock, m % tile_rows % kBlock}) {
    if (tail != 0) counts.push_back(tail);
  }
  return counts;
}

// Adds a block [rows][64] to rows at a distance of `stride`; the first chunk of K starts the sums.
BWRT_INLINE_BODY void AddBody(const float* __restrict block, int64_t rows, bool start, int64_t stride,
                              float* __restrict sums) {
  for (int64_t i = 0; i < rows; ++i, block += kWidth, sums += stride) {
    if (start) {
      for (int64_t j = 0; j < kWidth; ++j) sums[j] = block[j];
    } else {
      for (int64_t j = 0; j < kWidth; ++j) sums[j] += block[j];
    }
  }
}

BWRT_TARGET_AVX2 void AddAvx2(const float* block, int64_t rows, bool start, int64_t stride, float* sums) {
  AddBody(block, rows, start, stride, sums);
}

void Add(const float* block, int64_t rows, bool start, int64_t stride, float* sums) {
  HasAvx2() ? AddAvx2(block, rows, start, stride, sums) : AddBody(block, rows, start, stride, sums);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TileGemm>> TileGemm::Create(GemmProblem problem, int64_t max_tile_rows,
                                                           int64_t max_tile_cols) {
  if (absl::Status status = Validate(problem); !status.ok()) return status;
  if (max_tile_rows <= 0 || max_tile_cols <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("tile ", max_tile_rows, " x ", max_tile_cols, ": both dimensions must be positive"));
  }
  max_tile_rows = std::min(max_tile_rows, problem.m);
  max_tile_cols = std::min(max_tile_cols, problem.n);
  const KChunks chunks(problem.w->padded_k());
  absl::StatusOr<MicroKernels> kernels = MicroKernels::Create(chunks, RowCounts(problem.m, max_tile_rows));
  if (!kernels.ok()) return kernels.status();
  absl::StatusOr<RowPanels> row_panels = RowPanels::Create(problem.a, chunks, max_tile_rows, kPanelCacheBytes);
  if (!row_panels.ok()) return row_panels.status();
  std::optional<AlignedBuffer> sums = AlignedBuffer::Allocate(kBlockRows * kSumStride);
  std::optional<AlignedBuffer> chunk_sums = AlignedBuffer::Allocate(kBlock * kWidth);
  std::unique_ptr<TileGemm> gemm;
  if (sums && chunk_sums) {
    gemm.reset(new (std::nothrow) TileGemm(std::move(problem), max_tile_rows, max_tile_cols, chunks, *kernels,
                                           *std::move(row_panels), *std::move(sums), *std::move(chunk_sums)));
  }
  if (gemm == nullptr) return absl::ResourceExhaustedError("no memory for a tile's sums");
  return gemm;
}

TileGemm::TileGemm(GemmProblem problem, int64_t max_tile_rows, int64_t max_tile_cols, const KChunks& chunks,
                   const MicroKernels& kernels, RowPanels row_panels, AlignedBuffer sums, AlignedBuffer chunk_sums)
    : problem_(std::move(problem)),
      max_tile_rows_(max_tile_rows),
      max_tile_cols_(max_tile_cols),
      chunks_(chunks),
      kernels_(kernels),
      row_panels_(std::move(row_panels)),
      sums_(std::move(sums)),
      chunk_sums_(std::move(chunk_sums)) {}

std::string_view TileGemm::kernel_name() { return MicroKernels::name(); }

int64_t TileGemm::k_step(int64_t k) {
  if (k >= KChunks::kMaxLength) return KChunks::kMaxLength;
  return (k + PackedWeights::kKMultiple - 1) / PackedWeights::kKMultiple * PackedWeights::kKMultiple;
}

void TileGemm::Run(const TileRect& tile) {
  if (tile.row0 < 0 || tile.col0 < 0 || tile.rows <= 0 || tile.cols <= 0 || tile.rows > max_tile_rows_ ||
      tile.cols > max_tile_cols_ || tile.row0 > problem_.m - tile.rows || tile.col0 > problem_.n - tile.cols) {
    std::fputs("TileGemm::Run: the tile is not inside C\n", stderr);
    std::abort();  // Anything else would write outside C.
  }
  const int64_t tail = tile.rows % kBlock;
  const int64_t padding = tail == 0 ? 0 : kernels_.PaddedRows(tail) - tail;
  const float* row_panel = row_panels_.Get(tile.row0, tile.rows, padding);
  const int64_t panel_end = (tile.col0 + tile.cols - 1) / kWidth + 1;
  for (int64_t row = 0; row < tile.rows; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, tile.rows - row);
    for (int64_t panel = tile.col0 / kWidth; panel < panel_end; panel += kBlockPanels) {
      const int64_t panels = std::min(kBlockPanels, panel_end - panel);
      SumBlock(row_panel, row, rows, panel, panels);
      StoreBlock(tile, row, rows, panel, panels);
    }
  }
}

void TileGemm::SumBlock(const float* row_panel, int64_t row, int64_t rows, int64_t panel0, int64_t panels) {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    const int64_t stride = KChunks::RowStride(chunks_.length(chunk));
    const float* a = row_panel + row_panels_.ChunkOffset(chunk) + row * stride;
    for (int64_t p = 0; p < panels; ++p) {
      const float* w = problem_.w->panel(panel0 + p) + chunks_.begin(chunk) * kWidth;
      for (int64_t r = 0; r < rows; r += kBlock) {
        const int64_t height = std::min(kBlock, rows - r);
        kernels_.Run(height, chunk, a + r * stride, w, chunk_sums_.data());
        Add(chunk_sums_.data(), height, chunk == 0, kSumStride, sums_.data() + r * kSumStride + p * kWidth);
      }
    }
  }
  kernel_time_ += std::chrono::steady_clock::now() - start;
}

void TileGemm::StoreBlock(const TileRect& tile, int64_t row, int64_t rows, int64_t panel0, int64_t panels) {
  const Epilogue epilogue{problem_.alpha, problem_.beta, problem_.activation};
  const int64_t first = panel0 * kWidth;  // The column of C that the block's sums start with.
  const int64_t begin = std::max(tile.col0, first);
  const int64_t end = std::min(tile.col0 + tile.cols, first + panels * kWidth);
  const float* bias = problem_.bias.empty() ? nullptr : problem_.bias.data() + begin;
  for (int64_t r = 0; r < rows; ++r) {
    float* sums = sums_.data() + r * kSumStride + (begin - first);
    StoreRow(epilogue, sums, end - begin, bias, problem_.c.dtype, problem_.c.at(tile.row0 + row + r, begin));
  }
}

}  // namespace bwrt::kernels
