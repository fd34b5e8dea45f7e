#include "kernels/packed_weights.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/kernel_dtype.h"

namespace bwrt::kernels {
namespace {

constexpr int64_t kWidth = PackedWeights::kPanelWidth;

// `value` rounded up to a multiple of `step`; nullopt when that does not fit.
std::optional<int64_t> RoundUp(int64_t value, int64_t step) {
  int64_t sum = 0;
  if (__builtin_add_overflow(value, step - 1, &sum)) return std::nullopt;
  return sum / step * step;
}

// Bytes of a packed [k, n] matrix, k and n positive.
std::optional<int64_t> Size(int64_t k, int64_t n, DType packed) {
  const std::optional<int64_t> padded_k = RoundUp(k, PackedWeights::KMultiple(packed));
  const std::optional<int64_t> padded_n = RoundUp(n, kWidth);
  int64_t bytes = 0;
  if (!padded_k || !padded_n || __builtin_mul_overflow(*padded_k, *padded_n, &bytes) ||
      __builtin_mul_overflow(bytes, SizeOf(packed), &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

// Columns col0 .. col0 + cols - 1 of w [K, N].
void PackF32(const ConstMatrix& w, int64_t col0, int64_t cols, float* panel) {
  for (int64_t k = 0; k < w.rows; ++k) {
    float* row = panel + k * kWidth;
    ToF32(w.dtype, w.at(k, col0), cols, row);
    std::fill(row + cols, row + kWidth, 0.0f);
  }
}

// Rows col0 .. col0 + cols - 1 of w [N, K], transposed in squares that stay in L1.
void PackTransposedF32(const ConstMatrix& w, int64_t col0, int64_t cols, float* panel) {
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

// Pairs of rows of w [K, N], interleaved. The bytes are moved as they are.
void PackPairs(const ConstMatrix& w, int64_t col0, int64_t cols, uint16_t* panel) {
  alignas(64) uint16_t even[kWidth] = {};
  alignas(64) uint16_t odd[kWidth] = {};  // From `cols` on both stay zero.
  const auto bytes = static_cast<std::size_t>(cols) * sizeof(uint16_t);
  for (int64_t k = 0; k < w.rows; k += 2, panel += 2 * kWidth) {
    std::memcpy(even, w.at(k, col0), bytes);
    if (k + 1 < w.rows) {
      std::memcpy(odd, w.at(k + 1, col0), bytes);
    } else {
      std::fill_n(odd, kWidth, uint16_t{0});
    }
    for (int64_t j = 0; j < kWidth; ++j) {
      panel[2 * j] = even[j];
      panel[2 * j + 1] = odd[j];
    }
  }
}

// Rows of w [N, K]: a pair lies together already, so that pairs are transposed as one word each.
void PackTransposedPairs(const ConstMatrix& w, int64_t col0, int64_t cols, uint16_t* panel) {
  constexpr int64_t kDepth = 32;
  alignas(64) uint32_t square[kWidth][kDepth] = {};  // Rows from `cols` on stay zero.
  for (int64_t k0 = 0; k0 < w.cols; k0 += 2 * kDepth) {
    const int64_t depth = std::min(2 * kDepth, w.cols - k0);
    const int64_t pairs = (depth + 1) / 2;
    for (int64_t j = 0; j < cols; ++j) {
      square[j][pairs - 1] = 0;  // Of an odd K, the last pair has one element only.
      std::memcpy(square[j], w.at(col0 + j, k0), static_cast<std::size_t>(depth) * sizeof(uint16_t));
    }
    for (int64_t k = 0; k < pairs; ++k) {
      uint16_t* row = panel + (k0 + 2 * k) * kWidth;
      for (int64_t j = 0; j < kWidth; ++j) std::memcpy(row + 2 * j, &square[j][k], sizeof(uint32_t));
    }
  }
}

}  // namespace

PackedWeights::PackedWeights(int64_t k, int64_t n, DType dtype, AlignedBuffer data)
    : k_(k),
      n_(n),
      dtype_(dtype),
      padded_k_((k + KMultiple(dtype) - 1) / KMultiple(dtype) * KMultiple(dtype)),
      panels_((n + kPanelWidth - 1) / kPanelWidth),
      data_(std::move(data)) {}

int64_t PackedWeights::PackedBytes(int64_t k, int64_t n, DType dtype) {
  if (k <= 0 || n <= 0) return 0;
  return Size(k, n, KernelDType(dtype)).value_or(std::numeric_limits<int64_t>::max());
}

float PackedWeights::At(int64_t k, int64_t n) const {
  const int64_t j = n / kPanelWidth;
  const int64_t x = n % kPanelWidth;
  float value = 0;
  if (dtype_ == DType::kF32) {
    ToF32(dtype_, panel(j, k) + x * SizeOf(dtype_), 1, &value);
  } else {
    ToF32(dtype_, panel(j, k / 2 * 2) + (2 * x + k % 2) * SizeOf(dtype_), 1, &value);
  }
  return value;
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
  const DType dtype = KernelDType(w.dtype);
  const absl::Status no_memory = absl::ResourceExhaustedError(absl::StrCat(
      "no memory for weights [", k, ", ", n, "]: packed they take ", PackedBytes(k, n, w.dtype), " bytes"));
  const std::optional<int64_t> bytes = Size(k, n, dtype);
  std::optional<AlignedBuffer> data = bytes ? AlignedBuffer::Allocate(*bytes) : std::nullopt;
  if (!data) return no_memory;

  std::shared_ptr<PackedWeights> packed;
  try {
    packed.reset(new PackedWeights(k, n, dtype, *std::move(data)));
  } catch (const std::bad_alloc&) {
    return no_memory;
  }
  const int64_t panel_bytes = packed->padded_k_ * kPanelWidth * SizeOf(dtype);
  // Rows that hold something: in pairs, the last of an odd K has its zero from the packing.
  const int64_t row_bytes = kPanelWidth * SizeOf(dtype);
  const int64_t written = (dtype == DType::kF32 ? k : (k + 1) / 2 * 2) * row_bytes;
  for (int64_t j = 0; j < packed->panels_; ++j) {
    std::byte* panel = packed->data_.data() + j * panel_bytes;
    const int64_t cols = std::min(kPanelWidth, n - j * kPanelWidth);
    if (dtype == DType::kF32) {
      (transposed ? PackTransposedF32 : PackF32)(w, j * kPanelWidth, cols, reinterpret_cast<float*>(panel));
    } else {
      (transposed ? PackTransposedPairs : PackPairs)(w, j * kPanelWidth, cols, reinterpret_cast<uint16_t*>(panel));
    }
    std::fill(panel + written, panel + panel_bytes, std::byte{0});
  }
  return packed;
}

}  // namespace bwrt::kernels
