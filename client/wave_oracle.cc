#include "client/wave_oracle.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

int64_t StrideOf(const v1::Operand& operand, int64_t columns) {
  return operand.row_stride() == 0 ? columns : operand.row_stride();
}

// A rows x columns matrix without its gaps.
absl::StatusOr<std::vector<double>> Decode(absl::string_view name, DType dtype, int64_t rows, int64_t columns,
                                           int64_t stride, const std::string& bytes) {
  auto values = DecodeElements(dtype, bytes);
  if (!values.ok()) return values.status();
  if (static_cast<int64_t>(values->size()) != (rows - 1) * stride + columns) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has ", values->size(), " elements"));
  }
  for (int64_t row = 1; row < rows; ++row) {
    std::copy_n(values->begin() + row * stride, columns, values->begin() + row * columns);
  }
  values->resize(static_cast<size_t>(rows * columns));
  return values;
}

std::vector<double> Transpose(const std::vector<double>& matrix, int64_t rows, int64_t columns) {
  std::vector<double> result(matrix.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) result[column * rows + row] = matrix[row * columns + column];
  }
  return result;
}

double Activate(v1::Activation activation, double x) {
  switch (activation) {
    case v1::RELU:
      return x > 0 ? x : 0;
    case v1::GELU_TANH:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case v1::GELU_ERF:
      return 0.5 * x * std::erfc(-x / M_SQRT2);  // 1 + erf(y) = erfc(-y), without cancelling.
    case v1::SILU:
      return x / (1 + std::exp(-x));
    default:
      return x;
  }
}

double SquareSum(const double* values, int64_t count, int64_t step) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i * step] * values[i * step];
  return sum;
}

}  // namespace

absl::StatusOr<WaveOracle> WaveOracle::Create(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w) {
  WaveOracle oracle(request);
  if (absl::Status status = oracle.Compute(stored_w); !status.ok()) return status;
  return oracle;
}

double WaveOracle::tolerance() const { return dtype_ == F32 && c_dtype_ == F32 ? 1e-5 : 1e-2; }

absl::Status WaveOracle::Compute(const v1::Tensor* stored_w) {
  const int64_t m = request_.m(), n = request_.n(), k = request_.k();
  // "`spec.dtype` governs A and W; unspecified takes the stored W's, else f32." C: "f32 or the input type".
  dtype_ = request_.spec().dtype();
  if (dtype_ == DTYPE_UNSPECIFIED) dtype_ = stored_w == nullptr ? F32 : stored_w->dtype();
  c_dtype_ = request_.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request_.c_dtype();
  c_stride_ = StrideOf(request_.c(), n);
  schedule_ = ScheduleOf(request_);

  const auto a = Decode("a", dtype_, m, k, StrideOf(request_.a(), k), request_.a().inline_());
  if (!a.ok()) return a.status();
  const bool transposed = request_.w_transposed();
  const int64_t w_rows = transposed ? n : k, w_columns = transposed ? k : n;
  auto w = Decode("w", dtype_, w_rows, w_columns, stored_w != nullptr ? w_columns : StrideOf(request_.w(), w_columns),
                  stored_w != nullptr ? stored_w->data() : request_.w().inline_());
  if (!w.ok()) return w.status();
  if (transposed) w = Transpose(*w, n, k);

  // "Starts as the supplied C, else zeros; skipped tiles and stride gaps keep that."
  start_ = request_.c().inline_();
  if (request_.c().source_case() != v1::Operand::kInline) {
    start_.assign(static_cast<size_t>(((m - 1) * c_stride_ + n) * DTypeBytes(c_dtype_)), '\0');
  }
  const auto given = Decode("c", c_dtype_, m, n, c_stride_, start_);
  if (!given.ok()) return given.status();

  want_.assign(static_cast<size_t>(m * n), 0);
  computed_.assign(static_cast<size_t>(m * n), false);
  for (const ScheduledTile& tile : schedule_.order) ComputeTile(tile, *a, *w, *given);
  return absl::OkStatus();
}

void WaveOracle::ComputeTile(const ScheduledTile& tile, const std::vector<double>& a, const std::vector<double>& w,
                             const std::vector<double>& given) {
  double& scale = scales_.emplace_back(0);
  if (tile.dropped) return;
  const int64_t n = request_.n(), k = request_.k();
  const int64_t row_begin = tile.m * request_.spec().bm(), column = tile.n * request_.spec().bn();
  const int64_t row_end = std::min(row_begin + request_.spec().bm(), request_.m());
  const int64_t width = std::min<int64_t>(request_.spec().bn(), n - column);
  const double alpha = request_.has_alpha() ? request_.alpha() : 1;
  const double beta = request_.has_beta() ? request_.beta() : 0;
  std::vector<double> a_squares(static_cast<size_t>(k)), sums(static_cast<size_t>(width));
  for (int64_t packed = row_begin; packed < row_end; ++packed) {
    const int64_t row = schedule_.packed_rows[static_cast<size_t>(packed)];
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t depth = 0; depth < k; ++depth) {
      const double factor = a[row * k + depth];
      a_squares[depth] += factor * factor;
      const double* __restrict w_row = &w[depth * n + column];
      double* __restrict sum = sums.data();
      for (int64_t j = 0; j < width; ++j) sum[j] += factor * w_row[j];
    }
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = row * n + column + j;
      double x = alpha * sums[j];
      // A C that beta = 0 leaves out does not count, even where it holds NaN.
      const double kept = beta == 0 ? 0 : beta * given[at];
      const double bias = request_.bias().empty() ? 0 : request_.bias(static_cast<int>(column + j));
      want_[at] = Activate(request_.activation(), x + kept + bias);
      computed_[at] = true;
      scale += kept * kept + bias * bias;
    }
  }
  // The squares of all products, summed without forming them.
  for (int64_t depth = 0; depth < k; ++depth) {
    scale += alpha * alpha * a_squares[depth] * SquareSum(&w[depth * n + column], width, 1);
  }
  scale = std::sqrt(scale);
}

}  // namespace bwrt::client
