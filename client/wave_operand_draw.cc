#include "client/wave_operand_draw.h"

#include <string>
#include <utility>

#include "client/dtype.h"
#include "client/matrix_draw.h"

namespace bwrt::client {
namespace {

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
  if (IsF8(dtype)) {
    if (draws->Percent(70)) request->set_a_scale(draws->Pick<float>({1, 0.5, 0x1p-6f, 3, 0.3f}));
    if (draws->Percent(70)) request->set_w_scale(draws->Pick<float>({1, 2, 0x1p-4f, 0.7f}));
  }
  if (draws->Percent(40)) {
    request->mutable_bias()->Reserve(static_cast<int>(n));
    for (int64_t i = 0; i < n; ++i) request->add_bias(draws->Unit() * 2);
  }
  request->set_activation(draws->Pick({v1::IDENTITY, v1::IDENTITY, v1::RELU, v1::GELU_TANH, v1::GELU_ERF, v1::SILU}));
}

}  // namespace bwrt::client
