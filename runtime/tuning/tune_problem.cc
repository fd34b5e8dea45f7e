#include "runtime/tuning/tune_problem.h"

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

struct NamedWish {
  absl::string_view name;
  DTypeWish wish;
};
constexpr std::array<NamedWish, 5> kWishes = {{{"f32", DTypeWish::kF32},
                                               {"f16", DTypeWish::kF16},
                                               {"bf16", DTypeWish::kBF16},
                                               {"f8_e4m3", DTypeWish::kF8E4M3},
                                               {"f8_e5m2", DTypeWish::kF8E5M2}}};

absl::string_view NameOf(DTypeWish wish) {
  for (const NamedWish& named : kWishes) {
    if (named.wish == wish) return named.name;
  }
  return "f32";
}

}  // namespace

absl::StatusOr<TuneProblem> ParseTuneProblem(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("shape ", Quoted(text), ": ", why,
                                                   "; write MxNxK[:dtype[:transposed]], such as 64x4096x4096:bf16"));
  };
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  const std::vector<absl::string_view> dims = absl::StrSplit(parts[0], 'x');
  TuneProblem problem;
  if (dims.size() != 3) return bad("needs three dimensions");
  for (const auto& [dim, to] :
       {std::pair(dims[0], &problem.m), std::pair(dims[1], &problem.n), std::pair(dims[2], &problem.k)}) {
    if (!absl::SimpleAtoi(dim, to) || *to <= 0) return bad("M, N and K are whole numbers above 0");
  }
  if (parts.size() > 3) return bad("has more than three parts");
  if (parts.size() > 1) {
    for (const NamedWish& named : kWishes) {
      if (absl::EqualsIgnoreCase(parts[1], named.name)) problem.dtype = named.wish;
    }
    if (problem.dtype == DTypeWish::kUnspecified) return bad("the dtype is f32, f16, bf16, f8_e4m3 or f8_e5m2");
  }
  if (parts.size() > 2) {
    if (parts[2] != "transposed") return bad("the third part is \"transposed\" or left out");
    problem.w_transposed = true;
  }
  return problem;
}

absl::StatusOr<std::vector<TuneProblem>> ParseTuneProblems(absl::string_view text) {
  std::vector<TuneProblem> problems;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    auto problem = ParseTuneProblem(line);
    if (!problem.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", problem.status().message()));
    }
    if (problems.size() == kMaxTuneProblems) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": more than ", kMaxTuneProblems, " shapes, the limit; list fewer"));
    }
    problems.push_back(*problem);
  }
  if (problems.empty()) return absl::InvalidArgumentError("no shape listed; give at least one line MxNxK[:dtype]");
  return problems;
}

std::string ToString(const TuneProblem& problem) {
  std::string text = absl::StrCat(problem.m, "x", problem.n, "x", problem.k, ":", NameOf(problem.dtype));
  if (problem.w_transposed) absl::StrAppend(&text, ":transposed");
  const absl::string_view c = NameOf(problem.c_dtype);
  if (c != "f32") absl::StrAppend(&text, ":c=", c);
  return text;
}

}  // namespace bwrt::runtime
