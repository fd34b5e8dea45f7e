#include "runtime/system_clock.h"

namespace bwrt::runtime {

SystemClock::SystemClock() : thread_([this] { Loop(); }) {}

SystemClock::~SystemClock() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

Clock::AlarmId SystemClock::SetAlarm(Time when, std::function<void()> fire) {
  bool earliest;
  AlarmId id;
  {
    MutexLock lock(mu_);
    id = ++last_id_;
    const auto at = alarms_.emplace(Key{when, id}, std::move(fire)).first;
    times_.emplace(id, when);
    earliest = at == alarms_.begin();
  }
  // The thread sleeps until the earliest alarm; a later one need not wake it.
  if (earliest) changed_.NotifyOne();
  return id;
}

void SystemClock::CancelAlarm(AlarmId id) {
  // Destroyed after the lock is released: it may own anything.
  std::function<void()> dropped;
  MutexLock lock(mu_);
  const auto time = times_.find(id);
  if (time == times_.end()) return;
  const auto alarm = alarms_.find(Key{time->second, id});
  dropped = std::move(alarm->second);
  alarms_.erase(alarm);
  times_.erase(time);
}

void SystemClock::Quiesce() {
  MutexLock lock(mu_);
  while (firing_) fired_.Wait(mu_);
}

void SystemClock::Loop() {
  mu_.Lock();
  while (!stopping_) {
    if (alarms_.empty()) {
      changed_.Wait(mu_);
      continue;
    }
    const auto next = alarms_.begin();
    if (next->first.first > Now()) {
      changed_.WaitUntil(mu_, next->first.first);
      continue;
    }
    std::function<void()> fire = std::move(next->second);
    times_.erase(next->first.second);
    alarms_.erase(next);
    firing_ = true;
    mu_.Unlock();
    fire();
    fire = nullptr;
    mu_.Lock();
    firing_ = false;
    fired_.NotifyAll();
  }
  mu_.Unlock();
}

}  // namespace bwrt::runtime
