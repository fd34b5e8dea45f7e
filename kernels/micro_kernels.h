#ifndef BWRT_KERNELS_MICRO_KERNELS_H_
#define BWRT_KERNELS_MICRO_KERNELS_H_

// The libxsmm JIT kernels that one GEMM needs: sums[rows, 64] = A chunk[rows, length] @ W
// chunk[length, 64], operands in f32 or bf16, sums in f32.
//
// A value of plain function pointers, immutable: thread-safe. The code belongs to libxsmm's
// registry, which keeps it for the life of the process; the registry is thread-safe too.
//
// 1. Kernels for packed rows have strides that are functions of the chunk length alone: a process can
//    make at most 64 (rows) x 64 (lengths) x 2 (types) of them. Those for rows in place depend on a
//    stride that clients choose, and there are at most kMaxInPlace in a process, some 10 KB each.
// 2. Every kernel that Run can call exists once one of the Create functions has succeeded.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/k_chunks.h"

namespace bwrt::kernels {

class MicroKernels {
 public:
  static constexpr int64_t kMaxRows = 64;
  static constexpr int64_t kMaxInPlace = 2048;

  // Kernels for blocks of each of `row_counts` (1 to kMaxRows) over all chunks of K, for rows of A
  // packed with chunks.RowStride. The first use of a shape in a process compiles it (some 25 us),
  // later ones look it up. Errors: INVALID_ARGUMENT (a row count out of range, or none), UNAVAILABLE
  // (the CPU lacks AVX2 with FMA), INTERNAL (the process may not map executable memory, or libxsmm's
  // registry is full).
  static absl::StatusOr<MicroKernels> Create(const KChunks& chunks, absl::Span<const int64_t> row_counts);

  // The same for rows of A that lie `stride` elements apart, K of them not padded; nullopt where that
  // can't be had: the rows have to be packed.
  static std::optional<MicroKernels> CreateInPlace(const KChunks& chunks, absl::Span<const int64_t> row_counts,
                                                   int64_t stride);

  // sums = a @ w for chunk `chunk` of K. `rows` is one of row_counts. `a` is [rows][stride], `w` the
  // chunk of a panel of PackedWeights, `sums` is [rows][64]; none of them needs an alignment.
  void Run(int64_t rows, int64_t chunk, const std::byte* a, const std::byte* w, float* sums) const {
    const Set& set = sets_[rows];
    const Kernel kernel = chunk < last_chunk_ ? set.full : set.last;
    if (bf16_) {
      reinterpret_cast<BF16Kernel>(kernel)(reinterpret_cast<const uint16_t*>(w), reinterpret_cast<const uint16_t*>(a),
                                           sums);
    } else {
      kernel(reinterpret_cast<const float*>(w), reinterpret_cast<const float*>(a), sums);
    }
  }
  bool Has(int64_t rows) const { return rows > 0 && rows <= kMaxRows && sets_[rows].last != nullptr; }

 private:
  using Kernel = void (*)(const float*, const float*, float*, ...);            // libxsmm_smmfunction
  using BF16Kernel = void (*)(const uint16_t*, const uint16_t*, float*, ...);  // libxsmm_bsmmfunction
  struct Set {
    Kernel full = nullptr;  // For the chunks before the last; null where there are none.
    Kernel last = nullptr;
  };
  // One shape of kernel; `stride` 0 for packed rows.
  struct Shape {
    DType dtype;
    int64_t rows;
    int64_t length;
    int64_t stride;
    template <typename H>
    friend H AbslHashValue(H h, const Shape& s) {
      return H::combine(std::move(h), s.dtype, s.rows, s.length, s.stride);
    }
    friend bool operator==(const Shape&, const Shape&) = default;
  };

  MicroKernels(int64_t last_chunk, bool bf16) : last_chunk_(last_chunk), bf16_(bf16) {}

  static Kernel Dispatch(const KChunks& chunks, const Shape& shape);
  static Kernel DispatchInPlace(const KChunks& chunks, const Shape& shape);
  // Null: every kernel could be had; else the first row count for which not.
  template <typename Make>
  std::optional<int64_t> Fill(const KChunks& chunks, absl::Span<const int64_t> row_counts, int64_t stride, Make make);

  int64_t last_chunk_;
  bool bf16_;
  std::array<Set, kMaxRows + 1> sets_{};  // By number of rows.
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_MICRO_KERNELS_H_
