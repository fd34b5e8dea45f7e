// What Prometheus would read from a daemon.
//
// A plain value; reading it is thread-safe.
#ifndef BWRT_TESTS_E2E_SCRAPE_H_
#define BWRT_TESTS_E2E_SCRAPE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::e2e {

class Scrape {
 public:
  using Labels = std::map<std::string, std::string>;
  struct Series {
    std::string name;
    Labels labels;
    double value = 0;
  };

  // One HTTP GET of /metrics at "HOST:PORT", HOST a literal IPv4 address.
  static absl::StatusOr<Scrape> Get(const std::string& address);
  // The text exposition format.
  static absl::StatusOr<Scrape> Parse(absl::string_view text);

  const std::vector<Series>& series() const { return series_; }
  std::set<std::string> names() const;
  // The sum of the series of that name that have these labels, perhaps among others; 0 where there is none.
  double Sum(absl::string_view name, const Labels& labels = {}) const;
  // How many there are.
  int Count(absl::string_view name, const Labels& labels = {}) const;

 private:
  std::vector<Series> series_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_SCRAPE_H_
