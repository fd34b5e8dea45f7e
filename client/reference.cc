#include "client/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

// No C beyond this fits into one message.
constexpr int64_t kMaxElements = int64_t{1} << 30;

DType InputDType(const v1::SubmitWaveRequest& request) {
  return request.spec().dtype() == DTYPE_UNSPECIFIED ? F32 : request.spec().dtype();
}

DType OutputDType(const v1::SubmitWaveRequest& request) {
  return request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype();
}

absl::Status CheckShape(const v1::SubmitWaveRequest& request) {
  for (const int64_t size : {request.m(), request.n(), request.k(), static_cast<int64_t>(request.spec().bm()),
                             static_cast<int64_t>(request.spec().bn())}) {
    if (size <= 0) return absl::InvalidArgumentError("m, n, k, bm and bn must be positive");
  }
  if (request.m() > kMaxElements / request.n() || request.m() > kMaxElements / request.k() ||
      request.n() > kMaxElements / request.k()) {
    return absl::InvalidArgumentError("the wave is too large to verify");
  }
  return absl::OkStatus();
}

// A rows x columns matrix of `dtype` with rows `stride` apart, packed.
absl::StatusOr<std::vector<double>> DecodeMatrix(absl::string_view name, DType dtype, int64_t rows, int64_t columns,
                                                 int64_t stride, absl::string_view bytes) {
  if (stride == 0) stride = columns;
  const int64_t element_bytes = std::max<int64_t>(1, DTypeBytes(dtype));
  int64_t expected = 0;
  if (stride < columns || __builtin_mul_overflow(rows - 1, stride, &expected) ||
      __builtin_add_overflow(expected, columns, &expected) ||
      __builtin_mul_overflow(expected, element_bytes, &expected) || static_cast<int64_t>(bytes.size()) != expected) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", bytes.size(), " bytes are no ", rows, " x ", columns,
                                                   " matrix of ", DTypeName(dtype), " with rows ", stride, " apart"));
  }
  auto values = DecodeElements(dtype, bytes);
  if (!values.ok() || stride == columns) return values;
  for (int64_t row = 1; row < rows; ++row) {
    std::copy_n(values->begin() + row * stride, columns, values->begin() + row * columns);
  }
  values->resize(rows * columns);
  return values;
}

absl::StatusOr<std::vector<double>> DecodeOperand(absl::string_view name, DType dtype, int64_t rows, int64_t columns,
                                                  const v1::Operand& operand) {
  if (operand.source_case() != v1::Operand::kInline) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": its bytes are needed to verify"));
  }
  return DecodeMatrix(name, dtype, rows, columns, operand.row_stride(), operand.inline_());
}

std::vector<double> Transposed(const std::vector<double>& matrix, int64_t rows, int64_t columns) {
  std::vector<double> result(matrix.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}

// sums[i] += factors[i] * w for four rows.
void Accumulate(const double* factors, const double* __restrict w, int64_t width, double* __restrict sum0,
                double* __restrict sum1, double* __restrict sum2, double* __restrict sum3) {
  for (int64_t j = 0; j < width; ++j) {
    sum0[j] += factors[0] * w[j];
    sum1[j] += factors[1] * w[j];
    sum2[j] += factors[2] * w[j];
    sum3[j] += factors[3] * w[j];
  }
}

// product = A @ W. Four rows at a time, so that each row of W that is read serves four; in blocks
// of columns, so that these rows stay in the first cache and the block of W in the second.
void MultiplyAdd(const std::vector<double>& a, const std::vector<double>& w, int64_t m, int64_t n, int64_t k,
                 std::vector<double>* product) {
  constexpr int64_t kRows = 4;
  constexpr int64_t kColumns = 128;
  for (int64_t column = 0; column < n; column += kColumns) {
    const int64_t width = std::min(kColumns, n - column);
    for (int64_t row = 0; row < m; row += kRows) {
      const int64_t height = std::min(kRows, m - row);
      double sums[kRows][kColumns] = {};
      for (int64_t depth = 0; depth < k; ++depth) {
        double factors[kRows] = {};
        for (int64_t i = 0; i < height; ++i) factors[i] = a[(row + i) * k + depth];
        Accumulate(factors, &w[depth * n + column], width, sums[0], sums[1], sums[2], sums[3]);
      }
      for (int64_t i = 0; i < height; ++i) {
        std::copy_n(sums[i], width, product->begin() + (row + i) * n + column);
      }
    }
  }
}

double Activate(v1::Activation activation, double x) {
  switch (activation) {
    case v1::RELU:
      return std::max(x, 0.0);
    case v1::GELU_TANH:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case v1::GELU_ERF:
      return 0.5 * x * (1 + std::erf(x / M_SQRT2));
    case v1::SILU:
      return x / (1 + std::exp(-x));
    default:
      return x;
  }
}

// The tiles of a wave's C.
struct Grid {
  explicit Grid(const v1::SubmitWaveRequest& request)
      : m(request.m()),
        n(request.n()),
        bm(request.spec().bm()),
        bn(request.spec().bn()),
        rows((m + bm - 1) / bm),
        columns((n + bn - 1) / bn) {}

  int64_t m, n, bm, bn, rows, columns;
};

// Which tiles run, row-major.
absl::StatusOr<std::vector<bool>> RunningTiles(const v1::SubmitWaveRequest& request, const Grid& grid) {
  const WaveSpec& spec = request.spec();
  const bool listed = !spec.tile_order().empty() || !spec.tile_order_flat().empty();
  const bool partial = request.coverage() == v1::PARTIAL && listed;
  std::vector<bool> runs(grid.rows * grid.columns, !partial);
  if (partial) {
    std::vector<std::pair<int64_t, int64_t>> order;
    for (const TileCoord& tile : spec.tile_order()) order.emplace_back(tile.m(), tile.n());
    if (order.empty()) {
      for (const uint32_t tile : spec.tile_order_flat()) order.emplace_back(tile >> 16, tile & 0xffff);
    }
    for (const auto& [tile_m, tile_n] : order) {
      if (tile_m < 0 || tile_m >= grid.rows || tile_n < 0 || tile_n >= grid.columns) {
        return absl::InvalidArgumentError("the order holds a tile outside the grid");
      }
      runs[tile_m * grid.columns + tile_n] = true;
    }
  }
  if (spec.tail_policy() == DROP) {
    for (int64_t tile = 0; tile < grid.rows * grid.columns; ++tile) {
      if ((tile / grid.columns + 1) * grid.bm > grid.m || (tile % grid.columns + 1) * grid.bn > grid.n) {
        runs[tile] = false;
      }
    }
  }
  return runs;
}

}  // namespace

absl::StatusOr<std::vector<double>> ReferenceC(const v1::SubmitWaveRequest& request) {
  if (absl::Status status = CheckShape(request); !status.ok()) return status;
  const int64_t m = request.m(), n = request.n(), k = request.k();
  const DType dtype = InputDType(request);
  const Grid grid(request);
  const auto runs = RunningTiles(request, grid);
  if (!runs.ok()) return runs.status();
  if (!request.bias().empty() && request.bias_size() != n) {
    return absl::InvalidArgumentError("bias must hold n values");
  }
  const auto a = DecodeOperand("a", dtype, m, k, request.a());
  if (!a.ok()) return a.status();
  const bool transposed = request.w_transposed();
  auto w = DecodeOperand("w", dtype, transposed ? n : k, transposed ? k : n, request.w());
  if (!w.ok()) return w.status();
  if (transposed) w = Transposed(*w, n, k);
  std::vector<double> given(m * n, 0.0);
  if (request.has_c()) {
    auto c = DecodeOperand("c", OutputDType(request), m, n, request.c());
    if (!c.ok()) return c.status();
    given = *std::move(c);
  }

  std::vector<double> result(m * n, 0.0);
  MultiplyAdd(*a, *w, m, n, k, &result);
  const double alpha = (request.has_alpha() ? request.alpha() : 1.0) *
                       (request.has_a_scale() ? request.a_scale() : 1.0) *
                       (request.has_w_scale() ? request.w_scale() : 1.0);
  const double beta = request.has_beta() ? request.beta() : 0.0;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      const int64_t i = row * n + column;
      if (!(*runs)[(row / grid.bm) * grid.columns + column / grid.bn]) {
        result[i] = given[i];
        continue;
      }
      double x = alpha * result[i];
      // As in BLAS, a C that beta = 0 leaves out does not count even where it is a NaN.
      if (beta != 0) x += beta * given[i];
      if (!request.bias().empty()) x += request.bias(static_cast<int>(column));
      result[i] = Activate(request.activation(), x);
    }
  }
  return result;
}

absl::StatusOr<TileComparison> CompareTiles(const v1::SubmitWaveRequest& request, const std::vector<double>& reference,
                                            absl::string_view c) {
  if (absl::Status status = CheckShape(request); !status.ok()) return status;
  const int64_t stride = request.has_c() ? request.c().row_stride() : 0;
  const auto got = DecodeMatrix("result c", OutputDType(request), request.m(), request.n(), stride, c);
  if (!got.ok()) return got.status();
  if (reference.size() != got->size()) {
    return absl::InvalidArgumentError("the reference belongs to another wave");
  }
  const Grid grid(request);
  TileComparison comparison{.tiles = grid.rows * grid.columns};
  for (int64_t tile = 0; tile < comparison.tiles; ++tile) {
    const int64_t tile_m = tile / grid.columns, tile_n = tile % grid.columns;
    const int64_t row_end = std::min((tile_m + 1) * grid.bm, grid.m);
    const int64_t column_end = std::min((tile_n + 1) * grid.bn, grid.n);
    double off = 0, size = 0;
    int64_t elements = 0;
    for (int64_t row = tile_m * grid.bm; row < row_end; ++row) {
      for (int64_t column = tile_n * grid.bn; column < column_end; ++column) {
        const double want = reference[row * grid.n + column];
        const double have = (*got)[row * grid.n + column];
        ++elements;
        // The same infinity, or NaN where one belongs, is right and would only spoil the sums.
        if (want == have || (std::isnan(want) && std::isnan(have))) {
          if (std::isfinite(want)) size += want * want;
          continue;
        }
        off += (have - want) * (have - want);
        if (std::isfinite(want)) size += want * want;
      }
    }
    double error = std::sqrt(off) / std::max(std::sqrt(size), RelativeErrorFloor(elements));
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error > comparison.max_rel_error) {
      comparison.max_rel_error = error;
      comparison.worst_m = tile_m;
      comparison.worst_n = tile_n;
    }
  }
  return comparison;
}

double RelativeErrorFloor(int64_t elements) { return 1e-6 * std::sqrt(static_cast<double>(elements)); }

double Tolerance(const v1::SubmitWaveRequest& request) {
  return InputDType(request) == F32 && OutputDType(request) == F32 ? 1e-5 : 1e-2;
}

}  // namespace bwrt::client
