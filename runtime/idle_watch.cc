#include "runtime/idle_watch.h"

#include <utility>

#include "runtime/mutex.h"

namespace bwrt::runtime {

struct IdleWatch::State : std::enable_shared_from_this<State> {
  State(Clock* c, Duration l, std::function<void()> call) : clock(c), limit(l), on_idle(std::move(call)) {}

  void ArmLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    alarm = clock->SetAlarm(since + limit, [self = shared_from_this()] { self->OnAlarm(); });
    armed = true;
  }

  void OnAlarm() {
    MutexLock lock(mu);
    armed = false;
    if (!waiting || on_idle == nullptr) return;
    if (clock->Now() < since + limit) return ArmLocked();
    std::exchange(on_idle, nullptr)();
  }

  Clock* const clock;
  const Duration limit;
  Mutex mu;
  std::function<void()> on_idle ABSL_GUARDED_BY(mu);  // Null once it has been called, or must not be.
  bool waiting ABSL_GUARDED_BY(mu) = false;
  Time since ABSL_GUARDED_BY(mu);
  bool armed ABSL_GUARDED_BY(mu) = false;
  Clock::AlarmId alarm ABSL_GUARDED_BY(mu) = Clock::kNoAlarm;
};

IdleWatch::IdleWatch(Clock* clock, Duration limit, std::function<void()> on_idle)
    : state_(std::make_shared<State>(clock, limit, std::move(on_idle))) {}

IdleWatch::~IdleWatch() {
  Clock::AlarmId alarm = Clock::kNoAlarm;
  {
    MutexLock lock(state_->mu);
    state_->on_idle = nullptr;
    alarm = state_->alarm;
  }
  state_->clock->CancelAlarm(alarm);
}

void IdleWatch::Begin() {
  MutexLock lock(state_->mu);
  state_->waiting = true;
  state_->since = state_->clock->Now();
  if (!state_->armed && state_->on_idle != nullptr) state_->ArmLocked();
}

void IdleWatch::End() {
  MutexLock lock(state_->mu);
  state_->waiting = false;
}

}  // namespace bwrt::runtime
