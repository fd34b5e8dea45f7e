// A wave for the CPU device with known operands, and what its result must be.
//
// Operands are small random numbers, already rounded to the wave's type, so that a reference in double
// precision sees exactly what the device sees. Not thread-safe.
#ifndef BWRT_TESTS_RUNTIME_CPU_WAVE_CASE_H_
#define BWRT_TESTS_RUNTIME_CPU_WAVE_CASE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dtype.h"
#include "runtime/wave.h"
#include "runtime/wave_request.h"
#include "runtime/wave_validator.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {

inline double ReferenceActivation(ActivationWish activation, double x) {
  switch (activation) {
    case ActivationWish::kIdentity:
      return x;
    case ActivationWish::kRelu:
      return std::max(x, 0.0);
    case ActivationWish::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationWish::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationWish::kSilu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

inline DTypeWish WishOf(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return DTypeWish::kF32;
    case kernels::DType::kF16:
      return DTypeWish::kF16;
    case kernels::DType::kBF16:
      return DTypeWish::kBF16;
    case kernels::DType::kF8E4M3:
      return DTypeWish::kF8E4M3;
    case kernels::DType::kF8E5M2:
      return DTypeWish::kF8E5M2;
  }
  return DTypeWish::kUnspecified;
}

// A row-major matrix in bytes, with gaps between its rows.
struct ByteMatrix {
  kernels::DType dtype = kernels::DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  std::string bytes;

  static int64_t Size(kernels::DType dtype, int64_t rows, int64_t cols, int64_t stride) {
    return ((rows - 1) * stride + cols) * kernels::SizeOf(dtype);
  }
  double At(int64_t i, int64_t j) const {
    float value = 0;
    kernels::ToF32(dtype, bytes.data() + (i * stride + j) * kernels::SizeOf(dtype), 1, &value);
    return value;
  }
  void Set(int64_t i, int64_t j, float value) {
    kernels::FromF32(dtype, &value, 1, bytes.data() + (i * stride + j) * kernels::SizeOf(dtype));
  }
};

// A byte that, repeated, is a NaN in every type: what a device must neither read nor leave behind.
inline constexpr char kPoison = '\xff';

inline ByteMatrix Poisoned(kernels::DType dtype, int64_t rows, int64_t cols, int64_t gap = 0) {
  const int64_t stride = cols + gap;
  return {dtype, rows, cols, stride,
          std::string(static_cast<size_t>(ByteMatrix::Size(dtype, rows, cols, stride)), kPoison)};
}

// Values in [-1, 1); the gaps are poison.
inline ByteMatrix Random(kernels::DType dtype, int64_t rows, int64_t cols, int64_t gap, uint32_t seed) {
  ByteMatrix matrix = Poisoned(dtype, rows, cols, gap);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> value(-1, 1);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) matrix.Set(i, j, value(random));
  }
  return matrix;
}

struct CpuWaveCase {
  int64_t m = 100, n = 80, k = 64;
  int32_t bm = 32, bn = 32, bk = 32;
  kernels::DType dtype = kernels::DType::kF32;
  kernels::DType c_dtype = kernels::DType::kF32;
  int64_t a_gap = 0, w_gap = 0, c_gap = 0;
  bool transposed = false;
  float alpha = 1, beta = 0;
  bool with_bias = false;
  ActivationWish activation = ActivationWish::kIdentity;

  // Operands, drawn by Draw().
  ByteMatrix a, w, c;
  std::vector<float> bias;

  // `c` starts as poison unless beta needs it.
  void Draw(uint32_t seed = 1) {
    a = Random(dtype, m, k, a_gap, seed);
    w = transposed ? Random(dtype, n, k, w_gap, seed + 1) : Random(dtype, k, n, w_gap, seed + 1);
    c = beta != 0 ? Random(c_dtype, m, n, c_gap, seed + 2) : Poisoned(c_dtype, m, n, c_gap);
    bias.clear();
    for (int64_t j = 0; with_bias && j < n; ++j) bias.push_back(static_cast<float>(j % 7) / 8 - 0.25f);
  }

  // With both operands inline and C supplied.
  WaveRequestBuilder Request() const {
    WaveRequestBuilder builder;
    builder.Tile({bm, bn, bk, 1, 1, 1})
        .Dims(m, n, k)
        .DType(WishOf(dtype))
        .CDType(WishOf(c_dtype))
        .A(a.bytes, a.stride)
        .W(w.bytes, w.stride)
        .Transposed(transposed)
        .C(c.bytes, c.stride)
        .Alpha(alpha)
        .Beta(beta)
        .Bias(bias)
        .Activates(activation);
    return builder;
  }

  // Element (i, j) of the result in double precision.
  double Reference(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t x = 0; x < k; ++x) sum += a.At(i, x) * (transposed ? w.At(j, x) : w.At(x, j));
    double value = alpha * sum;
    if (beta != 0) value += beta * c.At(i, j);
    if (!bias.empty()) value += bias[static_cast<size_t>(j)];
    return ReferenceActivation(activation, value);
  }

  // Relative Frobenius error of one tile of `result`; NaN when the result has one.
  double TileError(const std::string& result, TileCoord tile) const {
    const ByteMatrix got{c_dtype, m, n, c.stride, result};
    double error = 0, norm = 0;
    for (int64_t i = tile.m * bm; i < std::min<int64_t>(m, (tile.m + 1) * bm); ++i) {
      for (int64_t j = tile.n * bn; j < std::min<int64_t>(n, (tile.n + 1) * bn); ++j) {
        const double want = Reference(i, j);
        error += (got.At(i, j) - want) * (got.At(i, j) - want);
        norm += want * want;
      }
    }
    return std::sqrt(error / std::max(norm, 1e-30));
  }

  // What a tile may differ by: the bounds.
  double Tolerance() const { return c_dtype == kernels::DType::kF32 ? 1e-5 : 1e-2; }

  // Whether the tile of `c` is still poison, every byte of it.
  bool Untouched(const std::string& bytes, TileCoord tile) const {
    return All(bytes, tile, [](const char* element, int64_t size) {
      return std::all_of(element, element + size, [](char byte) { return byte == kPoison; });
    });
  }
  // Whether every element of the tile is a number.
  bool Written(const std::string& bytes, TileCoord tile) const {
    return All(bytes, tile, [this](const char* element, int64_t) {
      float value = 0;
      kernels::ToF32(c_dtype, element, 1, &value);
      return !std::isnan(value);
    });
  }
  // Whether what lies between the rows of `c` is as supplied.
  bool GapsKept(const std::string& bytes) const {
    const auto size = static_cast<size_t>(kernels::SizeOf(c_dtype));
    for (int64_t i = 0; i + 1 < m; ++i) {
      const auto begin = static_cast<size_t>(i * c.stride + n) * size;
      const auto end = static_cast<size_t>((i + 1) * c.stride) * size;
      if (bytes.compare(begin, end - begin, c.bytes, begin, end - begin) != 0) return false;
    }
    return true;
  }

 private:
  template <typename Predicate>
  bool All(const std::string& bytes, TileCoord tile, const Predicate& predicate) const {
    const int64_t size = kernels::SizeOf(c_dtype);
    for (int64_t i = tile.m * bm; i < std::min<int64_t>(m, (tile.m + 1) * bm); ++i) {
      for (int64_t j = tile.n * bn; j < std::min<int64_t>(n, (tile.n + 1) * bn); ++j) {
        if (!predicate(bytes.data() + (i * c.stride + j) * size, size)) return false;
      }
    }
    return true;
  }
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_CPU_WAVE_CASE_H_
