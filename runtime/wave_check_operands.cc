// Operands, and how their rows are packed.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "runtime/wave_check.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;

bool Multiply(int64_t a, int64_t b, int64_t* product) { return !__builtin_mul_overflow(a, b, product); }

// Checks one operand's stride and, if it is inline, its size.
OperandLayout CheckMatrix(absl::string_view name, const OperandRequest& o, int64_t rows, int64_t cols, DType dtype,
                          Violations& bad) {
  const int64_t stride = o.row_stride == 0 ? cols : o.row_stride;
  if (stride < cols) {
    bad.Add(absl::StrCat(name, ".row_stride"), "STRIDE", o.row_stride, "must be 0 (packed) or at least the ", cols,
            " columns of ", name);
    return {};
  }
  int64_t size = 0;
  if (!Multiply(rows - 1, stride, &size) || __builtin_add_overflow(size, cols, &size) ||
      !Multiply(size, kernels::SizeOf(dtype), &size)) {
    bad.Add(absl::StrCat(name, ".row_stride"), "STRIDE", o.row_stride, "with ", rows,
            " rows the matrix is larger than any memory");
    return {};
  }
  if (o.source == OperandRequest::Source::kInline && static_cast<int64_t>(o.bytes.size()) != size) {
    bad.Add(absl::StrCat(name, ".inline"), "OPERAND_SIZE", absl::StrCat(o.bytes.size(), " bytes"), rows, " x ", cols,
            " ", kernels::Name(dtype), " with row_stride ", stride, " needs exactly ", size, " bytes");
  }
  return {.stride = stride, .bytes = size};
}

void CheckPresent(absl::string_view name, const OperandRequest& o, Violations& bad) {
  if (o.source == OperandRequest::Source::kAbsent) {
    bad.Add(name, "MISSING", "(none)", "required: give its bytes inline", name == "w" ? " or name a tensor" : "");
  }
}

void CheckInline(absl::string_view name, const OperandRequest& o, Violations& bad) {
  if (o.source == OperandRequest::Source::kTensor) {
    bad.Add(absl::StrCat(name, ".tensor"), "OPERAND_SOURCE", Quoted(o.tensor), "only w can name a tensor; give ", name,
            " inline");
  }
}

}  // namespace

void CheckPackOrder(const std::vector<int64_t>& ids, const Limits& limits, Violations& bad) {
  if (!CheckCount("spec.pack_order", ids.size(), limits.max_pack_order, bad)) return;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] > kMaxId) {
      bad.Add(absl::StrCat("spec.pack_order[", i, "]"), "ID_OUT_OF_RANGE", ids[i], "must lie in [0, ", kMaxId,
              "]; ids are 32-bit");
    }
  }
}

void CheckRows(const WaveRequest& r, const Limits& limits, Violations& bad) {
  if (r.rows.empty() || !CheckCount("rows", r.rows.size(), limits.max_pack_order, bad)) return;
  std::set<int64_t> ids;
  std::vector<size_t> by_begin;
  for (size_t i = 0; i < r.rows.size(); ++i) {
    const RowRange& range = r.rows[i];
    const auto path = [i](absl::string_view part) { return absl::StrCat("rows[", i, "].", part); };
    if (range.id < 0 || range.id > kMaxId) {
      bad.Add(path("id"), "ID_OUT_OF_RANGE", range.id, "must lie in [0, ", kMaxId, "]; ids are 32-bit");
    } else if (!ids.insert(range.id).second) {
      bad.Add(path("id"), "ID_REPEATED", range.id, "has rows already; each id once");
    }
    if (range.begin < 0 || range.begin >= r.m) {
      bad.Add(path("begin"), "ROW_OUT_OF_RANGE", range.begin, "must lie in [0, m=", r.m, ")");
    } else if (range.end <= range.begin || range.end > r.m) {
      bad.Add(path("end"), "ROW_OUT_OF_RANGE", range.end, "must lie in (begin=", range.begin, ", m=", r.m, "]");
    } else {
      by_begin.push_back(i);
    }
  }
  if (by_begin.size() != r.rows.size()) return;
  std::sort(by_begin.begin(), by_begin.end(), [&](size_t a, size_t b) { return r.rows[a].begin < r.rows[b].begin; });
  int64_t covered = 0;
  int64_t end = 0;
  for (const size_t i : by_begin) {
    const RowRange& range = r.rows[i];
    if (range.begin < end) {
      bad.Add(absl::StrCat("rows[", i, "].begin"), "ROWS_OVERLAP", range.begin, "the range before it ends at ", end,
              "; a row belongs to one request");
    }
    covered += range.end - range.begin;
    end = std::max(end, range.end);
  }
  if (covered != r.m) {
    bad.Add("rows", "ROWS_TOTAL", absl::StrCat(covered, " rows"), "the ranges must cover exactly the m=", r.m,
            " rows of A");
  }
}

CheckedOperands CheckOperands(const WaveRequest& r, const CheckedTypes& types, const WaveRules& rules,
                              Violations& bad) {
  CheckedOperands operands;
  if (!rules.dry) {
    CheckPresent("a", r.a, bad);
    CheckPresent("w", r.w, bad);
  }
  CheckInline("a", r.a, bad);
  CheckInline("c", r.c, bad);
  if (r.w.source == OperandRequest::Source::kTensor) {
    if (r.w.tensor.empty() || r.w.tensor.size() > kMaxTensorNameBytes) {
      bad.Add("w.tensor", "TENSOR_NAME", Quoted(r.w.tensor), "use 1 to ", kMaxTensorNameBytes, " bytes");
    }
    if (r.w.row_stride != 0) {
      bad.Add("w.row_stride", "STRIDE", r.w.row_stride, "must be 0 for a tensor, which is stored packed");
    }
  }
  if (!r.bias.empty() && static_cast<int64_t>(r.bias.size()) != r.n) {
    bad.Add("bias", "BIAS_SIZE", absl::StrCat(r.bias.size(), " values"), "must have n=", r.n, " values, or none");
  }
  operands.c = CheckMatrix("c", r.c, r.m, r.n, types.c_dtype, bad);
  if (operands.c.bytes > rules.limits.max_message_bytes) {
    bad.Add("c", "RESULT_SIZE", absl::StrCat(operands.c.bytes, " bytes"), "a result may have at most ",
            rules.limits.max_message_bytes, " bytes; split the wave by rows or columns");
  }
  if (!types.dtype) return operands;
  operands.a = CheckMatrix("a", r.a, r.m, r.k, *types.dtype, bad);
  if (r.w.source == OperandRequest::Source::kTensor) return operands;
  const int64_t rows = r.w_transposed ? r.n : r.k;
  const int64_t cols = r.w_transposed ? r.k : r.n;
  operands.w = CheckMatrix("w", r.w, rows, cols, *types.dtype, bad);
  return operands;
}

}  // namespace bwrt::runtime
