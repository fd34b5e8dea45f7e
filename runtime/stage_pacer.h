// StagePacer: holds the staging of weights back while waves run, so that it does not cost them their caches and cores.
//
// A token bucket that only matters while there is somebody to disturb. Thread-safe.
#ifndef BWRT_RUNTIME_STAGE_PACER_H_
#define BWRT_RUNTIME_STAGE_PACER_H_

#include <cstdint>
#include <functional>

#include "runtime/clock.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class StagePacer {
 public:
  // `bytes_per_second` for all stages together while `busy` says so; 0: without limit. `clock` outlives it.
  StagePacer(int64_t bytes_per_second, Clock* clock, std::function<bool()> busy)
      : rate_(bytes_per_second), clock_(clock), busy_(std::move(busy)) {}

  // Blocks until `bytes` more may be staged.
  void Wait(int64_t bytes);
  // Nobody waits any more.
  void Stop();

 private:
  const int64_t rate_;
  Clock* const clock_;
  const std::function<bool()> busy_;
  Mutex mu_;
  CondVar passed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Time free_at_ ABSL_GUARDED_BY(mu_);  // When what was let through will have been paid for.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STAGE_PACER_H_
