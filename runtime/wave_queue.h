// WaveQueue: the bounded queue in front of a device's lanes.
//
// Highest priority first, then earliest deadline, then arrival. Waves of a model that holds them back for a
// swap are passed over and keep their place. Thread-safe.
//
// Invariants:
//  1. A job is in the queue at most once, and whoever gets it out (Pop or Remove) owns its end.
//  2. At most max_waves jobs wait, holding with the running ones at most max_bytes.
#ifndef BWRT_RUNTIME_WAVE_QUEUE_H_
#define BWRT_RUNTIME_WAVE_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <set>

#include "absl/status/status.h"
#include "runtime/ids.h"
#include "runtime/mutex.h"
#include "runtime/wave_job.h"

namespace bwrt::runtime {

class WaveQueue {
 public:
  WaveQueue(int64_t max_waves, Bytes max_bytes) : max_waves_(max_waves), max_bytes_(max_bytes) {}

  // RESOURCE_EXHAUSTED, reason QUEUE_FULL, or UNAVAILABLE, reason DRAINING, once closed.
  absl::Status Push(const WaveJobPtr& job);

  // Blocks until a wave may start; null once the queue is closed and empty.
  WaveJobPtr Pop();

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

 private:
  struct Before {
    bool operator()(const WaveJobPtr& a, const WaveJobPtr& b) const;
  };
  void InsertLocked(const WaveJobPtr& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseLocked(std::set<WaveJobPtr, Before>::iterator at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t max_waves_;
  const Bytes max_bytes_;
  std::atomic<size_t> depth_{0};
  Mutex mu_;
  CondVar changed_;
  std::set<WaveJobPtr, Before> waiting_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_QUEUE_H_
