// Flaws of operands: sources, sizes, strides, bias.
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

bool IsInline(const v1::Operand& operand) { return operand.source_case() == v1::Operand::kInline; }

// A few bytes or elements too many or too few, or nothing at all.
void SpoilSize(Breaking* b, v1::Operand* operand) {
  std::string* bytes = operand->mutable_inline_();
  const size_t size = bytes->size();
  switch (b->draws.Below(4)) {
    case 0:
      bytes->pop_back();
      break;
    case 1:
      bytes->append(1, '\0');
      break;
    case 2:
      bytes->append(size, '\0');
      break;
    default:
      bytes->clear();
  }
}

int64_t TooShort(Breaking* b, int64_t columns) {
  return columns == 1 ? b->draws.Pick<int64_t>({-1, kMinInt64})
                      : b->draws.Pick<int64_t>({-1, kMinInt64, columns - 1, -columns, 1});
}

// Too large for an int64 once multiplied by rows (at least 2) or element size.
int64_t Overflowing(Breaking* b) { return b->draws.Pick<int64_t>({kMaxInt64, kMaxInt64 / 2 + 1}); }

bool ASize(Breaking* b) {
  SpoilSize(b, b->request().mutable_a());
  b->Expect("a.inline", "OPERAND_SIZE");
  return true;
}

bool WSize(Breaking* b) {
  if (!IsInline(b->request().w())) return false;
  SpoilSize(b, b->request().mutable_w());
  b->Expect("w.inline", "OPERAND_SIZE");
  return true;
}

bool CSize(Breaking* b) {
  if (!IsInline(b->request().c())) return false;
  SpoilSize(b, b->request().mutable_c());
  b->Expect("c.inline", "OPERAND_SIZE");
  return true;
}

bool AStride(Breaking* b) {
  b->request().mutable_a()->set_row_stride(TooShort(b, b->request().k()));
  b->Expect("a.row_stride", "STRIDE");
  return true;
}

bool AOverflow(Breaking* b) {
  if (b->request().m() < 2) return false;
  b->request().mutable_a()->set_row_stride(Overflowing(b));
  b->Expect("a.row_stride", "STRIDE");
  return true;
}

bool WStride(Breaking* b) {
  const v1::SubmitWaveRequest& request = b->request();
  if (!IsInline(request.w())) return false;
  b->request().mutable_w()->set_row_stride(TooShort(b, request.w_transposed() ? request.k() : request.n()));
  b->Expect("w.row_stride", "STRIDE");
  return true;
}

bool WOverflow(Breaking* b) {
  const v1::SubmitWaveRequest& request = b->request();
  if (!IsInline(request.w()) || (request.w_transposed() ? request.n() : request.k()) < 2) return false;
  b->request().mutable_w()->set_row_stride(Overflowing(b));
  b->Expect("w.row_stride", "STRIDE");
  return true;
}

bool WTensorStride(Breaking* b) {
  if (b->request().w().source_case() != v1::Operand::kTensor) return false;
  b->request().mutable_w()->set_row_stride(b->draws.Pick<int64_t>({-1, 1, 10'000}));
  b->Expect("w.row_stride", "STRIDE");
  return true;
}

bool CStride(Breaking* b) {
  b->request().mutable_c()->set_row_stride(TooShort(b, b->request().n()));
  b->Expect("c.row_stride", "STRIDE");
  return true;
}

bool COverflow(Breaking* b) {
  if (b->request().m() < 2) return false;
  b->request().mutable_c()->set_row_stride(Overflowing(b));
  b->Expect("c.row_stride", "STRIDE");
  return true;
}

bool ResultSize(Breaking* b) {
  if (b->request().m() < 2) return false;
  b->request().clear_beta();
  b->request().mutable_c()->clear_inline_();
  b->request().mutable_c()->set_row_stride(b->draws.Pick<int64_t>({1 << 25, 1 << 30, int64_t{1} << 50}));
  b->Expect("c", "RESULT_SIZE");
  return true;
}

bool BetaWithoutC(Breaking* b) {
  b->request().clear_c();
  b->request().set_beta(b->draws.Pick<float>({1, -0.5, std::numeric_limits<float>::denorm_min()}));
  b->Expect("beta", "BETA_WITHOUT_C");
  return true;
}

bool NoA(Breaking* b) {
  b->draws.Percent(50) ? b->request().clear_a() : b->request().mutable_a()->clear_source();
  b->Expect("a", "MISSING");
  return true;
}

bool NoW(Breaking* b) {
  b->spec()->set_dtype(InputDType(*b));  // It may have been that of the tensor.
  b->request().clear_w();
  b->Expect("w", "MISSING");
  return true;
}

bool ATensor(Breaking* b) {
  b->request().mutable_a()->set_tensor("layers/0/f32.square");
  b->Expect("a.tensor", "OPERAND_SOURCE");
  return true;
}

bool CTensor(Breaking* b) {
  b->request().mutable_c()->set_tensor("layers/0/f32.square");
  b->Expect("c.tensor", "OPERAND_SOURCE");
  return true;
}

bool TensorName(Breaking* b) {
  b->spec()->set_dtype(InputDType(*b));
  b->request().mutable_w()->set_row_stride(0);
  b->request().mutable_w()->set_tensor(b->draws.Percent(50) ? "" : std::string(513, 't'));
  b->Expect("w.tensor", "TENSOR_NAME");
  return true;
}

bool BiasSize(Breaking* b) {
  const int n = static_cast<int>(b->request().n());
  b->request().mutable_bias()->Resize(n == 1 ? 2 : b->draws.Pick({n - 1, n + 1, 2 * n, 1}), 0.5f);
  b->Expect("bias", "BIAS_SIZE");
  return true;
}

}  // namespace

std::vector<Flaw> OperandFlaws() {
  return {
      {"a of another size", WavePart::kA, ASize},
      {"w of another size", WavePart::kW, WSize},
      {"c of another size", WavePart::kC, CSize},
      {"a stride below its columns", WavePart::kA, AStride},
      {"a stride overflows", WavePart::kA, AOverflow},
      {"w stride below its columns", WavePart::kW, WStride},
      {"w stride overflows", WavePart::kW, WOverflow},
      {"stride of a tensor", WavePart::kW, WTensorStride},
      {"c stride below its columns", WavePart::kC, CStride},
      {"c stride overflows", WavePart::kC, COverflow},
      {"result beyond a message", WavePart::kC, ResultSize},
      {"beta without c", WavePart::kC, BetaWithoutC},
      {"no a", WavePart::kA, NoA},
      {"no w", WavePart::kW, NoW},
      {"a is a tensor", WavePart::kA, ATensor},
      {"c is a tensor", WavePart::kC, CTensor},
      {"tensor name", WavePart::kW, TensorName},
      {"bias of another size", WavePart::kBias, BiasSize},
  };
}

}  // namespace bwrt::client
