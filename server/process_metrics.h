// ProcessMetrics: the process_* metrics that every Prometheus client library exports, read at each scrape.
//
// A value that cannot be read is absent, never 0. Thread-safe.
#ifndef BWRT_SERVER_PROCESS_METRICS_H_
#define BWRT_SERVER_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace bwrt::server {

class ProcessMetrics final : public prometheus::Collectable {
 public:
  // `proc` is where the proc file system is; tests bring their own.
  explicit ProcessMetrics(std::string proc = "/proc");

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string proc_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_PROCESS_METRICS_H_
