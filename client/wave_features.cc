#include "client/wave_features.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/wave_space.h"

namespace bwrt::client {
namespace {

std::string Traversal(const WaveSpec& spec) {
  const bool order = !spec.tile_order().empty(), flat = !spec.tile_order_flat().empty();
  if (order) return flat ? "both" : "order";
  if (flat) return "flat";
  return spec.swizzle_group_size() == 0 ? "none" : "swizzle";
}

// A short name for how many there are: "0", "1" or "many".
std::string Amount(int64_t count) { return count == 0 ? "0" : count == 1 ? "1" : "many"; }

std::string Scale(bool has, float value) {
  if (!has) return "unset";
  return value == 0 ? "0" : value == 1 ? "1" : "other";
}

std::string Stride(const v1::Operand& operand, int64_t columns) {
  if (operand.row_stride() == 0) return "packed";
  return operand.row_stride() == columns ? "tight" : "gaps";
}

bool IsRepeated(const WaveSpec& spec) {
  const std::set<int64_t> distinct(spec.pack_order().begin(), spec.pack_order().end());
  return static_cast<int>(distinct.size()) != spec.pack_order_size();
}

std::string Packing(const v1::SubmitWaveRequest& request) {
  const WaveSpec& spec = request.spec();
  if (request.rows().empty()) return spec.pack_order().empty() ? "none" : "advisory";
  if (spec.pack_order().empty()) return "rows alone";
  if (IsRepeated(spec)) return "repeated ids";
  const auto named = [&](const v1::RowRange& range) {
    return std::find(spec.pack_order().begin(), spec.pack_order().end(), range.id()) != spec.pack_order().end();
  };
  const auto count = std::count_if(request.rows().begin(), request.rows().end(), named);
  if (count < request.rows_size()) return "unnamed requests";
  return count < spec.pack_order_size() ? "ids without rows" : "permutation";
}

std::string Window(const WaveSpec& spec, int64_t prefetch, int64_t tokens) {
  const int64_t begin = spec.swap_begin(), end = spec.swap_end();
  if (begin >= tokens) return "beyond";
  if (begin == prefetch && end == tokens) return "planner";
  if (begin == 0 && end == 1) return "first token";
  return begin == 0 && end == tokens ? "all" : "other";
}

}  // namespace

std::map<std::string, std::string> FeaturesOf(const v1::SubmitWaveRequest& request) {
  const WaveSpec& spec = request.spec();
  const int64_t rows = TilesAlong(request.m(), std::max(spec.bm(), 1));
  const int64_t columns = TilesAlong(request.n(), std::max(spec.bn(), 1));
  const int64_t listed = std::max(spec.tile_order_size(), spec.tile_order_flat_size());
  const int64_t prefetch = spec.io_extents_size();
  const bool ragged = request.m() % std::max(spec.bm(), 1) != 0 || request.n() % std::max(spec.bn(), 1) != 0;
  const auto reversed = [](const IoExtent& extent) { return extent.end_pid() < extent.start_pid(); };
  const bool reversed_extent = std::any_of(spec.io_extents().begin(), spec.io_extents().end(), reversed);
  const bool has_c = request.c().source_case() == v1::Operand::kInline;
  const bool stored = request.w().source_case() == v1::Operand::kTensor;
  const int64_t missing = listed == 0 ? 0 : rows * columns - listed;
  return {
      {"dtype", spec.dtype() == DTYPE_UNSPECIFIED ? "unspecified" : std::string(DTypeName(spec.dtype()))},
      {"c_dtype", std::string(DTypeName(request.c_dtype()))},
      {"traversal", Traversal(spec)},
      {"missing", missing == 0   ? "none"
                  : missing == 1 ? "one"
                                 : "many"},
      {"coverage", v1::Coverage_Name(request.coverage())},
      {"tails", TailPolicy_Name(spec.tail_policy())},
      {"edges", ragged ? "ragged" : "even"},
      {"grid", absl::StrCat(rows == 1 ? "1" : "many", "x", columns == 1 ? "1" : "many")},
      {"packing", Packing(request)},
      {"a", Stride(request.a(), request.k())},
      {"w", stored ? "stored" : Stride(request.w(), request.w_transposed() ? request.k() : request.n())},
      {"w_transposed", request.w_transposed() ? "yes" : "no"},
      {"c", absl::StrCat(has_c ? "given " : "absent ", Stride(request.c(), request.n()))},
      {"alpha", Scale(request.has_alpha(), request.alpha())},
      {"beta", Scale(request.has_beta(), request.beta())},
      {"bias", request.bias().empty() ? "no" : "yes"},
      {"activation", v1::Activation_Name(request.activation())},
      {"stage_hint", absl::StrCat(spec.stage_hint())},
      {"extents", reversed_extent ? "reversed" : Amount(prefetch)},
      {"window", Window(spec, prefetch, prefetch + (listed == 0 ? rows * columns : listed))},
      {"k", request.k() % std::max(spec.bk(), 1) == 0 ? "whole" : "tail"},
  };
}

std::string DescribeWave(const v1::SubmitWaveRequest& request) {
  const WaveSpec& spec = request.spec();
  std::string line = absl::StrCat("m=", request.m(), " n=", request.n(), " k=", request.k(), " tile=(", spec.bm(), ",",
                                  spec.bn(), ",", spec.bk(), ")");
  for (const auto& [name, value] : FeaturesOf(request)) absl::StrAppend(&line, " ", name, "=", value);
  return line;
}

}  // namespace bwrt::client
