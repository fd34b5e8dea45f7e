// RealTime: while it lives, the calling thread goes before those of all other programs, and so do the threads that it
// starts meanwhile, for as long as they live. Where the system does not allow that, nothing changes.
//
// What is measured in microseconds is otherwise what the scheduler gives to others on the same cores.
#ifndef BWRT_TESTS_BENCH_REAL_TIME_H_
#define BWRT_TESTS_BENCH_REAL_TIME_H_

#include <pthread.h>
#include <sched.h>

namespace bwrt::bench {

class RealTime {
 public:
  // Higher `rank`s go first.
  explicit RealTime(int rank) { Set(SCHED_FIFO, sched_get_priority_min(SCHED_FIFO) + rank); }
  ~RealTime() { Set(SCHED_OTHER, 0); }
  RealTime(const RealTime&) = delete;
  RealTime& operator=(const RealTime&) = delete;

 private:
  static void Set(int policy, int priority) {
    const sched_param parameters{.sched_priority = priority};
    pthread_setschedparam(pthread_self(), policy, &parameters);
  }
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_REAL_TIME_H_
