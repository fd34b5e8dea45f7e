// CudaCounterSource: something that counts what a GPU does: NVML's GPM or CUPTI's PM sampling.
//
// Not thread-safe. Of the whole GPU, whoever uses it.
//
// 1. Sample is called only between a Start that answered OK and the next Stop.
// 2. Whatever is missing, forbidden or busy is a CounterStatus in words; nothing is tried twice by itself.
// 3. A value that was not counted, or that can't be right, is below 0, never 0.
#ifndef BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCE_H_
#define BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

// Whether it helps to try again.
enum class CounterFault {
  kNone,
  kBusy,    // Another user holds the counters.
  kFailed,  // This call.
  kDenied,  // The process may not read them. It helps to restart it with the right, not to try again.
  kMissing  // A library, or the GPU can't.
};

class [[nodiscard]] CounterStatus {
 public:
  CounterStatus() = default;
  // `text`: why, and what mends it, for operators.
  CounterStatus(CounterFault fault, std::string text) : fault_(fault), text_(std::move(text)) {}
  bool ok() const { return fault_ == CounterFault::kNone; }
  CounterFault fault() const { return fault_; }
  const std::string& text() const { return text_; }

 private:
  CounterFault fault_ = CounterFault::kNone;
  std::string text_;
};

// Ratios in [0, 1]; below 0: not counted.
struct CounterValues {
  float tensor_active = -1;
  float l2_hit = -1;
  float dram_throughput = -1;
  float sm_active = -1;
};

class CudaCounterSource {
 public:
  virtual ~CudaCounterSource() = default;
  virtual BwrtCudaCounterSource id() const = 0;
  virtual const char* name() const = 0;  // "NVML GPM".
  // Begins to count; `interval_ns`: about how long it will be from one Sample to the next.
  virtual CounterStatus Start(int64_t interval_ns) = 0;
  // What was counted since the call before, or Start.
  virtual CounterStatus Sample(CounterValues* values) = 0;
  // Gives the counters back; Start may follow.
  virtual void Stop() = 0;
};

// A percentage as a ratio: -1 where it is none. Counters of different units are read one after the other, so that a
// little more than 100 can come out.
inline float RatioOfPercent(double percent) {
  constexpr double kMost = 110;
  if (!(percent >= 0 && percent <= kMost)) return -1;
  return static_cast<float>(percent < 100 ? percent / 100 : 1);
}

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_COUNTER_SOURCE_H_
