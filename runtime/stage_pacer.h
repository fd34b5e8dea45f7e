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

// For all stages together while waves run.
struct StageLimit {
  // Relative to the best rate at which kLearned bytes were staged while no waves ran: kShare of it. Until there was
  // such a time there is no limit.
  static StageLimit Auto() { return {}; }
  // 0: without limit.
  static StageLimit BytesPerSecond(int64_t rate) { return {rate}; }

  static constexpr double kShare = 1.0 / 3;
  static constexpr int64_t kLearned = int64_t{64} << 20;

  std::optional<int64_t> rate{};  // Unset: Auto.
};

class StagePacer {
 public:
  // For which waves are taken to be still running after their end.
  static constexpr Duration kLinger = std::chrono::milliseconds(20);

  // `busy`: waves run. `clock` outlives it.
  StagePacer(StageLimit limit, Clock* clock, std::function<bool()> busy)
      : limit_(limit), clock_(clock), busy_(std::move(busy)) {}

  // Blocks until `bytes` more may be staged, which the caller does then.
  void Wait(int64_t bytes);
  // Nobody waits any more.
  void Stop();

 private:
  // Whether waves run, or have just run.
  bool IsBusyLocked(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LearnLocked(Time now, int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Bytes a second; 0: without limit.
  double RateLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const StageLimit limit_;
  Clock* const clock_;
  const std::function<bool()> busy_;
  Mutex mu_;
  CondVar passed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Time free_at_ ABSL_GUARDED_BY(mu_);              // When what was let through will have been paid for.
  std::optional<Time> seen_ ABSL_GUARDED_BY(mu_);  // When waves last ran.
  // What has been staged undisturbed, since when.
  struct Stretch {
    Time begin;
    int64_t bytes = 0;
  };
  std::optional<Stretch> stretch_ ABSL_GUARDED_BY(mu_);
  double best_ ABSL_GUARDED_BY(mu_) = 0;  // Bytes a second; 0: not known.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STAGE_PACER_H_
