#include "client/wave_operand_draw.h"

#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "client/dtype.h"

namespace bwrt::client {
namespace {

// How the values of one matrix are distributed. Magnitudes stay below 2, so that no sum overflows an f16.
enum class Fill { kUniform, kEighths, kWide, kSparse, kNaN };

Fill DrawFill(Draws* draws) {
  const uint64_t kind = draws->Below(10);
  if (kind < 5) return Fill::kUniform;
  if (kind < 7) return Fill::kEighths;
  return kind < 9 ? Fill::kWide : Fill::kSparse;
}

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

void PutElement(DType dtype, float value, char* at) {
  if (dtype == F32) {
    std::memcpy(at, &value, sizeof(value));
    return;
  }
  const uint16_t bits = dtype == F16 ? RoundToF16(value) : RoundToBf16(value);
  std::memcpy(at, &bits, sizeof(bits));
}

// rows x columns of `fill`, with NaN in the gaps between rows.
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

// Bytes that differ from their neighbours, so that a gap or a tile moved elsewhere does not go unnoticed.
void PutSentinels(std::string* bytes, int64_t size, int64_t rows, int64_t columns, int64_t stride) {
  for (int64_t row = 0; row + 1 < rows; ++row) {
    for (int64_t i = (row * stride + columns) * size; i < (row + 1) * stride * size; ++i) {
      (*bytes)[static_cast<size_t>(i)] = static_cast<char>(0xa5 ^ (i * 37));
    }
  }
}

// 0: packed.
int64_t DrawStride(Draws* draws, int64_t columns) {
  if (draws->Percent(50)) return 0;
  return columns + draws->Pick<int64_t>({0, 1, draws->Between(1, 16), draws->Between(1, 100)});
}

int64_t StrideOf(const v1::Operand& operand, int64_t columns) {
  return operand.row_stride() == 0 ? columns : operand.row_stride();
}

void DrawInput(Draws* draws, DType dtype, int64_t rows, int64_t columns, v1::Operand* operand) {
  operand->set_row_stride(DrawStride(draws, columns));
  operand->set_inline_(DrawMatrix(draws, DrawFill(draws), dtype, rows, columns, StrideOf(*operand, columns)));
}

void DrawC(Draws* draws, v1::SubmitWaveRequest* request) {
  const int64_t m = request->m(), n = request->n();
  const DType dtype = request->c_dtype() == DTYPE_UNSPECIFIED ? F32 : request->c_dtype();
  const bool present = draws->Percent(60);
  if (!present) {
    // Without bytes it still shapes the result.
    if (draws->Percent(30)) request->mutable_c()->set_row_stride(DrawStride(draws, n));
    if (draws->Percent(30)) request->set_beta(0);
    return;
  }
  if (draws->Percent(75)) request->set_beta(draws->Pick<float>({0, 0, 1, 1, -1, draws->Unit() * 2}));
  Fill fill = DrawFill(draws);
  if (request->beta() == 0 && draws->Percent(50)) fill = Fill::kNaN;
  request->mutable_c()->set_row_stride(DrawStride(draws, n));
  const int64_t stride = StrideOf(request->c(), n);
  std::string c = DrawMatrix(draws, fill, dtype, m, n, stride);
  PutSentinels(&c, DTypeBytes(dtype), m, n, stride);
  request->mutable_c()->set_inline_(std::move(c));
}

}  // namespace

void DrawOperands(Draws* draws, DType dtype, v1::SubmitWaveRequest* request) {
  const int64_t m = request->m(), n = request->n(), k = request->k();
  DrawInput(draws, dtype, m, k, request->mutable_a());
  if (request->w().source_case() != v1::Operand::kTensor) {
    const bool transposed = request->w_transposed();
    DrawInput(draws, dtype, transposed ? n : k, transposed ? k : n, request->mutable_w());
  }
  DrawC(draws, request);
  if (draws->Percent(60)) request->set_alpha(draws->Pick<float>({0, 1, -1, 0.5, draws->Unit() * 2, draws->Unit()}));
  if (draws->Percent(40)) {
    request->mutable_bias()->Reserve(static_cast<int>(n));
    for (int64_t i = 0; i < n; ++i) request->add_bias(draws->Unit() * 2);
  }
  request->set_activation(draws->Pick({v1::IDENTITY, v1::IDENTITY, v1::RELU, v1::GELU_TANH, v1::GELU_ERF, v1::SILU}));
}

}  // namespace bwrt::client
