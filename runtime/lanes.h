// Lanes: one device, the queue in front of it and the threads that run its waves.
//
// Owned by the Runtime. A lane takes one wave at a time: lease, run, retire, observers, callback. Where a page source
// is configured, one more thread starts the waves that need a prefetch; their pages come in while the lanes run others,
// and only then a lane takes them.
#ifndef BWRT_RUNTIME_LANES_H_
#define BWRT_RUNTIME_LANES_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/observer.h"
#include "runtime/prefetcher.h"
#include "runtime/sample_recorder.h"
#include "runtime/wave_queue.h"

namespace bwrt::runtime {

class Lanes {
 public:
  // `on_end` is called for every job that ends, before its callback. Everything passed by pointer must
  // outlive the lanes.
  // `prefetcher` may be null: then io_extents only advance the token clock.
  Lanes(Device* device, std::unique_ptr<Prefetcher> prefetcher, int lanes, int64_t queue_waves, Bytes queue_bytes,
        Clock* clock, RuntimeObserver* observer, std::function<void(const WaveJobPtr&)> on_end);
  // Closes the queue, runs what is in it, joins the threads.
  ~Lanes();

  Device& device() { return *device_; }
  const Device& device() const { return *device_; }
  WaveQueue& queue() { return queue_; }
  const WaveQueue& queue() const { return queue_; }
  const Prefetcher* prefetcher() const { return prefetcher_.get(); }
  // What would run.
  EffectiveSpec Plan(const Wave& wave) const;
  // Of the device's member with this index.
  const SampleRecorder& samples(size_t member) const { return samples_[member]; }
  int count() const { return lanes_; }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  // Runs `job` on this thread, on behalf of a lane that has nothing to do; it has ended, callback and all, when this
  // returns true. False: nothing has happened.
  bool TryRunHere(const WaveJobPtr& job);

  // Ends a job that never ran with `why`. The caller must own it: it came out of the queue.
  void Drop(const WaveJobPtr& job, const absl::Status& why);

 private:
  void LaneLoop();
  void PrefetchLoop();
  // Starts a popped wave; one that needs no prefetch also runs.
  void Begin(const WaveJobPtr& job);
  // False when the wave is held back and was not started.
  bool TryStart(const WaveJobPtr& job);
  void Prefetch(const WaveJobPtr& job);
  void RunStarted(const WaveJobPtr& job);
  absl::StatusOr<WaveResult> RunLeased(WaveJob& job);
  SampleRecorder& SamplesOf(const std::string& device);
  void AddExtentsDowngrade(const Wave& wave, EffectiveSpec* effective) const;
  void Finish(const WaveJobPtr& job, absl::StatusOr<WaveResult> result);

  const int lanes_;
  Device* const device_;
  Clock* const clock_;
  RuntimeObserver* const observer_;
  const std::function<void(const WaveJobPtr&)> on_end_;
  WaveQueue queue_;
  const std::unique_ptr<Prefetcher> prefetcher_;
  std::vector<SampleRecorder> samples_;  // One for each of the device's members.
  std::atomic<int64_t> in_flight_{0};
  std::vector<std::thread> threads_;  // Last: they use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_LANES_H_
