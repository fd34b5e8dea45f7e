// CudaCounterWatch: a GPU's hardware counters, read once an interval through the plugin, and what they said last.
//
// Thread-safe. Readings are served from memory: whoever asks never waits for the GPU. While the device is out of
// service nothing is asked of it.
//
// 1. A sample is taken at the start, on the thread that creates the watch, and then on the executor an interval after
//    the one before has ended: never two at once, and none in a queue.
// 2. Values are served until the next sample, for kStale intervals at most: what is old is absent.
#ifndef BWRT_RUNTIME_CUDA_COUNTER_WATCH_H_
#define BWRT_RUNTIME_CUDA_COUNTER_WATCH_H_

#include <functional>
#include <memory>
#include <string>

#include "runtime/clock.h"
#include "runtime/cuda_connection.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/device_counters.h"
#include "runtime/executor.h"

namespace bwrt::runtime {

struct CudaCounterOptions {
  BwrtCudaCounterMode mode = BWRT_CUDA_COUNTERS_GPM;
  Duration interval = std::chrono::seconds(1);
  Clock* clock = nullptr;  // Null: no counters.
  // Told DeviceCounters::text whenever it has changed, the first time included, and whether anything counts. On the
  // thread that samples.
  std::function<void(const std::string& text, bool counting)> on_text{};
};

// What the plugin's values mean. The tensor pipes' share is of the time in which multiprocessors had work, so that a
// GPU that waits for waves does not look like one with small tiles; below kIdleSmActive of that time there is nothing
// to say.
inline constexpr float kIdleSmActive = 0.01F;
DeviceCounters ToDeviceCounters(const BwrtCudaCounters& counters);

class CudaCounterWatch {
 public:
  static constexpr int kStale = 4;

  // `options.clock` and `executor` must outlive it, and what is posted there may run later.
  CudaCounterWatch(std::shared_ptr<CudaConnection> connection, const CudaCounterOptions& options, Executor* executor);
  // Gives the counters back; waits for a sample under way.
  ~CudaCounterWatch();
  CudaCounterWatch(const CudaCounterWatch&) = delete;
  CudaCounterWatch& operator=(const CudaCounterWatch&) = delete;

  DeviceCounters Read() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;  // Shared with samples that come late.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_COUNTER_WATCH_H_
