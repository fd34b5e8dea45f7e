#include "client/wave_draft.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/digest.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/matrix_draw.h"

namespace bwrt::client {
namespace {

// The streams of client/wave_generator.h use the same seeds; these are others.
constexpr uint64_t kOperandStreams = 0x6f706572616e6473;  // "operands"

int64_t StrideOf(const v1::Operand& operand, int64_t columns) {
  return operand.row_stride() == 0 ? columns : operand.row_stride();
}

bool IsInline(const v1::Operand& operand) { return operand.source_case() == v1::Operand::kInline; }

// An inline operand's place in the request.
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  DType dtype = F32;
  int64_t stride = 0;

  // False: more than `left`, from which they are taken.
  bool Take(uint64_t* left) const {
    int64_t bytes = 0;
    if (__builtin_mul_overflow(rows - 1, stride, &bytes) || __builtin_add_overflow(bytes, columns, &bytes) ||
        __builtin_mul_overflow(bytes, DTypeBytes(dtype), &bytes) || bytes < 0 || static_cast<uint64_t>(bytes) > *left) {
      return false;
    }
    *left -= static_cast<uint64_t>(bytes);
    return true;
  }
};

std::string Draw(Draws draws, const Matrix& matrix) {
  const Fill fill = DrawFill(&draws);
  return DrawMatrix(&draws, fill, matrix.dtype, matrix.rows, matrix.columns, matrix.stride);
}

}  // namespace

WaveDraft DraftOf(v1::SubmitWaveRequest request) {
  WaveDraft draft{.bias = !request.bias().empty()};
  request.clear_bias();
  for (v1::Operand* operand : {request.mutable_a(), request.mutable_w()}) {
    if (operand->source_case() != v1::Operand::kTensor) operand->set_inline_("");
  }
  if (IsInline(request.c())) request.mutable_c()->set_inline_("");
  draft.request = std::move(request);
  return draft;
}

v1::SubmitWaveRequest WithoutOperands(const WaveDraft& draft) {
  v1::SubmitWaveRequest request = draft.request;
  request.mutable_a()->clear_inline_();
  request.mutable_w()->clear_inline_();
  if (request.has_c()) request.mutable_c()->clear_inline_();
  return request;
}

DType InputDTypeOf(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w) {
  if (request.spec().dtype() != DTYPE_UNSPECIFIED) return request.spec().dtype();
  return stored_w == nullptr ? F32 : stored_w->dtype();
}

DType OutputDTypeOf(const v1::SubmitWaveRequest& request) {
  return request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype();
}

absl::StatusOr<v1::SubmitWaveRequest> FillOperands(const WaveDraft& draft, DType dtype, const OperandSeed& seed,
                                                   uint64_t max_bytes) {
  v1::SubmitWaveRequest request = draft.request;
  const int64_t m = request.m(), n = request.n(), k = request.k();
  const bool transposed = request.w_transposed();
  const Matrix a = {.rows = m, .columns = k, .dtype = dtype, .stride = StrideOf(request.a(), k)};
  Matrix w = {.rows = transposed ? n : k, .columns = transposed ? k : n, .dtype = dtype};
  w.stride = StrideOf(request.w(), w.columns);
  const Matrix c = {.rows = m, .columns = n, .dtype = OutputDTypeOf(request), .stride = StrideOf(request.c(), n)};
  const Matrix bias = {.rows = 1, .columns = n, .dtype = F32, .stride = n};
  // C comes back, whether it was sent or not.
  uint64_t left = max_bytes;
  if (!a.Take(&left) || (IsInline(request.w()) && !w.Take(&left)) || !c.Take(&left) ||
      (draft.bias && !bias.Take(&left))) {
    return absl::ResourceExhaustedError(absl::StrCat("m=", m, " n=", n, " k=", k,
                                                     ": the operands and C have more than the ", max_bytes,
                                                     " bytes of one message; name W as a tensor, or take a smaller "
                                                     "wave"));
  }

  // Each operand has a stream of its own.
  const auto draws = [&seed](uint64_t operand) { return Draws(seed.seed ^ kOperandStreams, 4 * seed.wave + operand); };
  request.mutable_a()->set_inline_(Draw(draws(0), a));
  if (IsInline(request.w())) request.mutable_w()->set_inline_(Draw(draws(1), w));
  if (IsInline(request.c())) {
    Draws of_c = draws(2);
    const Fill fill = request.beta() == 0 ? Fill::kNaN : DrawFill(&of_c);
    std::string bytes = DrawMatrix(&of_c, fill, c.dtype, m, n, c.stride);
    PutSentinels(&bytes, DTypeBytes(c.dtype), m, n, c.stride);
    request.mutable_c()->set_inline_(std::move(bytes));
  }
  if (draft.bias) {
    Draws of_bias = draws(3);
    request.mutable_bias()->Reserve(static_cast<int>(n));
    for (int64_t i = 0; i < n; ++i) request.add_bias(of_bias.Unit() * 2);
  }
  return request;
}

std::map<std::string, std::string> OperandDigests(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w) {
  const auto digest = [](absl::string_view bytes) { return DigestOf(DigestKind::kXxh3, bytes); };
  std::map<std::string, std::string> digests = {
      {"a", digest(request.a().inline_())},
      {"w", digest(stored_w != nullptr ? stored_w->data() : request.w().inline_())}};
  if (IsInline(request.c())) digests["c"] = digest(request.c().inline_());
  if (!request.bias().empty()) {
    std::string bytes;
    for (const float value : request.bias()) AppendElement(F32, value, &bytes);
    digests["bias"] = digest(bytes);
  }
  return digests;
}

}  // namespace bwrt::client
