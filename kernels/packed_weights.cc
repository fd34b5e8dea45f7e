#include "kernels/packed_weights.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace bwrt::kernels {
namespace {

constexpr int64_t kWidth = PackedWeights::kPanelWidth;

// `value` rounded up to a multiple of `step`; nullopt when that does not fit.
std::optional<int64_t> RoundUp(int64_t value, int64_t step) {
  int64_t sum = 0;
  if (__builtin_add_overflow(value, step - 1, &sum)) return std::nullopt;
  return sum / step * step;
}

// Elements of a packed [k, n] matrix.
std::optional<int64_t> PackedElements(int64_t k, int64_t n) {
  const std::optional<int64_t> padded_k = RoundUp(k, PackedWeights::kKMultiple);
  const std::optional<int64_t> padded_n = RoundUp(n, kWidth);
  int64_t elements = 0;
  int64_t bytes = 0;
  if (!padded_k || !padded_n || __builtin_mul_overflow(*padded_k, *padded_n, &elements) ||
      __builtin_mul_overflow(elements, int64_t{sizeof(float)}, &bytes)) {
    return std::nullopt;
  }
  return elements;
}

// Columns col0 .. col0 + cols - 1 of w [K, N].
void PackPanel(const ConstMatrix& w, int64_t col0, int64_t cols, float* panel) {
  for (int64_t k = 0; k < w.rows; ++k) {
    float* row = panel + k * kWidth;
    ToF32(w.dtype, w.at(k, col0), cols, row);
    std::fill(row + cols, row + kWidth, 0.0f);
  }
}

// Rows col0 .. col0 + cols - 1 of w [N, K], transposed in squares that stay in L1.
void PackTransposedPanel(const ConstMatrix& w, int64_t col0, int64_t cols, float* panel) {
  alignas(64) float square[kWidth][kWidth] = {};  // Rows from `cols` on stay zero.
  for (int64_t k0 = 0; k0 < w.cols; k0 += kWidth) {
    const int64_t depth = std::min(kWidth, w.cols - k0);
    for (int64_t j = 0; j < cols; ++j) ToF32(w.dtype, w.at(col0 + j, k0), depth, square[j]);
    for (int64_t k = 0; k < depth; ++k) {
      float* row = panel + (k0 + k) * kWidth;
      for (int64_t j = 0; j < kWidth; ++j) row[j] = square[j][k];
    }
  }
}

}  // namespace

PackedWeights::PackedWeights(int64_t k, int64_t n, AlignedBuffer data)
    : k_(k),
      n_(n),
      padded_k_((k + kKMultiple - 1) / kKMultiple * kKMultiple),
      panels_((n + kPanelWidth - 1) / kPanelWidth),
      data_(std::move(data)) {}

int64_t PackedWeights::PackedBytes(int64_t k, int64_t n) {
  if (k <= 0 || n <= 0) return 0;
  const std::optional<int64_t> elements = PackedElements(k, n);
  return elements ? *elements * int64_t{sizeof(float)} : std::numeric_limits<int64_t>::max();
}

absl::StatusOr<std::shared_ptr<const PackedWeights>> PackedWeights::Pack(const ConstMatrix& w, bool transposed) {
  if (!IsValid(w)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights [", w.rows, ", ", w.cols, "] with row stride ", w.row_stride,
                     ": need data, positive dimensions, a stride that covers a row, and an extent "
                     "below 2^63 bytes"));
  }
  const int64_t k = transposed ? w.cols : w.rows;
  const int64_t n = transposed ? w.rows : w.cols;
  const absl::Status no_memory = absl::ResourceExhaustedError(
      absl::StrCat("no memory for weights [", k, ", ", n, "]: packed they take ", PackedBytes(k, n), " bytes"));
  const std::optional<int64_t> elements = PackedElements(k, n);
  std::optional<AlignedBuffer> data = elements ? AlignedBuffer::Allocate(*elements) : std::nullopt;
  if (!data) return no_memory;

  std::shared_ptr<PackedWeights> packed;
  try {
    packed.reset(new PackedWeights(k, n, *std::move(data)));
  } catch (const std::bad_alloc&) {
    return no_memory;
  }
  for (int64_t j = 0; j < packed->panels_; ++j) {
    float* panel = packed->data_.data() + j * packed->padded_k_ * kPanelWidth;
    const int64_t cols = std::min(kPanelWidth, n - j * kPanelWidth);
    (transposed ? PackTransposedPanel : PackPanel)(w, j * kPanelWidth, cols, panel);
    std::fill(panel + k * kPanelWidth, panel + packed->padded_k_ * kPanelWidth, 0.0f);
  }
  return packed;
}

}  // namespace bwrt::kernels
