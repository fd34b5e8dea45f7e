#include "runtime/lanes.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

absl::Status CancelledError() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the wave was cancelled");
}

absl::Status DeadlineError(bool started) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE",
                   started ? "the deadline passed while the wave ran; it was stopped between two tiles"
                           : "the deadline passed before the wave could start; it did not run");
}

// Why a job should not go on, or OK.
absl::Status MayGoOn(const WaveJob& job, const Clock& clock, bool started) {
  if (job.cancelled.load(std::memory_order_relaxed)) return CancelledError();
  if (job.wave.deadline && clock.Now() >= *job.wave.deadline) return DeadlineError(started);
  return absl::OkStatus();
}

// Moves the lease's clock and asks whether to go on.
class LeaseProgress final : public WaveProgress {
 public:
  LeaseProgress(const WaveJob& job, Lease& lease, const Clock& clock)
      : job_(job), lease_(lease), clock_(clock) {}
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    if (absl::Status status = MayGoOn(job_, clock_, /*started=*/true); !status.ok()) return status;
    if (finished || started) lease_.Step(finished, started);
    return absl::OkStatus();
  }

 private:
  const WaveJob& job_;
  Lease& lease_;
  const Clock& clock_;
};

WaveOutcome OutcomeOf(const absl::Status& status) {
  if (status.ok()) return WaveOutcome::kOk;
  if (absl::IsCancelled(status)) return WaveOutcome::kCancelled;
  if (absl::IsDeadlineExceeded(status)) return WaveOutcome::kDeadline;
  return WaveOutcome::kFailed;
}

}  // namespace

Lanes::Lanes(std::unique_ptr<Device> device, int lanes, int64_t queue_waves, Bytes queue_bytes, Clock* clock,
             RuntimeObserver* observer, std::function<void(const WaveJobPtr&)> on_end)
    : device_(std::move(device)),
      clock_(clock),
      observer_(observer),
      on_end_(std::move(on_end)),
      queue_(queue_waves, queue_bytes) {
  threads_.reserve(static_cast<size_t>(lanes));
  for (int i = 0; i < lanes; ++i) threads_.emplace_back([this] { Loop(); });
}

Lanes::~Lanes() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

void Lanes::Loop() {
  while (WaveJobPtr job = queue_.Pop()) {
    if (absl::Status status = MayGoOn(*job, *clock_, /*started=*/false); !status.ok()) {
      Finish(job, std::move(status));
    } else if (!TryRun(job)) {
      queue_.PutBack(job);
    }
  }
}

bool Lanes::TryRun(const WaveJobPtr& job) {
  const Wave& wave = job->wave;
  auto lease = job->model->Start({.number = job->number,
                                  .wave_id = wave.wave_id,
                                  .window = wave.window,
                                  .tokens = wave.tokens,
                                  .required_version = wave.required_version});
  if (!lease.ok()) {
    Finish(job, lease.status());
    return true;
  }
  if (*lease == nullptr) return false;

  in_flight_.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<WaveResult> result = RunLeased(*job, **lease);
  // Retire: drop the lease, then tell observers and the client, so that whoever sees the result also sees
  // the window the wave left behind.
  if (result.ok()) (*lease)->Retire();
  lease->reset();
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  Finish(job, std::move(result));
  return true;
}

absl::StatusOr<WaveResult> Lanes::RunLeased(const WaveJob& job, Lease& lease) {
  const Duration queued = clock_->Now() - job.arrival;
  // The version may have changed since the wave was validated.
  const auto weight = CheckWeight(job.wave, lease.version());
  if (!weight.ok()) return weight.status();

  WaveResult result;
  result.version = lease.version().number();
  result.version_label = lease.version().label();
  LeaseProgress progress(job, lease, *clock_);
  const DeviceTensor* w = *weight == nullptr ? nullptr : (*weight)->tensor.get();
  auto report = device_->Run(job.wave, w, progress, result.c);
  if (!report.ok()) return report.status();
  result.effective = std::move(report->effective);
  result.timings = report->timings;
  result.timings.queue = queued;
  result.readings = report->readings;
  return result;
}

void Lanes::Drop(const WaveJobPtr& job, const absl::Status& why) { Finish(job, why); }

void Lanes::Finish(const WaveJobPtr& job, absl::StatusOr<WaveResult> result) {
  clock_->CancelAlarm(job->deadline_alarm);
  queue_.Release(*job);
  if (result.ok()) {
    samples_.Record(result->readings, result->timings.compute);
    int64_t pages = 0;
    for (const IoExtent& e : job->wave.io_extents) pages += std::max<int64_t>(e.end_pid - e.start_pid + 1, 0);
    // No page source is configured: extents only advance the clock, and are counted.
    if (pages > 0) observer_->OnExtentPages("no_source", pages);
  }
  observer_->OnWaveEnd({.model = job->model->name(),
                        .device = device_->info().name,
                        .outcome = OutcomeOf(result.status()),
                        .timings = result.ok() ? &result->timings : nullptr,
                        .readings = result.ok() ? &result->readings : nullptr});
  on_end_(job);
  const WaveCallback done = std::move(job->done);
  done(job->wave, std::move(result));
}

}  // namespace bwrt::runtime
