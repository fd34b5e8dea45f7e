// SystemClock: the Clock of a running daemon: std::chrono::steady_clock and one thread that fires alarms.
#ifndef BWRT_RUNTIME_SYSTEM_CLOCK_H_
#define BWRT_RUNTIME_SYSTEM_CLOCK_H_

#include <map>
#include <thread>
#include <utility>

#include "runtime/clock.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class SystemClock final : public Clock {
 public:
  SystemClock();
  // Alarms that have not fired never will. Joins the thread: must not be destroyed by an alarm.
  ~SystemClock() override;

  Time Now() const override { return std::chrono::steady_clock::now(); }
  AlarmId SetAlarm(Time when, std::function<void()> fire) override;
  void CancelAlarm(AlarmId id) override;
  void Quiesce() override;

 private:
  using Key = std::pair<Time, AlarmId>;

  void Loop();

  Mutex mu_;
  CondVar changed_;
  std::map<Key, std::function<void()>> alarms_ ABSL_GUARDED_BY(mu_);
  std::map<AlarmId, Time> times_ ABSL_GUARDED_BY(mu_);
  AlarmId last_id_ ABSL_GUARDED_BY(mu_) = kNoAlarm;
  bool firing_ ABSL_GUARDED_BY(mu_) = false;
  CondVar fired_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SYSTEM_CLOCK_H_
