// ManualClock: time that stands still until a test moves it.
//
// Thread-safe. Alarms fire inside Advance, on the thread that called it and under no lock, in the order of
// their times; while one fires, Now() is its time.
#ifndef BWRT_TESTS_SUPPORT_MANUAL_CLOCK_H_
#define BWRT_TESTS_SUPPORT_MANUAL_CLOCK_H_

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <utility>

#include "runtime/clock.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class ManualClock final : public Clock {
 public:
  Time Now() const override {
    MutexLock lock(mu_);
    return now_;
  }

  // An alarm that is due already waits for the next Advance, be it of nothing: callers may hold locks here.
  AlarmId SetAlarm(Time when, std::function<void()> fire) override {
    MutexLock lock(mu_);
    alarms_.emplace(Key{when, ++last_id_}, std::move(fire));
    changed_.NotifyAll();
    return last_id_;
  }

  void CancelAlarm(AlarmId id) override {
    // Destroyed after the lock is released: it may own anything.
    std::function<void()> dropped;
    MutexLock lock(mu_);
    const auto at = std::find_if(alarms_.begin(), alarms_.end(), [id](const auto& a) { return a.first.second == id; });
    if (at == alarms_.end()) return;
    dropped = std::move(at->second);
    alarms_.erase(at);
    changed_.NotifyAll();
  }

  void Quiesce() override {
    MutexLock lock(mu_);
    while (firing_ > 0) changed_.Wait(mu_);
  }

  // Moves time on and fires what becomes due, also what is set meanwhile.
  void Advance(Duration by) {
    mu_.Lock();
    const Time target = now_ + by;
    while (!alarms_.empty() && alarms_.begin()->first.first <= target) {
      const auto first = alarms_.begin();
      now_ = std::max(now_, first->first.first);
      std::function<void()> fire = std::move(first->second);
      alarms_.erase(first);
      ++firing_;
      mu_.Unlock();
      fire();
      fire = nullptr;
      mu_.Lock();
      --firing_;
      changed_.NotifyAll();
    }
    now_ = std::max(now_, target);
    mu_.Unlock();
  }

  // Alarms that have neither fired nor been cancelled.
  size_t alarms() const {
    MutexLock lock(mu_);
    return alarms_.size();
  }

  // Returns once `count` alarms are set: how a test learns that another thread has begun to wait for time.
  void AwaitAlarms(size_t count) {
    MutexLock lock(mu_);
    while (alarms_.size() != count) changed_.Wait(mu_);
  }

 private:
  using Key = std::pair<Time, AlarmId>;

  mutable Mutex mu_;
  CondVar changed_;
  // Not 0, so that nobody takes a time for a duration unnoticed.
  Time now_ ABSL_GUARDED_BY(mu_){std::chrono::hours(1000)};
  std::map<Key, std::function<void()>> alarms_ ABSL_GUARDED_BY(mu_);
  AlarmId last_id_ ABSL_GUARDED_BY(mu_) = kNoAlarm;
  int firing_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_MANUAL_CLOCK_H_
