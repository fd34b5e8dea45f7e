#include "tests/bench/report.h"

#include <algorithm>

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

void Report::AddItem(const std::string& list, nlohmann::ordered_json item, const std::string& line) {
  json_[list].push_back(std::move(item));
  auto at = std::find_if(lists_.begin(), lists_.end(), [&](const List& known) { return known.name == list; });
  if (at == lists_.end()) at = lists_.insert(lists_.end(), {list, {}});
  at->lines.push_back(line);
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
  for (const List& list : lists_) {
    absl::StrAppend(&table, "\n", list.name, "\n");
    for (const std::string& line : list.lines) absl::StrAppend(&table, line, "\n");
  }
  return table;
}

}  // namespace bwrt::bench
