#include "runtime/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

absl::Status CheckRequiredVersion(const std::string& model, Version required, const WeightVersion& current) {
  if (required == Version() || required == current.number()) return absl::OkStatus();
  ErrorDetails details;
  details.reason = "VERSION_MISMATCH";
  details.metadata = {{"model", model},
                      {"required_version", absl::StrCat(required.value())},
                      {"current_version", absl::StrCat(current.number().value())}};
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("required_version=", required.value(), ": model \"", model, "\" is at version ",
                   current.number().value(), " (", current.label(), "); plan against it or require 0 for any"),
      details);
}

Model::Model(std::string name, int keep_versions, SwapLine* line)
    : name_(std::move(name)),
      keep_versions_(static_cast<size_t>(keep_versions)),
      line_owner_(line),
      mu_(line->mu_),
      current_(WeightVersion::Empty()) {}

void Model::Restore(ModelRestore from) {
  MutexLock lock(mu_);
  current_ = std::move(from.current);
  manifest_ = from.manifest;
  last_ = from.last;
  kept_.assign(std::make_move_iterator(from.kept.begin()), std::make_move_iterator(from.kept.end()));
  version_number_.store(current_->number().value(), std::memory_order_relaxed);
  committed_bytes_.store(current_->bytes().value(), std::memory_order_relaxed);
  CountKeptLocked();
}

// ---------------------------------------------------------------------------------------------- waves

absl::StatusOr<std::unique_ptr<Lease>> Model::Start(const WaveStart& wave) {
  SwapEffects effects;
  std::unique_ptr<Lease> lease;
  {
    MutexLock lock(mu_);
    if (closed_) return ClosedModelError();
    if (overdue_) return LoadingErrorLocked();
    if (paused_ || !MayStart(armed_ > 0, in_flight_.empty())) return lease;
    if (absl::Status status = CheckRequiredVersion(name_, wave.required_version, *current_); !status.ok()) {
      return status;
    }
    in_flight_.push_back({wave.number, wave.wave_id, wave.window, TokenClock(wave.tokens), current_});
    lease.reset(new Lease(shared_from_this(), std::prev(in_flight_.end())));
    line_owner_->ServeLocked(*this, effects);
  }
  line_owner_->Run(effects);
  return lease;
}

void Model::Step(Slot slot, std::optional<int64_t> finished, std::optional<int64_t> started) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    if (finished) slot->clock.Finish(*finished);
    if (started) slot->clock.Start(*started);
    line_owner_->ServeLocked(*this, effects);
  }
  line_owner_->Run(effects);
}

void Model::End(Slot slot, bool with_result) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    if (with_result) {
      resting_ = WindowClaim{slot->number, std::move(slot->wave_id), slot->window, slot->clock.Resting(),
                             /*in_flight=*/false};
    }
    WeightVersion::Ptr version = std::move(slot->version);
    in_flight_.erase(slot);
    RetireLocked(std::move(version), effects);
    effects.startable = armed_ > 0 && in_flight_.empty();
    line_owner_->ServeLocked(*this, effects);
  }
  line_owner_->Run(effects);
}

Lease::~Lease() {
  if (model_ != nullptr) model_->End(record_, /*with_result=*/false);
}

void Lease::Step(std::optional<int64_t> finished, std::optional<int64_t> started) {
  model_->Step(record_, finished, started);
}

void Lease::Retire() {
  const std::shared_ptr<Model> model = std::move(model_);
  model->End(record_, /*with_result=*/true);
}

// ---------------------------------------------------------------------------------------- under the lock

WindowSnapshot Model::SnapshotLocked() const {
  WindowSnapshot snapshot;
  snapshot.in_flight.reserve(in_flight_.size());
  for (const LeaseRecord& wave : in_flight_) {
    snapshot.in_flight.push_back({wave.number, wave.wave_id, wave.window, wave.clock.Read(), true});
  }
  snapshot.resting = resting_;
  return snapshot;
}

absl::Status Model::LoadingErrorLocked() const {
  ErrorDetails details;
  details.reason = "MODEL_LOADING";
  details.metadata = {{"model", name_}, {"version", absl::StrCat(current_->number().value())}};
  details.retry_after = std::chrono::seconds(1);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("model \"", name_, "\": version ", current_->number().value(),
                                " is being copied in place; retry soon"),
                   details);
}

// As SnapshotLocked().IsOpen(), without copying: it runs at every token.
bool Model::OpenLocked() const {
  if (in_flight_.empty()) return !resting_ || Allows(resting_->window, resting_->clock);
  return std::all_of(in_flight_.begin(), in_flight_.end(),
                     [](const LeaseRecord& wave) { return Allows(wave.window, wave.clock.Read()); });
}

void Model::FlipLocked(WeightVersion::Ptr next, const std::optional<Digest>& manifest, SwapEffects& effects) {
  WeightVersion::Ptr old = std::exchange(current_, std::move(next));
  KeepLocked(std::move(old), effects);
  manifest_ = manifest;
  last_ = current_->number();
  version_number_.store(current_->number().value(), std::memory_order_relaxed);
  committed_bytes_.store(current_->bytes().value(), std::memory_order_relaxed);
  EmitLocked(ModelEvent::Kind::kVersion, effects);
  PublishLocked(effects);
}

// The version that was current until now; its manifest is still ours.
void Model::KeepLocked(WeightVersion::Ptr old, SwapEffects& effects) {
  if (keep_versions_ > 0 && old->number() != Version()) {
    kept_.push_front(
        {old->number(), old->label(), old->restored_from(), old->bytes(), current_->replaced(), nullptr, manifest_});
    // What the state directory has need not take up memory as well.
    if (!manifest_) kept_.front().version = old;
  }
  while (kept_.size() > keep_versions_) {
    if (kept_.back().version != nullptr) RetireLocked(std::move(kept_.back().version), effects);
    kept_.pop_back();
  }
  CountKeptLocked();
  RetireLocked(std::move(old), effects);
}

void Model::CountKeptLocked() {
  int64_t bytes = 0;
  for (const KeptVersion& kept : kept_) {
    if (kept.version != nullptr) bytes += kept.replaced.value();
  }
  kept_bytes_.store(bytes, std::memory_order_relaxed);
}

void Model::ArmLocked(SwapEffects& effects) {
  if (armed_++ == 0) EmitLocked(ModelEvent::Kind::kHoldStarted, effects);
}

void Model::DisarmLocked(SwapEffects& effects) {
  if (--armed_ > 0) return;
  effects.startable = true;
  EmitLocked(ModelEvent::Kind::kHoldEnded, effects);
}

void Model::BeginLoadingLocked(Time paused_at, Duration max_pause) {
  loading_ = true;
  paused_at_ = paused_at;
  overdue_alarm_ = line_owner_->clock()->SetAlarm(paused_at + max_pause, [self = shared_from_this()] {
    {
      MutexLock lock(self->mu_);
      self->overdue_ = self->loading_;
      if (self->overdue_) self->held_back_.store(false, std::memory_order_relaxed);
    }
    // Waves that were held are told now.
    SwapEffects effects;
    effects.startable = true;
    self->line_owner_->Run(effects);
  });
}

void Model::FinishLoadingLocked(WeightVersion::Ptr whole, SwapEffects& effects) {
  line_owner_->clock()->CancelAlarm(overdue_alarm_);
  RetireLocked(std::exchange(current_, std::move(whole)), effects);
  committed_bytes_.store(current_->bytes().value(), std::memory_order_relaxed);
  paused_ = loading_ = overdue_ = false;
  const Duration paused = line_owner_->clock()->Now() - paused_at_;
  effects.calls.push_back(
      [this, self = shared_from_this(), paused] { line_owner_->context_.observer->OnHoldEnd(name_, paused); });
  effects.startable = true;
}

void Model::PublishLocked(SwapEffects& effects) {
  const bool open = OpenLocked();
  if (open != window_open()) {
    closed_since_.store(open ? kOpen : line_owner_->clock()->Now().time_since_epoch().count(),
                        std::memory_order_relaxed);
    EmitLocked(open ? ModelEvent::Kind::kWindowOpened : ModelEvent::Kind::kWindowClosed, effects);
  }
  held_back_.store(!overdue_ && (paused_ || !MayStart(armed_ > 0, in_flight_.empty())), std::memory_order_relaxed);
}

void Model::EmitLocked(ModelEvent::Kind kind, SwapEffects& effects) {
  if (watchers_.empty()) return;
  outbox_.push_back({EventLocked(kind), watchers_});
  effects.events.push_back(shared_from_this());
}

ModelEvent Model::EventLocked(ModelEvent::Kind kind) const {
  return {kind, current_->number(), current_->label(), OpenLocked()};
}

void Model::RetireLocked(WeightVersion::Ptr version, SwapEffects& effects) {
  if (version == current_) return;
  // Perhaps the last reference: freeing gigabytes is no work for a wave's thread, nor for a flip.
  effects.calls.push_back([this, version = std::move(version)]() mutable {
    line_owner_->executor()->Post([version = std::move(version)]() mutable { version.reset(); });
  });
}

absl::Status Model::ClosedModelError() const {
  ErrorDetails details;
  details.reason = "MODEL_NOT_FOUND";
  details.metadata = {{"model", name_}};
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("model=\"", name_, "\": it has been deleted"), details);
}

absl::Status Model::WindowClosedErrorLocked(SwapPolicy policy) const {
  const std::vector<WindowClaim> claims = SnapshotLocked().Tested();
  ErrorDetails details;
  details.reason = "SWAP_WINDOW_CLOSED";
  details.metadata = {{"model", name_}, {"version", absl::StrCat(current_->number().value())}};
  std::string blockers;
  for (const WindowClaim& claim : claims) {
    if (Allows(claim.window, claim.clock)) continue;
    absl::StrAppend(&blockers, blockers.empty() ? "" : "; ", Describe(claim));
    details.preconditions.push_back(
        {"SWAP_WINDOW", absl::StrCat(name_, "/wave ", claim.wave.value()), Describe(claim)});
  }
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("swap window of model \"", name_, "\" is closed: ", blockers,
                                policy == SwapPolicy::kWhenIdle ? "; not idle either" : "",
                                "; retry inside the window or use WAIT_FOR_WINDOW"),
                   details);
}

// ---------------------------------------------------------------------------------------- outside the lock

// One thread at a time takes events out and hands them on, so that they arrive in order although they are
// delivered outside the lock.
void Model::DeliverEvents() {
  mu_.Lock();
  if (delivering_) {
    mu_.Unlock();
    return;
  }
  delivering_ = true;
  while (!outbox_.empty()) {
    Delivery delivery = std::move(outbox_.front());
    outbox_.pop_front();
    mu_.Unlock();
    for (const auto& watcher : delivery.to) watcher->OnEvent(delivery.event);
    delivery.to.clear();
    mu_.Lock();
  }
  delivering_ = false;
  mu_.Unlock();
}

WeightVersion::Ptr Model::current() const {
  MutexLock lock(mu_);
  return current_;
}

bool Model::lost() const {
  MutexLock lock(mu_);
  return LostLocked();
}

absl::StatusOr<std::pair<WeightVersion::Ptr, Version>> Model::Base() const {
  MutexLock lock(mu_);
  if (loading_) return LoadingErrorLocked();
  return std::pair(current_, last_.next());
}

std::vector<KeptVersion> Model::kept() const {
  MutexLock lock(mu_);
  return {kept_.begin(), kept_.end()};
}

WeightVersion::Ptr Model::DropKept() {
  WeightVersion::Ptr dropped;
  MutexLock lock(mu_);
  const auto at = std::find_if(kept_.rbegin(), kept_.rend(), [](const KeptVersion& k) { return k.version != nullptr; });
  if (at != kept_.rend()) {
    dropped = std::move(at->version);
    kept_.erase(std::next(at).base());
    CountKeptLocked();
  }
  return dropped;
}

ModelStatus Model::GetStatus() const {
  ModelStatus status;
  std::vector<WeightVersion::Ptr> old;
  {
    MutexLock lock(mu_);
    status.current = current_;
    status.last = last_;
    status.lost = LostLocked();
    status.durable = manifest_.has_value();
    status.loading = loading_;
    status.window.open = OpenLocked();
    status.window.claims = SnapshotLocked().Tested();
    status.window.waiting_swaps = line_.size();
    status.window.holding = armed_ > 0 || paused_;
    status.kept.assign(kept_.begin(), kept_.end());
    for (const LeaseRecord& wave : in_flight_) {
      if (wave.version != current_) old.push_back(wave.version);
    }
  }
  status.window.closed_for = closed_for();
  std::sort(old.begin(), old.end());
  old.erase(std::unique(old.begin(), old.end()), old.end());
  int64_t retiring = 0;
  for (const auto& version : old) {
    const bool kept =
        std::any_of(status.kept.begin(), status.kept.end(), [&](const KeptVersion& k) { return k.version == version; });
    if (!kept) retiring += version->BytesNotIn(*status.current).value();
  }
  status.retiring = Bytes(retiring);
  // Our references may have become the last.
  if (!old.empty()) line_owner_->executor()->Post([old = std::move(old)]() mutable { old.clear(); });
  return status;
}

Duration Model::closed_for() const {
  const int64_t since = closed_since_.load(std::memory_order_relaxed);
  return since == kOpen ? Duration(0) : line_owner_->clock()->Now().time_since_epoch() - Duration(since);
}

void Model::AddWatcher(std::shared_ptr<ModelWatcher> watcher) {
  {
    MutexLock lock(mu_);
    outbox_.push_back({EventLocked(ModelEvent::Kind::kSnapshot), {watcher}});
    watchers_.push_back(std::move(watcher));
  }
  DeliverEvents();
}

void Model::RemoveWatcher(const ModelWatcher* watcher) {
  MutexLock lock(mu_);
  std::erase_if(watchers_, [&](const auto& w) { return w.get() == watcher; });
}

}  // namespace bwrt::runtime
