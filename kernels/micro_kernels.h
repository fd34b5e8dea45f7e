#ifndef BWRT_KERNELS_MICRO_KERNELS_H_
#define BWRT_KERNELS_MICRO_KERNELS_H_

// The libxsmm JIT kernels that one GEMM needs: sums[rows, 64] = A chunk[rows, length] @ W
// chunk[length, 64], in f32.
//
// A value of plain function pointers, immutable: thread-safe. The code belongs to libxsmm's
// registry, which keeps it for the life of the process; the registry is thread-safe too.
//
// 1. The strides are functions of the chunk length alone, so all the kernels that a process can
//    ever make are 64 (rows) x 64 (chunk lengths, multiples of 8) = 4096.
// 2. Every kernel that Run can call exists once Create has succeeded.
// 3. A block of rows for which there is no kernel of its own is computed by the next larger one:
//    PaddedRows(rows) rows of A are then read and of sums written.

#include <array>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/k_chunks.h"

namespace bwrt::kernels {

class MicroKernels {
 public:
  static constexpr int64_t kMaxRows = 64;

  // Kernels for blocks of each of `row_counts` (1 to kMaxRows), and with it for all smaller blocks,
  // over all chunks of K. The first use of a shape in a process compiles it (some 25 us and 10 KB),
  // later ones look it up. Errors: INVALID_ARGUMENT (a row count out of range, or none),
  // UNAVAILABLE (the CPU lacks AVX2 with FMA), INTERNAL (the process may not map executable memory,
  // or libxsmm's registry is full).
  static absl::StatusOr<MicroKernels> Create(const KChunks& chunks, absl::Span<const int64_t> row_counts);

  // "libxsmm_f32_avx512" or "libxsmm_f32_avx2"; "none" where Create would be UNAVAILABLE.
  static std::string_view name();

  // Rows that Run computes when asked for `rows`, 1 up to the largest of row_counts.
  int64_t PaddedRows(int64_t rows) const { return padded_rows_[rows]; }

  // sums = a @ w for chunk `chunk` of K. `a` is [PaddedRows(rows)][RowStride(length)], `w` is
  // [length][64], `sums` is [PaddedRows(rows)][64]; none of them needs an alignment.
  void Run(int64_t rows, int64_t chunk, const float* a, const float* w, float* sums) const {
    const Set& set = sets_[padded_rows_[rows]];
    (chunk < last_chunk_ ? set.full : set.last)(w, a, sums);
  }

 private:
  using Kernel = void (*)(const float*, const float*, float*, ...);  // libxsmm_smmfunction
  struct Set {
    Kernel full = nullptr;  // For the chunks before the last; null where there are none.
    Kernel last = nullptr;
  };

  explicit MicroKernels(int64_t last_chunk) : last_chunk_(last_chunk) {}

  int64_t last_chunk_;
  // Both by number of rows; padded_rows_ is the smallest number that has a set and is not smaller.
  std::array<Set, kMaxRows + 1> sets_{};
  std::array<uint8_t, kMaxRows + 1> padded_rows_{};
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_MICRO_KERNELS_H_
