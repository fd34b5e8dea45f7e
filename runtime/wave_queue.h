// WaveQueue: the bounded queue in front of a device's lanes.
//
// A wave that needs a prefetch comes out twice: to the thread that starts prefetches (PopPrefetch), at most
// max_prefetching at a time, and, once its pages are in, to a lane, before those that have not started.
//
// Highest priority first, then earliest deadline, then arrival. Waves of a model that holds them back for a
// swap are passed over and keep their place. Thread-safe.
//
// Whoever brings a short wave may run it itself, in the place of a lane that has nothing to do (TryBorrowLane): to hand
// it over would take longer than to run it.
//
// Invariants:
//  1. A job is in the queue at most once, and whoever gets it out (Pop or Remove) owns its end.
//  2. At most max_waves jobs wait, holding with the running ones at most max_bytes.
//  3. Lanes that have taken a job and lanes that are borrowed are never more than there are lanes.
#ifndef BWRT_RUNTIME_WAVE_QUEUE_H_
#define BWRT_RUNTIME_WAVE_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <set>

#include "absl/status/status.h"
#include "runtime/ids.h"
#include "runtime/mutex.h"
#include "runtime/wave_job.h"

namespace bwrt::runtime {

class WaveQueue {
 public:
  WaveQueue(int64_t max_waves, Bytes max_bytes, int max_prefetching = 1)
      : max_waves_(max_waves), max_bytes_(max_bytes), max_prefetching_(max_prefetching) {}

  // RESOURCE_EXHAUSTED, reason QUEUE_FULL, or UNAVAILABLE, reason DRAINING, once closed.
  absl::Status Push(const WaveJobPtr& job);

  // True: `job` is admitted, and the caller runs it on a lane's behalf and then calls ReturnLane. False: nothing has
  // happened, as no lane is idle, or others wait, or it could not start now, or would not be admitted: Push it.
  bool TryBorrowLane(const WaveJobPtr& job);
  void ReturnLane();

  // For lanes: blocks until a wave may go on after its prefetch, or one that needs none may start; null once the queue
  // is closed and no wave waits or is being prefetched.
  WaveJobPtr Pop();

  // For the thread that starts prefetches: blocks until a wave that needs one may start; null once the queue is closed
  // and none waits. It counts as being prefetched from here on.
  WaveJobPtr PopPrefetch();

  // Its prefetch has ended: a lane may take it up again.
  void PushReady(const WaveJobPtr& job);
  // A job from PopPrefetch has ended without PushReady or PutBack.
  void EndPrefetch();

  // Puts a popped job back in its place, closed or not: its model began to hold waves back after all.
  void PutBack(const WaveJobPtr& job);

  // True when the job was waiting and now belongs to the caller.
  bool Remove(const WaveJobPtr& job);

  // A job that was popped or removed has ended: its memory no longer counts.
  void Release(const WaveJob& job);

  // Waves that were held back may start now.
  void Wake();

  // No Push succeeds any more.
  void Close();

  size_t depth() const { return depth_.load(std::memory_order_relaxed); }
  // Whether a lane is blocked in Pop.
  bool lane_idle() const { return idle_.load(std::memory_order_relaxed) > 0; }  // Borrowed or not.

 private:
  struct Before {
    bool operator()(const WaveJobPtr& a, const WaveJobPtr& b) const;
  };
  // Takes out the first wave of one kind that may start; null when there is none.
  WaveJobPtr TakeLocked(bool needs_prefetch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NotifyAllLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void InsertLocked(const WaveJobPtr& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseLocked(std::set<WaveJobPtr, Before>::iterator at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t max_waves_;
  const Bytes max_bytes_;
  const int max_prefetching_;
  std::atomic<size_t> depth_{0};
  std::atomic<int> idle_{0};
  Mutex mu_;
  CondVar lanes_;       // Lanes wait here,
  CondVar prefetches_;  // and here the thread that starts prefetches.
  std::set<WaveJobPtr, Before> waiting_ ABSL_GUARDED_BY(mu_);
  std::deque<WaveJobPtr> ready_ ABSL_GUARDED_BY(mu_);
  int borrowed_ ABSL_GUARDED_BY(mu_) = 0;  // Of the idle lanes.
  int prefetching_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_QUEUE_H_
