#include "runtime/lanes.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

absl::Status CancelledError() { return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the wave was cancelled"); }

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
  LeaseProgress(WaveJob& job, Lease& lease, const Clock& clock) : job_(job), lease_(lease), clock_(clock) {}
  void Placed(const Placement& placement) override { job_.placement = placement; }
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    if (absl::Status status = MayGoOn(job_, clock_, /*started=*/true); !status.ok()) return status;
    if (finished || started) lease_.Step(finished, started);
    return absl::OkStatus();
  }

 private:
  WaveJob& job_;
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

Lanes::Lanes(Device* device, std::unique_ptr<Prefetcher> prefetcher, int lanes, int64_t queue_waves, Bytes queue_bytes,
             Clock* clock, RuntimeObserver* observer, std::function<void(const WaveJobPtr&)> on_end)
    : lanes_(lanes),
      device_(device),
      clock_(clock),
      observer_(observer),
      on_end_(std::move(on_end)),
      queue_(queue_waves, queue_bytes, lanes),
      prefetcher_(std::move(prefetcher)),
      samples_(device_->members().size()) {
  for (int i = 0; i < lanes; ++i) threads_.emplace_back([this] { LaneLoop(); });
  if (prefetcher_ != nullptr) threads_.emplace_back([this] { PrefetchLoop(); });
}

Lanes::~Lanes() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

SampleRecorder& Lanes::SamplesOf(const std::string& device) {
  const auto members = device_->members();
  const auto it = std::find_if(members.begin(), members.end(), [&](const auto* info) { return info->name == device; });
  return samples_[it == members.end() ? 0 : static_cast<size_t>(it - members.begin())];
}

EffectiveSpec Lanes::Plan(const Wave& wave) const {
  EffectiveSpec effective = device_->Plan(wave);
  AddExtentsDowngrade(wave, &effective);
  return effective;
}

void Lanes::AddExtentsDowngrade(const Wave& wave, EffectiveSpec* effective) const {
  if (wave.io_extents.empty() || prefetcher_ != nullptr) return;
  effective->downgrades.push_back({"spec.io_extents", absl::StrCat(wave.io_extents.size(), " extents"), "none",
                                   "no page source is configured: extents only advance the token clock"});
}

void Lanes::PrefetchLoop() {
  while (const WaveJobPtr job = queue_.PopPrefetch()) Begin(job);
}

void Lanes::LaneLoop() {
  while (const WaveJobPtr job = queue_.Pop()) {
    if (job->lease != nullptr) {
      RunStarted(job);
    } else {
      Begin(job);
    }
  }
}

bool Lanes::TryRunHere(const WaveJobPtr& job) {
  if (!queue_.TryBorrowLane(job)) return false;
  Begin(job);
  queue_.ReturnLane();
  return true;
}

void Lanes::Begin(const WaveJobPtr& job) {
  if (absl::Status status = MayGoOn(*job, *clock_, /*started=*/false); !status.ok()) {
    if (job->needs_prefetch) queue_.EndPrefetch();
    Finish(job, std::move(status));
  } else if (!TryStart(job)) {
    queue_.PutBack(job);
    // A cancellation or deadline that came while we held the job found nothing in the queue to drop.
    if (absl::Status late = MayGoOn(*job, *clock_, /*started=*/false); !late.ok() && queue_.Remove(job)) {
      Finish(job, std::move(late));
    }
  }
}

bool Lanes::TryStart(const WaveJobPtr& job) {
  const Wave& wave = job->wave;
  auto lease = job->model->Start({.number = job->number,
                                  .wave_id = wave.wave_id,
                                  .window = wave.window,
                                  .tokens = wave.tokens,
                                  .required_version = wave.required_version});
  if (!lease.ok()) {
    if (job->needs_prefetch) queue_.EndPrefetch();
    Finish(job, lease.status());
    return true;
  }
  if (*lease == nullptr) return false;

  in_flight_.fetch_add(1, std::memory_order_relaxed);
  job->lease = *std::move(lease);
  job->started = clock_->Now();
  if (job->needs_prefetch) {
    Prefetch(job);
    return true;
  }
  // Token 0 started with the lease; without a page source the others only pass by.
  for (int64_t token = 1; token < wave.tokens.prefetch; ++token) job->lease->Step(token - 1, token);
  job->prefetched = clock_->Now();
  RunStarted(job);
  return true;
}

void Lanes::Prefetch(const WaveJobPtr& job) {
  Prefetcher::Callbacks callbacks;
  callbacks.started = [job](int64_t extent) { job->lease->Step(std::nullopt, extent); };
  callbacks.finished = [job](int64_t extent) { job->lease->Step(extent, std::nullopt); };
  callbacks.may_go_on = [this, job] { return MayGoOn(*job, *clock_, /*started=*/true); };
  callbacks.done = [this, job](const absl::Status& status, const PageCounts& pages) {
    job->prefetch_status = status;
    job->pages = pages;
    job->prefetched = clock_->Now();
    queue_.PushReady(job);
  };
  prefetcher_->Begin(
      job->wave.io_extents, [this] { return queue_.lane_idle(); }, std::move(callbacks));
}

void Lanes::RunStarted(const WaveJobPtr& job) {
  absl::StatusOr<WaveResult> result = RunLeased(*job);
  // Retire: drop the lease, then tell observers and the client, so that whoever sees the result also sees
  // the window the wave left behind.
  if (result.ok()) job->lease->Retire();
  job->lease.reset();
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  Finish(job, std::move(result));
}

absl::StatusOr<WaveResult> Lanes::RunLeased(WaveJob& job) {
  if (!job.prefetch_status.ok()) return job.prefetch_status;
  const Time resumed = clock_->Now();
  // The version may have changed since the wave was validated.
  const WeightVersion& version = job.lease->version();
  const auto weight = CheckWeight(job.wave, version);
  if (!weight.ok()) return weight.status();

  WaveResult result;
  result.version = version.number();
  result.version_label = version.label();
  LeaseProgress progress(job, *job.lease, *clock_);
  const DeviceTensor* w = *weight == nullptr ? nullptr : (*weight)->tensor.get();
  auto report = job.measurement ? job.measurement->work(job.wave, progress, result.c)
                                : device_->Run(job.wave, w, progress, result.c);
  if (!report.ok()) return report.status();
  result.effective = std::move(report->effective);
  AddExtentsDowngrade(job.wave, &result.effective);
  result.timings = report->timings;
  result.timings.queue = (job.started - job.arrival) + (resumed - job.prefetched);
  result.timings.prefetch = job.prefetched - job.started;
  result.readings = report->readings;
  result.hardware_counts = report->hardware_counts;
  result.placement = job.placement;
  if (job.needs_prefetch) {
    // Copies were outstanding from the first page asked for to the last one in.
    const double prefetch = Seconds(result.timings.prefetch);
    const double busy = prefetch + Seconds(result.timings.compute);
    if (busy > 0) result.readings.tma_occ = Reading{prefetch / busy, Source::kKernel};
    result.readings.ring_occ = Reading{std::clamp(job.pages.ring_fill, 0.0, 1.0), Source::kKernel};
  }
  return result;
}

void Lanes::Drop(const WaveJobPtr& job, const absl::Status& why) { Finish(job, why); }

void Lanes::Finish(const WaveJobPtr& job, absl::StatusOr<WaveResult> result) {
  clock_->CancelAlarm(job->deadline_alarm);
  queue_.Release(*job);
  const std::string& device = job->measurement ? job->measurement->device
                              : job->placement ? job->placement->device
                                               : device_->members().front()->name;
  if (result.ok() && !job->measurement) {
    SamplesOf(device).Record(result->readings, result->timings.compute);
  }
  if (job->needs_prefetch) {
    observer_->OnExtentPages("hit", job->pages.hit);
    observer_->OnExtentPages("miss", job->pages.miss);
    observer_->OnExtentPages("late", job->pages.late);
  } else if (result.ok()) {
    int64_t pages = 0;
    for (const IoExtent& e : job->wave.io_extents) pages += std::max<int64_t>(e.end_pid - e.start_pid + 1, 0);
    if (pages > 0) observer_->OnExtentPages("no_source", pages);
  }
  observer_->OnWaveEnd({.model = job->model->name(),
                        .device = device,
                        .outcome = OutcomeOf(result.status()),
                        .timings = result.ok() ? &result->timings : nullptr,
                        .readings = result.ok() ? &result->readings : nullptr,
                        .wave = &job->wave,
                        .placement = job->placement ? &*job->placement : nullptr});
  on_end_(job);
  const WaveCallback done = std::move(job->done);
  done(job->wave, std::move(result));
}

}  // namespace bwrt::runtime
