// RuntimeObserver: what the runtime reports of its work, for metrics. The runtime knows no metrics library.
#ifndef BWRT_RUNTIME_OBSERVER_H_
#define BWRT_RUNTIME_OBSERVER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/placement.h"
#include "runtime/readings.h"
#include "runtime/wave.h"

namespace bwrt::runtime {

enum class WaveOutcome { kOk, kFailed, kCancelled, kDeadline };

// "ok", "failed", "cancelled", "deadline".
constexpr absl::string_view Name(WaveOutcome outcome) {
  switch (outcome) {
    case WaveOutcome::kOk:
      return "ok";
    case WaveOutcome::kFailed:
      return "failed";
    case WaveOutcome::kCancelled:
      return "cancelled";
    case WaveOutcome::kDeadline:
      return "deadline";
  }
  return "unknown";
}

struct WaveEnd {
  absl::string_view model;
  absl::string_view device;  // That ran it, or would have.
  WaveOutcome outcome;
  const Timings* timings;    // Null when the wave ended without a result.
  const Readings* readings;  // As above.
  const Wave* wave;
  const Placement* placement;  // Null where there was no choice, or the wave did not come that far.
};

enum class SwapEnd { kCommitted, kRefused, kTimedOut, kCancelled, kBaseChanged, kFailed };

// Called from whatever thread the thing happens on, under no lock of the runtime. Must not block. Thread-safe.
class RuntimeObserver {
 public:
  virtual ~RuntimeObserver() = default;
  // A wave that was admitted has ended.
  virtual void OnWaveEnd(const WaveEnd& end) = 0;
  // A wave was not admitted. `reason` is one of the runtime's UPPER_SNAKE reasons.
  virtual void OnWaveRejected(absl::string_view reason) = 0;
  // Pages of io_extents of a wave that began. `outcome` is one of a fixed few.
  virtual void OnExtentPages(absl::string_view outcome, int64_t pages) = 0;
  // `model` is "(none)" for a swap of a model that does not exist.
  virtual void OnSwapEnd(absl::string_view model, SwapEnd end, Duration waited) = 0;
  // New waves of the model were held back for a swap, for this long.
  virtual void OnHoldEnd(absl::string_view model, Duration held) = 0;
  // In place: a version that is current could not be read from the state directory; it is tried again.
  virtual void OnLoadFailed(absl::string_view model, const absl::Status& why) = 0;
  // Weight bytes were made resident for a version to come.
  virtual void OnStaged(int64_t bytes) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OBSERVER_H_
