// Report: the figures of one run, as a table for people and as one JSON object.
#ifndef BWRT_TESTS_BENCH_REPORT_H_
#define BWRT_TESTS_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
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
  void Note(const std::string& key, const std::string& text) { json_[key] = text; }

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
  std::vector<Row> rows_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_REPORT_H_
