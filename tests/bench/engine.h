// Engine: the CPU device in this process, given waves as the daemon gives them to it, without queue, lease or wire.
//
// Not thread-safe.
#ifndef BWRT_TESTS_BENCH_ENGINE_H_
#define BWRT_TESTS_BENCH_ENGINE_H_

#include <memory>
#include <string>

#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"
#include "runtime/cpu_device.h"
#include "runtime/system_clock.h"
#include "runtime/wave.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "runtime/weight_version.h"

namespace bwrt::bench {

class Engine {
 public:
  Engine();

  const runtime::DeviceInfo& info() const { return device_->info(); }

  // What later waves take their W from.
  void SetWeights(const v1::SetWeightsRequest& request);
  // Validates a wave, which Run then runs again and again.
  void SetWave(const v1::SubmitWaveRequest& request);

  // Runs it; the seconds that took. The memory of C is new each time: the daemon's C leaves with the answer.
  double Run();
  // Of the last one.
  const std::string& c() const { return c_; }

 private:
  runtime::SystemClock clock_;
  runtime::WeightMemory memory_;
  runtime::WeightBudget budget_;
  std::unique_ptr<runtime::CpuDevice> device_;
  runtime::WeightVersion::Ptr version_;
  runtime::Wave wave_;
  std::string c_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_ENGINE_H_
