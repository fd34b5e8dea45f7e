// IdleWatch: tells when somebody has waited for too long.
//
//   IdleWatch watch(clock, std::chrono::seconds(60), [&] { ... });
//   for (...) {
//     watch.Begin();
//     ... wait for something ...
//     watch.End();
//     ... work, for as long as it takes ...
//   }
//
// A wait costs two short locks and no alarm: the one there is goes off a limit after the wait at which it was set, and
// is then set anew for the wait of that moment, if any.
//
// Thread-safe; waits of one watch don't overlap. The clock must outlive it.
#ifndef BWRT_RUNTIME_IDLE_WATCH_H_
#define BWRT_RUNTIME_IDLE_WATCH_H_

#include <functional>
#include <memory>

#include "runtime/clock.h"

namespace bwrt::runtime {

class IdleWatch {
 public:
  // `on_idle` is called once at most, when a wait has lasted for `limit`: on the clock's thread and under the watch's
  // lock, so that it must be short and leave the watch alone.
  IdleWatch(Clock* clock, Duration limit, std::function<void()> on_idle);
  // Afterwards `on_idle` is not called any more, and is not running.
  ~IdleWatch();
  IdleWatch(const IdleWatch&) = delete;
  IdleWatch& operator=(const IdleWatch&) = delete;

  void Begin();
  // Afterwards `on_idle` has returned, or will not be called for this wait.
  void End();

 private:
  struct State;
  const std::shared_ptr<State> state_;  // Shared with an alarm that may come late.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_IDLE_WATCH_H_
