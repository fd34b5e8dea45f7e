// Tuner: tunes a runtime's devices when asked, one call at a time for each, and keeps what was found.
//
// Thread-safe; calls block. Must not outlive the runtime.
#ifndef BWRT_RUNTIME_TUNING_TUNER_H_
#define BWRT_RUNTIME_TUNING_TUNER_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/mutex.h"
#include "runtime/runtime.h"
#include "runtime/tuning/tile_tuner.h"
#include "runtime/tuning/tune_problem.h"
#include "runtime/tuning/tuning_file.h"

namespace bwrt::runtime {

struct TuneOrder {
  std::string device;  // Empty: the first.
  std::vector<TuneProblem> problems;
  std::optional<Duration> budget = {};  // For each problem.
  bool only_missing = false;
};

// Called by the thread that tunes.
struct TuneListener {
  std::function<void(size_t problem, size_t done, size_t of)> on_progress;
  std::function<void(size_t problem, const TuneResult& result)> on_result;
  std::function<bool()> cancelled;
};

class Tuner {
 public:
  static constexpr Duration kDefaultBudget = std::chrono::seconds(10);
  static constexpr Duration kLeastBudget = std::chrono::milliseconds(10);
  static constexpr Duration kMostBudget = std::chrono::minutes(10);

  // `file`: where what is found is kept; empty: nowhere. `on_note` is told, by whatever thread calls, what the operator
  // should know and no caller can mend.
  Tuner(Runtime* runtime, const Clock* clock, const std::string& file,
        std::function<void(const std::string& note)> on_note);

  // Hands the devices what was kept for them; once, before Tune.
  void Restore();

  // INVALID_ARGUMENT with every violation; NOT_FOUND DEVICE_NOT_FOUND; FAILED_PRECONDITION TUNING_IN_PROGRESS;
  // RESOURCE_EXHAUSTED WAVE_TOO_LARGE; CANCELLED; those of Runtime::SubmitMeasurement and of the device. What was found
  // before an error holds. That it can't be written to the file is none: on_note is told.
  absl::Status Tune(const TuneOrder& order, const TuneListener& listener);

 private:
  absl::Status Check(const TuneOrder& order) const;
  absl::StatusOr<size_t> Find(const std::string& device) const;
  absl::Status TuneOne(size_t member, size_t index, const TuneOrder& order, const TuneListener& listener);
  std::string Key(const TuneProblem& problem) const;

  Runtime* const runtime_;
  const Clock* const clock_;
  const std::function<void(const std::string&)> on_note_;
  Mutex mu_;
  TuningFile file_ ABSL_GUARDED_BY(mu_);
  std::set<size_t> busy_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TUNING_TUNER_H_
