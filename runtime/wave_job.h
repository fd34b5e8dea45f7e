// WaveJob: an admitted wave on its way through queue, prefetch and lane to its end.
//
// Shared between whoever submitted it, the queue and the lane. Exactly one of them ends it: whoever takes it
// out of the queue, be it a lane to run it or a canceller or timer to drop it.
#ifndef BWRT_RUNTIME_WAVE_JOB_H_
#define BWRT_RUNTIME_WAVE_JOB_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/ids.h"
#include "runtime/lease.h"
#include "runtime/model.h"
#include "runtime/placement.h"
#include "runtime/prefetcher.h"
#include "runtime/wave.h"

namespace bwrt::runtime {

// Called exactly once for an admitted wave, from any thread, under no lock of the runtime.
using WaveCallback = std::function<void(const Wave& wave, absl::StatusOr<WaveResult> result)>;

// What a lane does for a measurement instead of running the wave on its device.
using LaneWork = std::function<absl::StatusOr<WaveReport>(const Wave& wave, WaveProgress& progress, std::string& c)>;

struct Measurement {
  std::string device;  // The member that is measured.
  LaneWork work;
};

struct WaveJob {
  WaveJob(WaveNumber number, Wave wave, std::shared_ptr<Model> model, Time arrival, WaveCallback done)
      : number(number), wave(std::move(wave)), model(std::move(model)), arrival(arrival), done(std::move(done)) {}

  const WaveNumber number;
  const Wave wave;
  const std::shared_ptr<Model> model;
  const Time arrival;
  // Set before the job is queued: its io_extents are to be read before its tiles run.
  bool needs_prefetch = false;
  // Once it has started; used by whoever has the job in hand: a lane, the prefetcher, a lane again.
  std::unique_ptr<Lease> lease;
  Time started;
  Time prefetched;  // When its extents were in.
  absl::Status prefetch_status;
  PageCounts pages;
  std::optional<Placement> placement;  // Where there was a choice.
  // Set before the job is queued: it is no client's wave, and no sample of the device.
  std::optional<Measurement> measurement;
  // The lane asks between tiles.
  std::atomic<bool> cancelled{false};
  // Set before the job is queued, cancelled by whoever ends it.
  Clock::AlarmId deadline_alarm = Clock::kNoAlarm;
  // Used, and then destroyed, by whoever ends the job: it may own the RPC.
  WaveCallback done;
};

using WaveJobPtr = std::shared_ptr<WaveJob>;

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_JOB_H_
