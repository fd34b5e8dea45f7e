#include "kernels/tile_gemm.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/epilogue.h"
#include "kernels/isa.h"
#include "kernels/kernel_dtype.h"

namespace bwrt::kernels {
namespace {

constexpr int64_t kWidth = PackedWeights::kPanelWidth;
constexpr int64_t kBlock = MicroKernels::kMaxRows;

// The heights of the blocks that parts of tiles are cut into.
absl::InlinedVector<int64_t, 3> RowCounts(int64_t m, int64_t tile_rows) {
  absl::InlinedVector<int64_t, 3> counts;
  if (tile_rows >= kBlock) counts.push_back(kBlock);
  for (const int64_t tail : {tile_rows % kBlock, m % tile_rows % kBlock}) {
    if (tail != 0) counts.push_back(tail);
  }
  return counts;
}

KChunks ChunksOf(int64_t k, DType dtype) {
  const DType kernel = KernelDType(dtype);
  const int64_t multiple = PackedWeights::KMultiple(kernel);
  return KChunks((k + multiple - 1) / multiple * multiple, kernel);
}

// Whether the kernels can read A where it lies, if they are to be had for its stride.
bool InPlace(int64_t k, DType dtype, bool row_map, const KChunks& chunks) {
  return !row_map && dtype == chunks.dtype() && k == chunks.padded_k();
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

std::optional<TileScratch> TileScratch::Create() {
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  std::optional<AlignedBuffer> sums = AlignedBuffer::Allocate(TileGemm::kBlockRows * TileGemm::kSumStride * kFloat);
  std::optional<AlignedBuffer> chunk_sums = AlignedBuffer::Allocate(kBlock * kWidth * kFloat);
  if (!sums || !chunk_sums) return std::nullopt;
  return TileScratch(*std::move(sums), *std::move(chunk_sums));
}

absl::StatusOr<std::unique_ptr<TileGemm>> TileGemm::Create(GemmProblem problem, int64_t tile_rows,
                                                           AlignedBuffer& row_memory) {
  if (absl::Status status = Validate(problem); !status.ok()) return status;
  if (tile_rows <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("tiles of ", tile_rows, " rows: must be positive"));
  }
  tile_rows = std::min(tile_rows, problem.m);
  const KChunks chunks(problem.w->padded_k(), problem.w->dtype());
  const auto row_counts = RowCounts(problem.m, tile_rows);
  std::optional<MicroKernels> kernels;
  std::unique_ptr<PackedRows> packed;
  if (InPlace(problem.k, problem.a.dtype, !problem.rows.empty(), chunks)) {
    kernels = MicroKernels::CreateInPlace(chunks, row_counts, problem.a.row_stride);
  }
  if (!kernels) {
    absl::StatusOr<MicroKernels> for_packed = MicroKernels::Create(chunks, row_counts);
    if (!for_packed.ok()) return for_packed.status();
    kernels = *for_packed;
    auto rows = PackedRows::Create(problem.a, problem.rows, chunks, tile_rows, row_memory);
    if (!rows.ok()) return rows.status();
    packed = *std::move(rows);
  }
  std::unique_ptr<TileGemm> gemm(new (std::nothrow)
                                     TileGemm(std::move(problem), tile_rows, chunks, *kernels, std::move(packed)));
  if (gemm == nullptr) return absl::ResourceExhaustedError("no memory for a GEMM's description");
  return gemm;
}

TileGemm::TileGemm(GemmProblem problem, int64_t tile_rows, const KChunks& chunks, const MicroKernels& kernels,
                   std::unique_ptr<PackedRows> packed)
    : problem_(std::move(problem)),
      tile_rows_(tile_rows),
      chunks_(chunks),
      kernels_(kernels),
      packed_(std::move(packed)) {}

int64_t TileGemm::RowMemory(int64_t m, int64_t k, DType dtype, bool row_map) {
  const KChunks chunks = ChunksOf(k, dtype);
  return InPlace(k, dtype, row_map, chunks) ? 0 : PackedRows::Bytes(m, chunks);
}

int64_t TileGemm::k_step(int64_t k, DType dtype) { return ChunksOf(k, dtype).length(0); }

bool TileGemm::IsPart(const TileRect& part) const {
  if (part.row0 < 0 || part.col0 < 0 || part.rows <= 0 || part.cols <= 0 || part.row0 >= problem_.m ||
      part.col0 > problem_.n - part.cols || part.rows > problem_.m - part.row0) {
    return false;
  }
  const int64_t start = part.row0 / tile_rows_ * tile_rows_;
  const int64_t end = std::min(start + tile_rows_, problem_.m);
  return (part.row0 - start) % kPartRows == 0 && part.row0 + part.rows <= end &&
         (part.row0 + part.rows == end || part.rows % kPartRows == 0);
}

void TileGemm::Run(const TileRect& part, TileScratch& scratch) {
  if (!IsPart(part)) {
    std::fputs("TileGemm::Run: not a part of a tile inside C\n", stderr);
    std::abort();  // Anything else might read or write outside.
  }
  const int64_t panel_end = (part.col0 + part.cols - 1) / kWidth + 1;
  for (int64_t row = part.row0; row < part.row0 + part.rows; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, part.row0 + part.rows - row);
    for (int64_t panel = part.col0 / kWidth; panel < panel_end; panel += kBlockPanels) {
      const int64_t panels = std::min(kBlockPanels, panel_end - panel);
      SumBlock(row, rows, panel, panels, scratch);
      StoreBlock(part, row, rows, panel, panels, scratch);
    }
  }
}

void TileGemm::SumBlock(int64_t row, int64_t rows, int64_t panel0, int64_t panels, TileScratch& scratch) {
  const int64_t size = SizeOf(chunks_.dtype());
  // Packing comes first: it is not the kernels' time.
  const int64_t tile_row = row / tile_rows_;
  const std::byte* panel = packed_ == nullptr ? nullptr : packed_->Get(tile_row);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    int64_t stride = problem_.a.row_stride * size;
    const std::byte* a = nullptr;
    if (panel == nullptr) {
      a = problem_.a.at(row, chunks_.begin(chunk));
    } else {
      stride = chunks_.RowStride(chunks_.length(chunk)) * size;
      a = panel + packed_->rows(tile_row) * chunk * chunks_.RowStride(chunks_.max_length()) * size +
          (row - tile_row * tile_rows_) * stride;
    }
    for (int64_t p = 0; p < panels; ++p) {
      const std::byte* w = problem_.w->panel(panel0 + p, chunks_.begin(chunk));
      for (int64_t r = 0; r < rows; r += kBlock) {
        const int64_t height = std::min(kBlock, rows - r);
        kernels_.Run(height, chunk, a + r * stride, w, scratch.chunk_sums_.floats());
        Add(scratch.chunk_sums_.floats(), height, chunk == 0, kSumStride,
            scratch.sums_.floats() + r * kSumStride + p * kWidth);
      }
    }
  }
  scratch.kernel_time_ += std::chrono::steady_clock::now() - start;
}

void TileGemm::StoreBlock(const TileRect& part, int64_t row, int64_t rows, int64_t panel0, int64_t panels,
                          TileScratch& scratch) const {
  const Epilogue epilogue{problem_.alpha, problem_.beta, problem_.activation};
  const int64_t first = panel0 * kWidth;  // The column of C that the block's sums start with.
  const int64_t begin = std::max(part.col0, first);
  const int64_t end = std::min(part.col0 + part.cols, first + panels * kWidth);
  const float* bias = problem_.bias.empty() ? nullptr : problem_.bias.data() + begin;
  for (int64_t r = 0; r < rows; ++r) {
    float* sums = scratch.sums_.floats() + r * kSumStride + (begin - first);
    const int64_t row_of_c = problem_.rows.empty() ? row + r : problem_.rows[static_cast<std::size_t>(row + r)];
    StoreRow(epilogue, sums, end - begin, bias, problem_.c.dtype, problem_.c.at(row_of_c, begin));
  }
}

}  // namespace bwrt::kernels
