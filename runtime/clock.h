// Clock: the only source of time in runtime/, with alarms. Injected everywhere, so that tests decide when
// time passes.
#ifndef BWRT_RUNTIME_CLOCK_H_
#define BWRT_RUNTIME_CLOCK_H_

#include <chrono>
#include <cstdint>
#include <functional>

namespace bwrt::runtime {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

constexpr double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Thread-safe.
class Clock {
 public:
  using AlarmId = uint64_t;
  static constexpr AlarmId kNoAlarm = 0;

  virtual ~Clock() = default;
  virtual Time Now() const = 0;

  // Runs `fire` once at `when` or soon after, on the clock's own thread and under none of the clock's locks.
  // `fire` must be short: alarms share one thread.
  virtual AlarmId SetAlarm(Time when, std::function<void()> fire) = 0;

  // After it returns the alarm will not begin to fire, but it may be firing right now on another thread; an
  // alarm's function must therefore tolerate running late. Unknown ids, and kNoAlarm, are ignored.
  virtual void CancelAlarm(AlarmId id) = 0;

  // Returns once no alarm that was firing when it was called fires any more: what a destructor needs after it
  // has cancelled its alarms. Not to be called by an alarm.
  virtual void Quiesce() = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CLOCK_H_
