#include "kernels/micro_kernels.h"

#include <libxsmm.h>

#include <mutex>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/kernel_dtype.h"

namespace bwrt::kernels {
namespace {

// Farther apart, a row's offset within a block might not fit where an instruction has room for it.
constexpr int64_t kMaxStride = int64_t{1} << 22;

}  // namespace

// libxsmm is column-major: to it our row-major product is W^T (64 x length) times A^T (length x
// rows).
MicroKernels::Kernel MicroKernels::Dispatch(const KChunks& chunks, const Shape& shape) {
  const auto m = static_cast<libxsmm_blasint>(PackedWeights::kPanelWidth);
  const auto n = static_cast<libxsmm_blasint>(shape.rows);
  const auto k = static_cast<libxsmm_blasint>(shape.length);
  const libxsmm_blasint lda = m;
  const auto ldb = static_cast<libxsmm_blasint>(shape.stride == 0 ? chunks.RowStride(shape.length) : shape.stride);
  const libxsmm_blasint ldc = m;
  const float alpha = 1.0f;
  const float beta = 0.0f;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  if (shape.dtype == DType::kBF16) {
    const int flags = LIBXSMM_GEMM_FLAG_VNNI_A;
    return reinterpret_cast<Kernel>(libxsmm_bsmmdispatch(m, n, k, &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch));
  }
  const int flags = LIBXSMM_GEMM_FLAG_NONE;
  return libxsmm_smmdispatch(m, n, k, &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch);
}

MicroKernels::Kernel MicroKernels::DispatchInPlace(const KChunks& chunks, const Shape& shape) {
  // What the process has made. Never destroyed, like the kernels.
  static std::mutex mu;
  static auto& made = *new absl::flat_hash_set<Shape>();
  const std::scoped_lock lock(mu);
  if (!made.contains(shape)) {
    if (static_cast<int64_t>(made.size()) >= kMaxInPlace) return nullptr;
    made.insert(shape);
  }
  return Dispatch(chunks, shape);
}

template <typename Make>
std::optional<int64_t> MicroKernels::Fill(const KChunks& chunks, absl::Span<const int64_t> row_counts, int64_t stride,
                                          Make make) {
  for (const int64_t rows : row_counts) {
    Set& set = sets_[static_cast<std::size_t>(rows)];
    const Shape shape{chunks.dtype(), rows, chunks.length(last_chunk_), stride};
    set.last = make(chunks, shape);
    if (last_chunk_ > 0) {
      set.full = shape.length == chunks.max_length() ? set.last
                                                     : make(chunks, {shape.dtype, rows, chunks.max_length(), stride});
    }
    if (set.last == nullptr || (last_chunk_ > 0 && set.full == nullptr)) return rows;
  }
  return std::nullopt;
}

absl::StatusOr<MicroKernels> MicroKernels::Create(const KChunks& chunks, absl::Span<const int64_t> row_counts) {
  if (!HaveKernels()) {
    return absl::UnavailableError(
        "this CPU lacks AVX2 with FMA (or LIBXSMM_TARGET hides them), which the CPU tile kernels "
        "need");
  }
  if (row_counts.empty()) return absl::InvalidArgumentError("no row counts: name at least one");
  for (const int64_t rows : row_counts) {
    if (rows < 1 || rows > kMaxRows) {
      return absl::InvalidArgumentError(absl::StrCat("row count ", rows, ": must be 1 to ", kMaxRows));
    }
  }
  MicroKernels kernels(chunks.count() - 1, chunks.dtype() == DType::kBF16);
  if (const auto failed = kernels.Fill(chunks, row_counts, 0, &MicroKernels::Dispatch)) {
    return absl::InternalError(absl::StrCat("libxsmm could not make a kernel for ", *failed, " rows and K in steps of ",
                                            chunks.length(0),
                                            ": the process must be allowed to map executable memory"));
  }
  return kernels;
}

std::optional<MicroKernels> MicroKernels::CreateInPlace(const KChunks& chunks, absl::Span<const int64_t> row_counts,
                                                        int64_t stride) {
  if (stride < 1 || stride > kMaxStride) return std::nullopt;
  // libxsmm counts pairs, and gives wrong sums where they don't come out even.
  if (chunks.dtype() == DType::kBF16 && stride % 2 != 0) return std::nullopt;
  MicroKernels kernels(chunks.count() - 1, chunks.dtype() == DType::kBF16);
  if (kernels.Fill(chunks, row_counts, stride, &MicroKernels::DispatchInPlace)) return std::nullopt;
  return kernels;
}

}  // namespace bwrt::kernels
