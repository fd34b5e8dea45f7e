#include "client/bad_wave.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

std::string ToText(const std::vector<ExpectedViolation>& violations) {
  return absl::StrCat("[",
                      absl::StrJoin(violations, ", ",
                                    [](std::string* out, const ExpectedViolation& violation) {
                                      absl::StrAppend(out, violation.field, " ", violation.reason);
                                    }),
                      "]");
}

}  // namespace

std::string Misjudged(const BadWave& wave, const absl::Status& status) {
  if (status.code() != wave.code) {
    return absl::StrCat("want ", absl::StatusCodeToString(wave.code), " ", wave.reason, ToText(wave.violations),
                        ", got ", FormatError(status));
  }
  const ErrorDetails details = DetailsOf(status);
  std::vector<ExpectedViolation> got, want = wave.violations;
  for (const FieldViolation& violation : details.field_violations) {
    got.push_back({violation.field, violation.reason});
    if (violation.description.empty()) return absl::StrCat(violation.field, " has no description");
  }
  std::sort(got.begin(), got.end());
  std::sort(want.begin(), want.end());
  if (got != want) return absl::StrCat("want ", ToText(want), ", got ", ToText(got));
  const auto is_reason = [&](const ExpectedViolation& violation) { return violation.reason == details.reason; };
  if (want.empty() ? details.reason != wave.reason : std::none_of(want.begin(), want.end(), is_reason)) {
    return absl::StrCat("want reason ", wave.reason, ToText(want), ", got \"", details.reason, "\"");
  }
  return "";
}

}  // namespace bwrt::client
