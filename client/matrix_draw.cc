#include "client/matrix_draw.h"

#include <limits>

#include "client/dtype.h"

namespace bwrt::client {
namespace {

float DrawValue(Draws* draws, Fill fill) {
  const uint64_t bits = draws->Bits();
  const float unit = Draws::UnitOf(bits);
  switch (fill) {
    case Fill::kUniform:
      return unit;
    case Fill::kEighths:  // Sums of products of these are exact in f32.
      return static_cast<float>(static_cast<int>(bits % 17) - 8) * 0.125f;
    case Fill::kWide: {  // Exponents from -7 to 0, by the bits that `unit` does not use.
      const auto shift = static_cast<uint32_t>(bits % 8);
      return unit * 2.0f / static_cast<float>(1u << shift);
    }
    case Fill::kSparse:
      return bits % 8 == 0 ? unit : 0.0f;
    case Fill::kNaN:
      break;
  }
  return std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

Fill DrawFill(Draws* draws) {
  const uint64_t kind = draws->Below(10);
  if (kind < 5) return Fill::kUniform;
  if (kind < 7) return Fill::kEighths;
  return kind < 9 ? Fill::kWide : Fill::kSparse;
}

std::string DrawMatrix(Draws* draws, Fill fill, DType dtype, int64_t rows, int64_t columns, int64_t stride) {
  const int64_t size = DTypeBytes(dtype);
  std::string bytes(static_cast<size_t>(((rows - 1) * stride + columns) * size), '\0');
  for (int64_t row = 0; row < rows; ++row) {
    char* at = &bytes[static_cast<size_t>(row * stride * size)];
    for (int64_t column = 0; column < columns; ++column, at += size) PutElement(dtype, DrawValue(draws, fill), at);
    if (row + 1 == rows) break;
    for (int64_t gap = columns; gap < stride; ++gap, at += size) {
      PutElement(dtype, std::numeric_limits<float>::quiet_NaN(), at);
    }
  }
  return bytes;
}

void PutSentinels(std::string* bytes, int64_t size, int64_t rows, int64_t columns, int64_t stride) {
  for (int64_t row = 0; row + 1 < rows; ++row) {
    for (int64_t i = (row * stride + columns) * size; i < (row + 1) * stride * size; ++i) {
      (*bytes)[static_cast<size_t>(i)] = static_cast<char>(0xa5 ^ (i * 37));
    }
  }
}

}  // namespace bwrt::client
