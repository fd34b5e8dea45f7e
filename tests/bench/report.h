// Report: the figures of one run, as a table for people and as one JSON object.
#ifndef BWRT_TESTS_BENCH_REPORT_H_
#define BWRT_TESTS_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bwrt::bench {

// What a figure should be; neither: it stands beside another for comparison.
struct Target {
  std::optional<double> at_least;
  std::optional<double> at_most;
};
inline Target AtLeast(double value) { return {value, std::nullopt}; }
inline Target AtMost(double value) { return {std::nullopt, value}; }

class Report {
 public:
  void Add(const std::string& key, double value, const std::string& unit, const Target& target = {});
  // Within the object `group`.
  void AddTo(const std::string& group, const std::string& key, double value, const std::string& unit,
             const Target& target = {});
  // What the table does not show.
  void Note(const std::string& key, nlohmann::ordered_json value) { json_[key] = std::move(value); }
  // One measurement of many: appended to the array `list`. The table shows it as `line`, below its figures.
  void AddItem(const std::string& list, nlohmann::ordered_json item, const std::string& line);

  std::string Table() const;
  std::string Json() const { return json_.dump(); }

 private:
  struct Row {
    std::string name;
    double value;
    std::string unit;
    Target target;
  };
  nlohmann::ordered_json json_ = nlohmann::ordered_json::object();
  struct List {
    std::string name;
    std::vector<std::string> lines;
  };
  std::vector<Row> rows_;
  std::vector<List> lists_;  // In the order of their first items.
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_REPORT_H_
