#include "kernels/gemm_problem.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/kernel_dtype.h"

namespace bwrt::kernels {
namespace {

absl::Status CheckShape(absl::string_view name, const ConstMatrix& matrix, int64_t rows, int64_t cols) {
  if (!IsValid(matrix)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " [", matrix.rows, ", ", matrix.cols, "] with row stride ", matrix.row_stride,
                     ": need data, positive dimensions, a stride that covers a row, and an extent below 2^63 "
                     "bytes"));
  }
  if (matrix.rows != rows || matrix.cols != cols) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is [", matrix.rows, ", ", matrix.cols,
                                                   "], but the problem needs [", rows, ", ", cols, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const GemmProblem& problem) {
  if (absl::Status status = CheckShape("a", problem.a, problem.m, problem.k); !status.ok()) return status;
  if (absl::Status status = CheckShape("c", problem.c, problem.m, problem.n); !status.ok()) return status;
  if (problem.w == nullptr) return absl::InvalidArgumentError("w is missing");
  if (problem.w->k() != problem.k || problem.w->n() != problem.n) {
    return absl::InvalidArgumentError(absl::StrCat("w is [", problem.w->k(), ", ", problem.w->n(),
                                                   "], but the problem needs [", problem.k, ", ", problem.n, "]"));
  }
  if (problem.w->dtype() != KernelDType(problem.a.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("w is packed in ", Name(problem.w->dtype()), ", but a of ",
                                                   Name(problem.a.dtype), " is multiplied in ",
                                                   Name(KernelDType(problem.a.dtype))));
  }
  if (!problem.rows.empty() && static_cast<int64_t>(problem.rows.size()) != problem.m) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows has ", problem.rows.size(), " values, but the problem has m=", problem.m));
  }
  for (const int64_t row : problem.rows) {
    if (row < 0 || row >= problem.m) {
      return absl::InvalidArgumentError(absl::StrCat("rows names row ", row, " of ", problem.m));
    }
  }
  if (!problem.bias.empty() && static_cast<int64_t>(problem.bias.size()) != problem.n) {
    return absl::InvalidArgumentError(
        absl::StrCat("bias has ", problem.bias.size(), " values, but the problem has n=", problem.n));
  }
  return absl::OkStatus();
}

}  // namespace bwrt::kernels
