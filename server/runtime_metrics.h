// RuntimeMetrics: the runtime's work as Prometheus metrics (prefix bwrt_).
//
// As an observer it counts what happens; as a Collectable it reads, at a scrape, what the runtime has recorded:
// no scheduler lock, no device call. Label values come from bounded sets: models that exist, devices, constants.
// Thread-safe. Must outlive the runtime it observes; the registry must outlive this.
#ifndef BWRT_SERVER_RUNTIME_METRICS_H_
#define BWRT_SERVER_RUNTIME_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"
#include "runtime/runtime.h"
#include "server/decision_log.h"

namespace bwrt::server {

class RuntimeMetrics final : public runtime::RuntimeObserver {
 public:
  explicit RuntimeMetrics(prometheus::Registry* registry);

  // Also written there: which device each wave ran on. Before the runtime begins; must outlive it.
  void SetDecisionLog(DecisionLog* decisions) { decisions_ = decisions; }

  void OnWaveEnd(const runtime::WaveEnd& end) override;
  void OnWaveRejected(absl::string_view reason) override;
  void OnExtentPages(absl::string_view outcome, int64_t pages) override;
  void OnSwapEnd(absl::string_view model, runtime::SwapEnd end, runtime::Duration waited) override;
  void OnHoldEnd(absl::string_view model, runtime::Duration held) override;
  // Goes to the log: nobody can ask for it, and the operator must know.
  void OnLoadFailed(absl::string_view model, const absl::Status& why) override;
  void OnStaged(int64_t bytes) override;

 private:
  using Counters = prometheus::Family<prometheus::Counter>;

  // Counters of one family by their label values; looked up under our own short lock, because Family::Add takes
  // a lock and builds its labels anew each time.
  class Cache {
   public:
    Cache(Counters* family, std::vector<std::string> labels) : family_(family), labels_(std::move(labels)) {}
    prometheus::Counter& Get(const std::vector<absl::string_view>& values);

   private:
    Counters* const family_;
    const std::vector<std::string> labels_;
    runtime::Mutex mu_;
    std::map<std::string, prometheus::Counter*> counters_ ABSL_GUARDED_BY(mu_);
  };

  Cache waves_;
  Cache rejections_;
  Cache swaps_;
  Cache extent_pages_;
  Cache placements_;
  DecisionLog* decisions_ = nullptr;
  std::array<prometheus::Histogram*, 4> phases_;  // queue, prefetch, compute, copy.
  prometheus::Histogram* swap_pause_;
  prometheus::Histogram* swap_wait_;
  prometheus::Counter* stage_bytes_;
};

// The gauges of a runtime, read at a scrape. The runtime must outlive it.
class RuntimeGauges final : public prometheus::Collectable {
 public:
  explicit RuntimeGauges(const runtime::Runtime* runtime) : runtime_(runtime) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const runtime::Runtime* const runtime_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RUNTIME_METRICS_H_
