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

// Where a row-major matrix lies in its bytes.
struct Layout {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;
};

// The elements of `part`, packed.
absl::StatusOr<std::vector<double>> Decode(absl::string_view name, DType dtype, const Layout& layout,
                                           absl::string_view bytes, const MatrixRect& part) {
  const int64_t size = DTypeBytes(dtype);
  if (size == 0 || static_cast<int64_t>(bytes.size()) != ((layout.rows - 1) * layout.stride + layout.columns) * size) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has ", bytes.size(), " bytes of ", DTypeName(dtype)));
  }
  std::vector<double> values;
  values.reserve(static_cast<size_t>(part.rows() * part.columns()));
  for (int64_t row = part.row_begin; row < part.row_end; ++row) {
    const auto at = static_cast<size_t>((row * layout.stride + part.column_begin) * size);
    const auto decoded = DecodeElements(dtype, bytes.substr(at, static_cast<size_t>(part.columns() * size)));
    if (!decoded.ok()) return decoded.status();
    values.insert(values.end(), decoded->begin(), decoded->end());
  }
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

double SquareSum(const double* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i] * values[i];
  return sum;
}

}  // namespace

absl::StatusOr<WaveOracle> WaveOracle::Create(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w,
                                              const OracleOptions& options) {
  WaveOracle oracle(request);
  if (absl::Status status = oracle.Compute(stored_w, options); !status.ok()) return status;
  return oracle;
}

double WaveOracle::tolerance() const { return dtype_ == F32 && c_dtype_ == F32 ? 1e-5 : 1e-2; }

absl::Status WaveOracle::Compute(const v1::Tensor* stored_w, const OracleOptions& options) {
  const int64_t m = request_.m(), n = request_.n(), k = request_.k();
  // "`spec.dtype` governs A and W; unspecified takes the stored W's, else f32." C: "f32 or the input type"; of f8, also
  // f16 and bf16.
  dtype_ = request_.spec().dtype();
  if (dtype_ == DTYPE_UNSPECIFIED) dtype_ = stored_w == nullptr ? F32 : stored_w->dtype();
  c_dtype_ = request_.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request_.c_dtype();
  c_stride_ = StrideOf(request_.c(), n);
  schedule_ = ScheduleOf(request_);
  const MatrixRect whole = {.row_begin = 0, .row_end = m, .column_begin = 0, .column_end = n};
  part_ = options.part.value_or(whole);
  judges_gaps_ = !options.part.has_value();
  if (part_.empty() || Intersect(part_, whole) != part_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the part ", FormatMatrixRect(part_), " is empty or not within C, which is ", m, " x ", n));
  }

  Operands operands;
  const auto decode = [](absl::string_view name, DType dtype, const Layout& layout, absl::string_view bytes,
                         const MatrixRect& part, std::vector<double>* values) -> absl::Status {
    auto decoded = Decode(name, dtype, layout, bytes, part);
    if (!decoded.ok()) return decoded.status();
    *values = *std::move(decoded);
    return absl::OkStatus();
  };
  const MatrixRect a_part = {
      .row_begin = part_.row_begin, .row_end = part_.row_end, .column_begin = 0, .column_end = k};
  if (absl::Status status = decode("a", dtype_, {.rows = m, .columns = k, .stride = StrideOf(request_.a(), k)},
                                   request_.a().inline_(), a_part, &operands.a);
      !status.ok()) {
    return status;
  }
  const bool transposed = request_.w_transposed();
  const Layout packed_w = {.rows = transposed ? n : k, .columns = transposed ? k : n, .stride = transposed ? k : n};
  Layout w_layout = packed_w;
  if (stored_w == nullptr) w_layout.stride = StrideOf(request_.w(), w_layout.columns);
  MatrixRect w_part = {
      .row_begin = 0, .row_end = k, .column_begin = part_.column_begin, .column_end = part_.column_end};
  if (transposed) {
    w_part = {.row_begin = part_.column_begin, .row_end = part_.column_end, .column_begin = 0, .column_end = k};
  }
  if (absl::Status status = decode(
          "w", dtype_, w_layout, stored_w != nullptr ? stored_w->data() : request_.w().inline_(), w_part, &operands.w);
      !status.ok()) {
    return status;
  }
  if (transposed) operands.w = Transpose(operands.w, part_.columns(), k);

  // "Starts as the supplied C, else zeros; skipped tiles and stride gaps keep that."
  start_ = request_.c().inline_();
  if (request_.c().source_case() != v1::Operand::kInline) {
    start_.assign(static_cast<size_t>(((m - 1) * c_stride_ + n) * DTypeBytes(c_dtype_)), '\0');
  }
  const Layout c_layout = {.rows = m, .columns = n, .stride = c_stride_};
  if (absl::Status status = decode("c", c_dtype_, c_layout, start_, part_, &operands.given); !status.ok()) {
    return status;
  }
  if (options.peer_c.has_value()) {
    absl::Status status = decode("the other device's c", c_dtype_, c_layout, *options.peer_c, part_, &operands.peer);
    if (!status.ok()) return status;
  }

  want_.assign(static_cast<size_t>(part_.rows() * part_.columns()), 0);
  computed_.assign(want_.size(), false);
  for (const ScheduledTile& tile : schedule_.order) ComputeTile(tile, operands);
  return absl::OkStatus();
}

WaveOracle::TileElements WaveOracle::ElementsOf(const ScheduledTile& tile) const {
  const int64_t bm = request_.spec().bm(), bn = request_.spec().bn();
  TileElements elements;
  elements.column_begin = std::max(tile.n * bn, part_.column_begin);
  elements.column_end = std::min((tile.n + 1) * bn, part_.column_end);
  elements.column_end = std::max(elements.column_end, elements.column_begin);
  if (elements.column_end == elements.column_begin) return elements;
  const int64_t packed_end = std::min((tile.m + 1) * bm, request_.m());
  for (int64_t packed = tile.m * bm; packed < packed_end; ++packed) {
    const int64_t row = schedule_.packed_rows[static_cast<size_t>(packed)];
    if (part_.HasRow(row)) elements.rows.push_back(row);
  }
  return elements;
}

void WaveOracle::ComputeTile(const ScheduledTile& tile, const Operands& operands) {
  double& scale = scales_.emplace_back(0);
  if (tile.dropped) return;
  const TileElements elements = ElementsOf(tile);
  if (elements.size() == 0) return;
  const int64_t k = request_.k(), columns = part_.columns(), width = elements.column_end - elements.column_begin;
  const double* w = &operands.w[static_cast<size_t>(elements.column_begin - part_.column_begin)];
  const double alpha = (request_.has_alpha() ? request_.alpha() : 1.0) *
                       (request_.has_a_scale() ? request_.a_scale() : 1.0) *
                       (request_.has_w_scale() ? request_.w_scale() : 1.0);
  const double beta = request_.has_beta() ? request_.beta() : 0;
  std::vector<double> a_squares(static_cast<size_t>(k)), sums(static_cast<size_t>(width));
  for (const int64_t row : elements.rows) {
    const double* a = &operands.a[static_cast<size_t>((row - part_.row_begin) * k)];
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t depth = 0; depth < k; ++depth) {
      const double factor = a[depth];
      a_squares[static_cast<size_t>(depth)] += factor * factor;
      if (!operands.peer.empty()) continue;
      const double* __restrict w_row = &w[depth * columns];
      double* __restrict sum = sums.data();
      for (int64_t j = 0; j < width; ++j) sum[j] += factor * w_row[j];
    }
    for (int64_t j = 0; j < width; ++j) {
      const int64_t column = elements.column_begin + j;
      const size_t at = IndexOf(row, column);
      const double x = alpha * sums[static_cast<size_t>(j)];
      // A C that beta = 0 leaves out does not count, even where it holds NaN.
      const double kept = beta == 0 ? 0 : beta * operands.given[at];
      const double bias = request_.bias().empty() ? 0 : request_.bias(static_cast<int>(column));
      want_[at] = operands.peer.empty() ? Activate(request_.activation(), x + kept + bias) : operands.peer[at];
      computed_[at] = true;
      scale += kept * kept + bias * bias;
    }
  }
  // The squares of all products, summed without forming them.
  for (int64_t depth = 0; depth < k; ++depth) {
    scale += alpha * alpha * a_squares[static_cast<size_t>(depth)] * SquareSum(&w[depth * columns], width);
  }
  scale = std::sqrt(scale);
}

}  // namespace bwrt::client
