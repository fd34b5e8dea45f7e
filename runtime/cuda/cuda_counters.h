// CudaCounters: the sources of one GPU's hardware counters, best first, and which of them counts now.
//
// Thread-safe; one call works at a time. Time comes with the call.
//
// 1. At most one source counts: the first that works. Those after it are stopped.
// 2. A source that failed is stopped. Busy or failed, it is tried again after kFirstRetry, then after twice as long
// each
//    time, kLastRetry at most; denied or missing, never. A source that worked begins anew with kFirstRetry.
// 3. The first sample of a source tells nothing, nor does one that spans more than kStale intervals: it is not of now.
#ifndef BWRT_RUNTIME_CUDA_CUDA_COUNTERS_H_
#define BWRT_RUNTIME_CUDA_CUDA_COUNTERS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cuda/cuda_counter_source.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

class CudaCounters {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Sources = std::vector<std::unique_ptr<CudaCounterSource>>;

  static constexpr std::chrono::seconds kFirstRetry{8};
  static constexpr std::chrono::seconds kLastRetry{512};
  static constexpr int kStale = 4;

  // Best first.
  CudaCounters(Sources sources, std::chrono::nanoseconds interval);
  // Stops.
  ~CudaCounters();
  CudaCounters(const CudaCounters&) = delete;
  CudaCounters& operator=(const CudaCounters&) = delete;

  void Sample(Time now, BwrtCudaCounters* to);
  // Gives the counters back until the next Sample: before the GPU's context goes.
  void Pause();

 private:
  struct Rung {
    std::unique_ptr<CudaCounterSource> source;
    bool counting = false;
    CounterStatus why_not{};  // OK before the first try, and while it counts.
    std::chrono::seconds retry{kFirstRetry};
    Time retry_at{};    // With why_not.
    Time sampled_at{};  // Or started.
  };

  static bool MayTry(const Rung& rung, Time now);
  void Fail(Rung& rung, CounterStatus why, Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Stop(Rung& rung) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the source counts; if it does, and has something to tell, in *values.
  bool Try(Rung& rung, Time now, CounterValues* values) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Text() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::chrono::nanoseconds interval_;
  runtime::Mutex mu_;
  std::vector<Rung> rungs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_COUNTERS_H_
