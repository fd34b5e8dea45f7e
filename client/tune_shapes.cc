#include "client/tune_shapes.h"

#include <array>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/digest.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

using Numbers = std::array<int32_t, 6>;

Numbers NumbersOf(const v1::TileShape& shape) {
  return {shape.bm(), shape.bn(), shape.bk(), shape.stage_n(), shape.cluster_shape().x(), shape.cluster_shape().y()};
}

}  // namespace

absl::StatusOr<v1::TuneProblem> ParseTuneShape(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("shape ", absl::CHexEscape(text.substr(0, 80)), ": ", why,
                                                   "; write MxNxK[:dtype[:transposed]], such as 64x4096x4096:bf16"));
  };
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  const std::vector<absl::string_view> dims = absl::StrSplit(parts[0], 'x');
  if (dims.size() != 3) return bad("needs three dimensions");
  std::array<int64_t, 3> sizes{};
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (!absl::SimpleAtoi(dims[i], &sizes[i]) || sizes[i] <= 0) return bad("M, N and K are whole numbers above 0");
  }
  v1::TuneProblem problem;
  problem.set_m(sizes[0]);
  problem.set_n(sizes[1]);
  problem.set_k(sizes[2]);
  problem.set_dtype(F32);
  if (parts.size() > 3) return bad("has more than three parts");
  if (parts.size() > 1) {
    const auto dtype = ParseDType(parts[1]);
    if (!dtype) return bad("the dtype is f32, f16, bf16, f8_e4m3 or f8_e5m2");
    problem.set_dtype(*dtype);
  }
  if (parts.size() > 2) {
    if (parts[2] != "transposed") return bad("the third part is \"transposed\" or left out");
    problem.set_w_transposed(true);
  }
  return problem;
}

absl::StatusOr<std::vector<v1::TuneProblem>> ParseTuneShapes(absl::string_view text) {
  std::vector<v1::TuneProblem> problems;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    auto problem = ParseTuneShape(line);
    if (!problem.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", problem.status().message()));
    }
    problems.push_back(*std::move(problem));
  }
  return problems;
}

std::string FormatTuneShape(const v1::TuneProblem& problem) {
  return absl::StrCat(problem.m(), "x", problem.n(), "x", problem.k(), ":",
                      DTypeName(problem.dtype() == DTYPE_UNSPECIFIED ? F32 : problem.dtype()),
                      problem.w_transposed() ? ":transposed" : "");
}

std::string WhitelistLine(const v1::TileShape& shape) { return absl::StrJoin(NumbersOf(shape), ","); }

Whitelist WhitelistOf(const std::vector<v1::TileShape>& shapes) {
  std::set<Numbers> sorted;
  for (const v1::TileShape& shape : shapes) sorted.insert(NumbersOf(shape));
  Whitelist whitelist;
  whitelist.shapes = static_cast<int>(sorted.size());
  for (const Numbers& numbers : sorted) absl::StrAppend(&whitelist.text, absl::StrJoin(numbers, ","), "\n");
  whitelist.digest = DigestOf(DigestKind::kSha256, whitelist.text);
  return whitelist;
}

}  // namespace bwrt::client
