#include "runtime/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

Model::Model(std::string name, ModelOptions options, Clock* clock, Executor* executor, RuntimeObserver* observer,
             std::function<void()> on_startable)
    : name_(std::move(name)),
      options_(options),
      clock_(clock),
      executor_(executor),
      observer_(observer),
      on_startable_(std::move(on_startable)),
      current_(WeightVersion::Empty()) {}

// ---------------------------------------------------------------------------------------------- waves

absl::StatusOr<std::unique_ptr<Lease>> Model::Start(const WaveStart& wave) {
  Effects effects;
  std::unique_ptr<Lease> lease;
  absl::Status refused;
  {
    MutexLock lock(mu_);
    const bool held_back = !MayStart(armed_ > 0, in_flight_.empty());
    if (!held_back) refused = CheckRequiredVersion(name_, wave.required_version, *current_);
    if (!held_back && refused.ok()) {
      in_flight_.push_back({wave.number, wave.wave_id, wave.window, TokenClock(wave.tokens), current_});
      lease.reset(new Lease(shared_from_this(), std::prev(in_flight_.end())));
      ReevaluateLocked(effects);
    }
  }
  Run(effects);
  if (!refused.ok()) return refused;
  return lease;
}

void Model::Step(Slot slot, std::optional<int64_t> finished, std::optional<int64_t> started) {
  Effects effects;
  {
    MutexLock lock(mu_);
    if (finished) slot->clock.Finish(*finished);
    if (started) slot->clock.Start(*started);
    ReevaluateLocked(effects);
  }
  Run(effects);
}

void Model::End(Slot slot, bool with_result) {
  Effects effects;
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
    ReevaluateLocked(effects);
  }
  Run(effects);
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

// ---------------------------------------------------------------------------------------------- swaps

SwapTicket Model::NewTicket() {
  MutexLock lock(mu_);
  return {.number = ++last_ticket_, .arrival = clock_->Now()};
}

void Model::Swap(const SwapTicket& ticket, WeightVersion::Ptr next, SwapOptions options, SwapCallback done) {
  Effects effects;
  const auto fail = [&](absl::Status why) {
    const SwapOutcome outcome = Outcome(ticket, SwapOutcome::Kind::kFailed, std::move(why));
    effects.calls.push_back([done, outcome] { done(outcome); });
  };
  {
    MutexLock lock(mu_);
    // A swap that may flip now must still let earlier ones go first. With the window open none is waiting,
    // but for those that are being rebuilt: they keep their ticket, not the window.
    const bool open = OpenLocked();
    if (absl::Status status = CheckPolicy(options.policy, options_.allow_when_idle); !status.ok()) {
      fail(std::move(status));
    } else {
      switch (Decide(options.policy, open, in_flight_.empty())) {
        case SwapVerdict::kFlip:
          FlipLocked(ticket, std::move(next), std::move(done), effects);
          break;
        case SwapVerdict::kRefuse:
          fail(ClosedErrorLocked(options.policy));
          break;
        case SwapVerdict::kWait: {
          const uint64_t number = ticket.number;
          const auto self = weak_from_this();
          Waiter waiter;
          waiter.ticket = ticket;
          waiter.next = std::move(next);
          waiter.options = options;
          waiter.done = std::move(done);
          waiter.timeout_alarm = clock_->SetAlarm(ticket.arrival + options.wait_timeout, [self, number] {
            if (const auto model = self.lock()) model->OnTimeout(number);
          });
          if (options.hold_after && ticket.held < options_.max_hold) {
            waiter.hold = Waiter::Hold::kPending;
            waiter.hold_alarm = clock_->SetAlarm(ticket.arrival + *options.hold_after, [self, number] {
              if (const auto model = self.lock()) model->OnHoldAlarm(number);
            });
          }
          waiters_.emplace(number, std::move(waiter));
          break;
        }
      }
    }
    ReevaluateLocked(effects);
  }
  Run(effects);
}

bool Model::CancelSwap(uint64_t ticket_number, const absl::Status& why) {
  Effects effects;
  bool found = false;
  {
    MutexLock lock(mu_);
    if (const auto at = waiters_.find(ticket_number); at != waiters_.end()) {
      found = true;
      Waiter waiter = RemoveLocked(at, effects);
      RetireLocked(std::move(waiter.next), effects);
      const SwapOutcome outcome = Outcome(waiter.ticket, SwapOutcome::Kind::kFailed, why);
      effects.calls.push_back([done = std::move(waiter.done), outcome] { done(outcome); });
      ReevaluateLocked(effects);
    }
  }
  Run(effects);
  return found;
}

SwapOutcome Model::Outcome(const SwapTicket& ticket, SwapOutcome::Kind kind, absl::Status status) const {
  SwapOutcome outcome;
  outcome.kind = kind;
  outcome.status = std::move(status);
  outcome.ticket = ticket;
  outcome.waited = clock_->Now() - ticket.arrival;
  return outcome;
}

void Model::OnTimeout(uint64_t ticket_number) {
  absl::Status why;
  {
    MutexLock lock(mu_);
    const auto at = waiters_.find(ticket_number);
    if (at == waiters_.end()) return;
    std::string claims = absl::StrJoin(SnapshotLocked().Tested(), "; ",
                                       [](std::string* out, const auto& c) { absl::StrAppend(out, Describe(c)); });
    why = MakeError(absl::StatusCode::kDeadlineExceeded, "SWAP_WAIT_TIMEOUT",
                    absl::StrCat("wait_timeout=", Seconds(at->second.options.wait_timeout), "s: model \"", name_,
                                 "\" had no open swap window in that time (", claims,
                                 "); nothing changed; wait longer, or set hold_after"));
  }
  CancelSwap(ticket_number, why);
}

void Model::OnHoldAlarm(uint64_t ticket_number) {
  Effects effects;
  {
    MutexLock lock(mu_);
    const auto at = waiters_.find(ticket_number);
    if (at == waiters_.end()) return;
    Waiter& waiter = at->second;
    if (waiter.hold == Waiter::Hold::kPending) {
      waiter.hold = Waiter::Hold::kArmed;
      waiter.armed_at = clock_->Now();
      if (armed_++ == 0) EmitLocked(ModelEvent::Kind::kHoldStarted, effects);
      // The hold is bounded: the ticket's share of max_hold, whatever its wait_timeout.
      waiter.hold_alarm = clock_->SetAlarm(waiter.armed_at + (options_.max_hold - waiter.ticket.held),
                                           [self = weak_from_this(), ticket_number] {
                                             if (const auto model = self.lock()) {
                                               model->OnHoldAlarm(ticket_number);
                                             }
                                           });
    } else if (waiter.hold == Waiter::Hold::kArmed) {
      DisarmLocked(waiter, Waiter::Hold::kSpent, effects);
    }
    ReevaluateLocked(effects);
  }
  Run(effects);
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

// As SnapshotLocked().IsOpen(), without copying: it runs at every token.
bool Model::OpenLocked() const {
  if (in_flight_.empty()) return !resting_ || Allows(resting_->window, resting_->clock);
  return std::all_of(in_flight_.begin(), in_flight_.end(),
                     [](const LeaseRecord& wave) { return Allows(wave.window, wave.clock.Read()); });
}

void Model::ReevaluateLocked(Effects& effects) {
  // The window's opening is told before the flips it allows.
  PublishLocked(effects);
  while (!waiters_.empty()) {
    const Waiter& first = waiters_.begin()->second;
    if (Decide(first.options.policy, OpenLocked(), in_flight_.empty()) != SwapVerdict::kFlip) break;
    Waiter waiter = RemoveLocked(waiters_.begin(), effects);
    FlipLocked(waiter.ticket, std::move(waiter.next), std::move(waiter.done), effects);
    PublishLocked(effects);  // Its hold may have ended.
  }
}

void Model::FlipLocked(const SwapTicket& ticket, WeightVersion::Ptr next, SwapCallback done, Effects& effects) {
  SwapOutcome outcome = Outcome(ticket, SwapOutcome::Kind::kBaseMoved, absl::OkStatus());
  if (next->number() == current_->number().next()) {
    outcome.kind = SwapOutcome::Kind::kFlipped;
    outcome.previous = current_->number();
    outcome.version = next->number();
    WeightVersion::Ptr old = std::exchange(current_, std::move(next));
    version_number_.store(current_->number().value(), std::memory_order_relaxed);
    committed_bytes_.store(current_->bytes().value(), std::memory_order_relaxed);
    RetireLocked(std::move(old), effects);
    EmitLocked(ModelEvent::Kind::kVersion, effects);
  } else {
    // Built in vain: it may hold the last reference to tensors that have been replaced meanwhile.
    RetireLocked(std::move(next), effects);
  }
  effects.calls.push_back([done = std::move(done), outcome] { done(outcome); });
}

Model::Waiter Model::RemoveLocked(std::map<uint64_t, Waiter>::iterator at, Effects& effects) {
  Waiter waiter = std::move(at->second);
  waiters_.erase(at);
  clock_->CancelAlarm(waiter.timeout_alarm);
  if (waiter.hold == Waiter::Hold::kArmed) {
    DisarmLocked(waiter, Waiter::Hold::kSpent, effects);
  } else {
    clock_->CancelAlarm(waiter.hold_alarm);
  }
  return waiter;
}

void Model::DisarmLocked(Waiter& waiter, Waiter::Hold next, Effects& effects) {
  clock_->CancelAlarm(waiter.hold_alarm);
  waiter.hold = next;
  const Duration held = clock_->Now() - waiter.armed_at;
  waiter.ticket.held += held;
  effects.calls.push_back([this, held] { observer_->OnHoldEnd(name_, held); });
  if (--armed_ == 0) {
    effects.startable = true;
    EmitLocked(ModelEvent::Kind::kHoldEnded, effects);
  }
}

void Model::PublishLocked(Effects& effects) {
  const bool open = OpenLocked();
  if (open != window_open()) {
    closed_since_.store(open ? kOpen : clock_->Now().time_since_epoch().count(), std::memory_order_relaxed);
    EmitLocked(open ? ModelEvent::Kind::kWindowOpened : ModelEvent::Kind::kWindowClosed, effects);
  }
  held_back_.store(!MayStart(armed_ > 0, in_flight_.empty()), std::memory_order_relaxed);
}

void Model::EmitLocked(ModelEvent::Kind kind, Effects& effects) {
  if (watchers_.empty()) return;
  outbox_.push_back({EventLocked(kind), watchers_});
  effects.events = true;
}

ModelEvent Model::EventLocked(ModelEvent::Kind kind) const {
  return {kind, current_->number(), current_->label(), OpenLocked()};
}

void Model::RetireLocked(WeightVersion::Ptr version, Effects& effects) {
  if (version == current_) return;
  // Perhaps the last reference: freeing gigabytes is no work for a wave's thread, nor for a flip.
  effects.calls.push_back([this, version = std::move(version)]() mutable {
    executor_->Post([version = std::move(version)]() mutable { version.reset(); });
  });
}

absl::Status Model::ClosedErrorLocked(SwapPolicy policy) const {
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

void Model::Run(const Effects& effects) {
  // Waves first: whoever was held back has waited long enough.
  if (effects.startable) on_startable_();
  if (effects.events) DeliverEvents();
  for (const auto& call : effects.calls) call();
}

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

ModelStatus Model::GetStatus() const {
  ModelStatus status;
  std::vector<WeightVersion::Ptr> old;
  {
    MutexLock lock(mu_);
    status.current = current_;
    status.window.open = OpenLocked();
    status.window.claims = SnapshotLocked().Tested();
    status.window.waiting_swaps = waiters_.size();
    status.window.holding = armed_ > 0;
    for (const LeaseRecord& wave : in_flight_) {
      if (wave.version != current_) old.push_back(wave.version);
    }
  }
  status.window.closed_for = closed_for();
  std::sort(old.begin(), old.end());
  old.erase(std::unique(old.begin(), old.end()), old.end());
  int64_t retiring = 0;
  for (const auto& version : old) retiring += version->BytesNotIn(*status.current).value();
  status.retiring = Bytes(retiring);
  // Our references may have become the last.
  if (!old.empty()) executor_->Post([old = std::move(old)]() mutable { old.clear(); });
  return status;
}

Duration Model::closed_for() const {
  const int64_t since = closed_since_.load(std::memory_order_relaxed);
  return since == kOpen ? Duration(0) : clock_->Now().time_since_epoch() - Duration(since);
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
