#include "runtime/runtime.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/error.h"
#include "runtime/not_serving.h"
#include "runtime/violations.h"

namespace bwrt::runtime {

namespace {

// Clients can't name a model so.
constexpr char kMeasurementModel[] = "(measurement)";

DTypeSet ComputedBy(const Device& device) {
  std::vector<kernels::DType> dtypes;
  for (const DeviceInfo* info : device.members()) dtypes.insert(dtypes.end(), info->dtypes.begin(), info->dtypes.end());
  return DTypeSet::Of(dtypes);
}

// What a measurement makes never travels.
Limits WithoutMessages(Limits limits) {
  limits.max_message_bytes = std::max(limits.max_message_bytes, limits.queue_bytes);
  return limits;
}

}  // namespace

Runtime::Runtime(RuntimeOptions options, std::unique_ptr<Device> device, const RuntimeContext& context,
                 std::unique_ptr<Prefetcher> prefetcher)
    : options_(std::move(options)),
      clock_(context.clock),
      observer_(context.observer),
      validator_(options_.whitelist, options_.lenient_shapes, options_.limits, /*paged=*/prefetcher != nullptr,
                 ComputedBy(*device)),
      measurement_validator_(options_.whitelist, /*lenient=*/false, WithoutMessages(options_.limits),
                             /*paged=*/false, ComputedBy(*device)),
      restored_(context.state == nullptr),
      device_(std::move(device)),
      weights_(options_.weights, {.limits = &options_.limits,
                                  .clock = context.clock,
                                  .bulk = context.bulk,
                                  .reclaim = context.reclaim,
                                  .journal = context.journal,
                                  .device = device_.get(),
                                  .observer = context.observer,
                                  .state = context.state,
                                  .root = context.root,
                                  .failpoints = context.failpoints,
                                  .on_startable = [this] { lanes_.queue().Wake(); },
                                  .busy = [this] { return lanes_.in_flight() > 0; }}),
      measurement_line_({}, {.clock = context.clock,
                             .executor = context.reclaim,
                             .journal_executor = nullptr,
                             .journal = nullptr,
                             .observer = context.observer,
                             .failpoints = nullptr,
                             .on_startable = [] {}}),
      measurement_model_(std::make_shared<Model>(kMeasurementModel, /*keep_versions=*/0, &measurement_line_)),
      lanes_(device_.get(), std::move(prefetcher), options_.lanes, options_.limits.queue_waves,
             Bytes(options_.limits.queue_bytes), clock_, observer_, [this](const WaveJobPtr& job) { Forget(job); }) {}

Runtime::~Runtime() {
  Drain(Duration(0));
  // Alarms may still be on their way out of code that uses our members.
  clock_->Quiesce();
}

// ---------------------------------------------------------------------------------------------- waves

absl::StatusOr<Wave> Runtime::Admit(WaveRequest request, WaveValidator::Mode mode,
                                    std::shared_ptr<Model>* model) const {
  const auto found = weights_.FindModel(request.model);
  const WeightVersion::Ptr version = found.ok() ? (*found)->current() : WeightVersion::Empty();
  auto wave = validator_.Validate(std::move(request), mode, *version, clock_->Now());
  if (found.ok()) {
    *model = *found;
    return wave;
  }
  // What is wrong with the request itself comes first; a tensor of a model that is not there does not count.
  if (absl::IsInvalidArgument(wave.status()) || absl::IsFailedPrecondition(wave.status())) return wave;
  return found.status();
}

absl::StatusOr<Runtime::Preview> Runtime::Validate(const WaveRequest& request) const {
  if (absl::Status status = CheckServing(); !status.ok()) return status;
  std::shared_ptr<Model> model;
  auto wave = Admit(request, WaveValidator::Mode::kDry, &model);
  if (!wave.ok()) return wave.status();
  // Asked again of the lease when a wave starts.
  if (absl::Status status = CheckRequiredVersion(model->name(), wave->required_version, *model->current());
      !status.ok()) {
    return status;
  }
  EffectiveSpec effective = lanes_.Plan(*wave);
  return Preview{*std::move(wave), std::move(effective)};
}

absl::StatusOr<TilePlan> Runtime::PlanTiles(const WaveRequest& request) const {
  if (absl::Status status = CheckServing(); !status.ok()) return status;
  return validator_.PlanTiles(request);
}

absl::StatusOr<Runtime::WaveTicket> Runtime::Submit(WaveRequest request, WaveCallback done) {
  const auto reject = [&](absl::Status why) {
    const std::string reason = GetReason(why);
    observer_->OnWaveRejected(reason.empty() ? "INTERNAL" : absl::string_view(reason));
    return why;
  };
  if (absl::Status status = CheckServing(); !status.ok()) return reject(std::move(status));
  const Time arrival = clock_->Now();
  std::shared_ptr<Model> model;
  auto wave = Admit(std::move(request), WaveValidator::Mode::kComplete, &model);
  if (!wave.ok()) return reject(wave.status());
  if (wave->deadline && *wave->deadline <= arrival) {
    return reject(MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE",
                            "the deadline had passed when the wave arrived; it did not run"));
  }
  auto ticket = Enqueue(*std::move(wave), std::move(model), arrival, std::nullopt, std::move(done));
  return ticket.ok() ? std::move(ticket) : reject(ticket.status());
}

absl::StatusOr<Runtime::WaveTicket> Runtime::SubmitMeasurement(WaveRequest request, Measurement measurement,
                                                               WaveCallback done) {
  if (absl::Status status = CheckServing(); !status.ok()) return status;
  const Time arrival = clock_->Now();
  request.priority = -kMaxPriority;
  auto wave = measurement_validator_.Validate(std::move(request), WaveValidator::Mode::kComplete,
                                              *WeightVersion::Empty(), arrival);
  if (!wave.ok()) return wave.status();
  return Enqueue(*std::move(wave), measurement_model_, arrival, std::move(measurement), std::move(done));
}

absl::StatusOr<Runtime::WaveTicket> Runtime::Enqueue(Wave wave, std::shared_ptr<Model> model, Time arrival,
                                                     std::optional<Measurement> measurement, WaveCallback done) {
  // A thin W can need many times its size in the device's layout.
  const int64_t working = lanes_.device().WorkingBytes(wave).value();
  if (working > options_.limits.queue_bytes - wave.held_bytes.value()) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "WAVE_TOO_LARGE",
        absl::StrCat("the wave needs ", wave.held_bytes.value(), " bytes for operands and result and ", working,
                     " for packed copies; this daemon holds at most ", options_.limits.queue_bytes,
                     "; publish W as a tensor, split the wave, or raise --queue-bytes"));
  }
  const WaveNumber number(last_wave_.fetch_add(1, std::memory_order_relaxed) + 1);
  // The wave counts as pending until its callback has returned, so that a drained daemon has answered.
  const auto job =
      std::make_shared<WaveJob>(number, std::move(wave), std::move(model), arrival,
                                [this, done = std::move(done)](const Wave& ended, absl::StatusOr<WaveResult> result) {
                                  done(ended, std::move(result));
                                  EndOne();
                                });
  job->measurement = std::move(measurement);
  job->needs_prefetch = lanes_.prefetcher() != nullptr && !job->wave.io_extents.empty();
  if (!Remember(job)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "WAVE_ID_IN_FLIGHT",
                     absl::StrCat("wave_id=", Quoted(job->wave.wave_id),
                                  ": a wave of this client with this id is in flight; use a fresh id"));
  }
  if (job->wave.deadline) {
    job->deadline_alarm = clock_->SetAlarm(*job->wave.deadline, [this, ticket = WaveTicket(job)] { Expire(ticket); });
  }
  const bool small = !job->measurement && options_.run_here_below > Duration(0) && !job->needs_prefetch &&
                     lanes_.device().RoughTime(job->wave) <= options_.run_here_below;
  if (small && lanes_.TryRunHere(job)) return WaveTicket(job);
  if (absl::Status status = lanes_.queue().Push(job); !status.ok()) {
    clock_->CancelAlarm(job->deadline_alarm);
    Forget(job);
    EndOne();
    return status;
  }
  // The alarm may have fired before the job was in the queue, and found nothing to drop.
  if (job->wave.deadline && clock_->Now() >= *job->wave.deadline) Expire(job);
  return WaveTicket(job);
}

bool Runtime::Cancel(const WaveTicket& ticket) {
  const WaveJobPtr job = ticket.lock();
  if (job == nullptr) return true;
  // In this order: a lane that pops the job after Remove found nothing sees the flag.
  job->cancelled.store(true, std::memory_order_relaxed);
  if (!lanes_.queue().Remove(job)) return true;
  lanes_.Drop(job, MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                             "the wave was cancelled before it started; it did not run"));
  return false;
}

absl::StatusOr<bool> Runtime::CancelWave(absl::string_view client_id, absl::string_view wave_id) {
  Violations bad;
  if (client_id.empty()) bad.Add("client_id", "MISSING", "\"\"", "names the client that submitted the wave");
  if (wave_id.empty()) bad.Add("wave_id", "MISSING", "\"\"", "names the wave");
  if (!bad.empty()) return bad.Take("cancellation");
  WaveTicket ticket;
  {
    MutexLock lock(mu_);
    const auto at = named_.find(WaveKey(std::string(client_id), std::string(wave_id)));
    if (at == named_.end()) {
      return MakeError(absl::StatusCode::kNotFound, "WAVE_NOT_FOUND",
                       absl::StrCat("wave_id=", Quoted(wave_id),
                                    ": no such wave of this client is in flight; it has ended or never arrived"));
    }
    ticket = at->second;
  }
  return Cancel(ticket);
}

void Runtime::Expire(const WaveTicket& ticket) {
  const WaveJobPtr job = ticket.lock();
  // One that runs is stopped by its lane, between two tiles.
  if (job == nullptr || !lanes_.queue().Remove(job)) return;
  lanes_.Drop(job, MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE",
                             "the deadline passed while the wave was queued; it did not run"));
}

bool Runtime::Remember(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  if (!job->wave.wave_id.empty() && !named_.emplace(WaveKey(job->wave.client_id, job->wave.wave_id), job).second) {
    return false;
  }
  admitted_.emplace(job->number, job);
  ++pending_;
  return true;
}

// Before the client hears of the end, so that it may use the id again at once.
void Runtime::Forget(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  if (!job->wave.wave_id.empty()) named_.erase(WaveKey(job->wave.client_id, job->wave.wave_id));
  admitted_.erase(job->number);
}

void Runtime::EndOne() {
  MutexLock lock(mu_);
  if (--pending_ == 0) idle_.NotifyAll();
}

// ---------------------------------------------------------------------------------------------- telemetry

std::vector<Runtime::DeviceView> Runtime::Devices() const {
  std::vector<DeviceView> views;
  const auto members = lanes_.device().members();
  for (size_t i = 0; i < members.size(); ++i) {
    views.push_back({members[i], lanes_.count(), lanes_.device().Counters(i).text});
  }
  return views;
}

absl::StatusOr<Runtime::DeviceSample> Runtime::GetSample(absl::string_view device) const {
  const auto members = lanes_.device().members();
  std::vector<absl::string_view> names;
  for (size_t i = 0; i < members.size(); ++i) {
    if (device.empty() || device == members[i]->name) {
      return DeviceSample{members[i]->name, lanes_.samples(i).Read(), lanes_.device().Counters(i)};
    }
    names.push_back(members[i]->name);
  }
  return MakeError(
      absl::StatusCode::kNotFound, "DEVICE_NOT_FOUND",
      absl::StrCat("device=", Quoted(device), ": no such device; this daemon has ", absl::StrJoin(names, ", ")));
}

Gauges Runtime::GetGauges() const {
  Gauges g;
  g.waves_in_flight = lanes_.in_flight();
  g.queue_depth = static_cast<int64_t>(lanes_.queue().depth());
  g.weights = weights_.GetGauges();
  return g;
}

// ---------------------------------------------------------------------------------------------- serving

absl::Status Runtime::CheckRestored() const {
  return restored_.load(std::memory_order_acquire) ? absl::OkStatus() : RestoringError();
}

absl::Status Runtime::CheckServing() const { return draining() ? DrainingError() : CheckRestored(); }

std::vector<std::string> Runtime::Restore() {
  std::vector<std::string> notes = weights_.Restore();
  restored_.store(true, std::memory_order_release);
  weights_.PrepareRestored();
  return notes;
}

bool Runtime::Drain(Duration grace) {
  draining_.store(true, std::memory_order_relaxed);
  lanes_.queue().Close();
  const Clock::AlarmId alarm = clock_->SetAlarm(clock_->Now() + grace, [this] {
    MutexLock lock(mu_);
    grace_over_ = true;
    idle_.NotifyAll();
  });
  weights_.Drain();
  std::vector<WaveTicket> left;
  {
    MutexLock lock(mu_);
    while (pending_ > 0 && !grace_over_) idle_.Wait(mu_);
    for (const auto& [number, ticket] : admitted_) left.push_back(ticket);
  }
  clock_->CancelAlarm(alarm);
  for (const WaveTicket& ticket : left) Cancel(ticket);
  MutexLock lock(mu_);
  while (pending_ > 0) idle_.Wait(mu_);
  return left.empty();
}

}  // namespace bwrt::runtime
