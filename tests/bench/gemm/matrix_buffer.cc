#include "tests/bench/gemm/matrix_buffer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace bwrt::bench {
namespace {

constexpr int64_t kTile = 128;

kernels::AlignedBuffer Allocate(int64_t bytes) {
  std::optional<kernels::AlignedBuffer> buffer = kernels::AlignedBuffer::Allocate(bytes);
  if (!buffer) throw std::bad_alloc();
  return *std::move(buffer);
}

}  // namespace

MatrixBuffer::MatrixBuffer(int64_t bytes) : buffer_(Allocate(bytes)) {
  std::memset(buffer_.data(), 0, static_cast<size_t>(buffer_.size()));
}

MatrixBuffer MatrixBuffer::Random(kernels::DType dtype, int64_t rows, int64_t cols, uint64_t seed) {
  MatrixBuffer matrix(rows * cols * kernels::SizeOf(dtype));
  std::vector<float> row(static_cast<size_t>(cols));
  uint64_t state = 0x9e3779b97f4a7c15u * (seed + 1);
  for (int64_t i = 0; i < rows; ++i) {
    for (float& value : row) {
      // xorshift64: a standard engine would take longer than what is measured.
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      value = static_cast<float>(static_cast<int32_t>(state >> 40) - (1 << 23)) / (1 << 23);
    }
    kernels::FromF32(dtype, row.data(), cols, matrix.data() + i * cols * kernels::SizeOf(dtype));
  }
  return matrix;
}

double WorstTileError(kernels::DType dtype, int64_t m, int64_t n, const std::byte* got, const std::byte* want) {
  const int64_t size = kernels::SizeOf(dtype);
  std::vector<float> got_row(kTile);
  std::vector<float> want_row(kTile);
  double worst = 0;
  for (int64_t row0 = 0; row0 < m; row0 += kTile) {
    for (int64_t col0 = 0; col0 < n; col0 += kTile) {
      const int64_t cols = std::min(kTile, n - col0);
      double error = 0;
      double norm = 0;
      for (int64_t i = row0; i < std::min(m, row0 + kTile); ++i) {
        kernels::ToF32(dtype, got + (i * n + col0) * size, cols, got_row.data());
        kernels::ToF32(dtype, want + (i * n + col0) * size, cols, want_row.data());
        for (size_t j = 0; j < static_cast<size_t>(cols); ++j) {
          const double difference = double{got_row[j]} - want_row[j];
          error += difference * difference;
          norm += double{want_row[j]} * want_row[j];
        }
      }
      const double ratio = std::sqrt(error / std::max(norm, 1e-30));
      if (!std::isfinite(ratio)) return std::numeric_limits<double>::infinity();
      worst = std::max(worst, ratio);
    }
  }
  return worst;
}

}  // namespace bwrt::bench
