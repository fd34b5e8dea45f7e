#include "tests/bench/report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace bwrt::bench {

void Report::Add(const std::string& key, double value, const std::string& unit, const Target& target) {
  json_[key] = value;
  rows_.push_back({key, value, unit, target});
}

void Report::AddTo(const std::string& group, const std::string& key, double value, const std::string& unit,
                   const Target& target) {
  json_[group][key] = value;
  rows_.push_back({absl::StrCat(group, " ", key), value, unit, target});
}

std::string Report::Table() const {
  std::string table = absl::StrFormat("%-40s %12s %-6s %s\n", "figure", "measured", "unit", "target");
  for (const Row& row : rows_) {
    std::string target;
    bool met = true;
    if (row.target.at_least) {
      target = absl::StrFormat(">= %.4g", *row.target.at_least);
      met = row.value >= *row.target.at_least;
    } else if (row.target.at_most) {
      target = absl::StrFormat("<= %.4g", *row.target.at_most);
      met = row.value <= *row.target.at_most;
    }
    absl::StrAppend(&table, absl::StrFormat("%-40s %12.4g %-6s %s%s\n", row.name, row.value, row.unit, target,
                                            met ? "" : "  MISSED"));
  }
  return table;
}

}  // namespace bwrt::bench
