// Lanes: one device, the queue in front of it and the threads that run its waves.
//
// Owned by the Runtime. Each lane takes one wave at a time: lease, run, retire, observers, callback.
#ifndef BWRT_RUNTIME_LANES_H_
#define BWRT_RUNTIME_LANES_H_

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/observer.h"
#include "runtime/sample_recorder.h"
#include "runtime/wave_queue.h"

namespace bwrt::runtime {

class Lanes {
 public:
  // `on_end` is called for every job that ends, before its callback. Everything passed by pointer must
  // outlive the lanes.
  Lanes(std::unique_ptr<Device> device, int lanes, int64_t queue_waves, Bytes queue_bytes, Clock* clock,
        RuntimeObserver* observer, std::function<void(const WaveJobPtr&)> on_end);
  // Closes the queue, runs what is in it, joins the threads.
  ~Lanes();

  Device& device() { return *device_; }
  const Device& device() const { return *device_; }
  WaveQueue& queue() { return queue_; }
  const WaveQueue& queue() const { return queue_; }
  const SampleRecorder& samples() const { return samples_; }
  int count() const { return static_cast<int>(threads_.size()); }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  // Ends a job that never ran with `why`. The caller must own it: it came out of the queue.
  void Drop(const WaveJobPtr& job, const absl::Status& why);

 private:
  void Loop();
  // False when the wave is held back and was not run.
  bool TryRun(const WaveJobPtr& job);
  absl::StatusOr<WaveResult> RunLeased(const WaveJob& job, Lease& lease);
  void Finish(const WaveJobPtr& job, absl::StatusOr<WaveResult> result);

  const std::unique_ptr<Device> device_;
  Clock* const clock_;
  RuntimeObserver* const observer_;
  const std::function<void(const WaveJobPtr&)> on_end_;
  WaveQueue queue_;
  SampleRecorder samples_;
  std::atomic<int64_t> in_flight_{0};
  std::vector<std::thread> threads_;  // Last: they use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_LANES_H_
