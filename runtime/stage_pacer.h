// StagePacer: holds the staging of weights back while waves run, so that it does not cost them their caches and cores.
//
// A token bucket that only matters while there is somebody to disturb, and for a moment afterwards: between one wave's
// end and the next one's beginning staging would else catch up on what it had been held back. Thread-safe.
#ifndef BWRT_RUNTIME_STAGE_PACER_H_
#define BWRT_RUNTIME_STAGE_PACER_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "runtime/clock.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class StagePacer {
 public:
  // For which waves are taken to be still running after their end.
  static constexpr Duration kLinger = std::chrono::milliseconds(20);

  // `bytes_per_second` for all stages together while `busy` says that waves run; 0: without limit. `clock` outlives it.
  StagePacer(int64_t bytes_per_second, Clock* clock, std::function<bool()> busy)
      : rate_(bytes_per_second), clock_(clock), busy_(std::move(busy)) {}

  // Blocks until `bytes` more may be staged.
  void Wait(int64_t bytes);
  // Nobody waits any more.
  void Stop();

 private:
  // Whether waves run, or have just run.
  bool IsBusyLocked(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t rate_;
  Clock* const clock_;
  const std::function<bool()> busy_;
  Mutex mu_;
  CondVar passed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Time free_at_ ABSL_GUARDED_BY(mu_);              // When what was let through will have been paid for.
  std::optional<Time> seen_ ABSL_GUARDED_BY(mu_);  // When waves last ran.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STAGE_PACER_H_
