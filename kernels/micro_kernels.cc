#include "kernels/micro_kernels.h"

#include <libxsmm.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace bwrt::kernels {
namespace {

// libxsmm's own idea of the CPU rather than cpuid: it can be limited by its environment variable.
int TargetArch() { return libxsmm_get_target_archid(); }

// libxsmm is column-major: to it our row-major product is W^T (64 x length) times A^T (length x
// rows).
libxsmm_smmfunction Dispatch(int64_t rows, int64_t length) {
  const libxsmm_blasint lda = PackedWeights::kPanelWidth;
  const auto ldb = static_cast<libxsmm_blasint>(KChunks::RowStride(length));
  const libxsmm_blasint ldc = PackedWeights::kPanelWidth;
  const float alpha = 1.0f;
  const float beta = 0.0f;
  const int flags = LIBXSMM_GEMM_FLAG_NONE;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  return libxsmm_smmdispatch(PackedWeights::kPanelWidth, static_cast<libxsmm_blasint>(rows),
                             static_cast<libxsmm_blasint>(length), &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch);
}

}  // namespace

std::string_view MicroKernels::name() {
  if (TargetArch() < LIBXSMM_X86_AVX2) return "none";
  return TargetArch() < LIBXSMM_X86_AVX512 ? "libxsmm_f32_avx2" : "libxsmm_f32_avx512";
}

absl::StatusOr<MicroKernels> MicroKernels::Create(const KChunks& chunks, absl::Span<const int64_t> row_counts) {
  if (TargetArch() < LIBXSMM_X86_AVX2) {
    return absl::UnavailableError(
        "this CPU lacks AVX2 with FMA (or LIBXSMM_TARGET hides them), which the CPU tile kernels "
        "need");
  }
  if (row_counts.empty()) return absl::InvalidArgumentError("no row counts: name at least one");
  const int64_t last_chunk = chunks.count() - 1;
  MicroKernels kernels(last_chunk);
  for (const int64_t rows : row_counts) {
    if (rows < 1 || rows > kMaxRows) {
      return absl::InvalidArgumentError(absl::StrCat("row count ", rows, ": must be 1 to ", kMaxRows));
    }
    Set& set = kernels.sets_[rows];
    if (last_chunk > 0) set.full = Dispatch(rows, KChunks::kMaxLength);
    set.last = Dispatch(rows, chunks.length(last_chunk));
    if (set.last == nullptr || (last_chunk > 0 && set.full == nullptr)) {
      return absl::InternalError(absl::StrCat("libxsmm could not make a kernel for ", rows, " rows and K in steps of ",
                                              chunks.length(0),
                                              ": the process must be allowed to map executable memory"));
    }
  }
  // From the largest down: which kernel computes a block of this many rows.
  uint8_t nearest = 0;
  for (int64_t rows = kMaxRows; rows > 0; --rows) {
    if (kernels.sets_[rows].last != nullptr) nearest = static_cast<uint8_t>(rows);
    kernels.padded_rows_[rows] = nearest;
  }
  return kernels;
}

}  // namespace bwrt::kernels
