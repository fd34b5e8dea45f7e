// FakeCounterSource: a source of hardware counters that does what a test says, and what a test may look at.
#ifndef BWRT_TESTS_RUNTIME_CUDA_FAKE_COUNTER_SOURCE_H_
#define BWRT_TESTS_RUNTIME_CUDA_FAKE_COUNTER_SOURCE_H_

#include <cstdint>

#include "runtime/cuda/cuda_counter_source.h"

namespace bwrt::cuda {

// Outlives its sources; for tests of one thread.
struct CounterScript {
  CounterStatus start;
  CounterStatus sample;
  CounterValues values;
  int starts = 0;  // That were tried.
  int samples = 0;
  bool counting = false;
  int64_t interval_ns = 0;
};

class FakeCounterSource final : public CudaCounterSource {
 public:
  FakeCounterSource(BwrtCudaCounterSource id, const char* name, CounterScript* script)
      : id_(id), name_(name), script_(script) {}

  BwrtCudaCounterSource id() const override { return id_; }
  const char* name() const override { return name_; }
  CounterStatus Start(int64_t interval_ns) override {
    ++script_->starts;
    script_->interval_ns = interval_ns;
    script_->counting = script_->start.ok();
    return script_->start;
  }
  CounterStatus Sample(CounterValues* values) override {
    ++script_->samples;
    if (script_->sample.ok()) *values = script_->values;
    return script_->sample;
  }
  void Stop() override { script_->counting = false; }

 private:
  const BwrtCudaCounterSource id_;
  const char* const name_;
  CounterScript* const script_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_TESTS_RUNTIME_CUDA_FAKE_COUNTER_SOURCE_H_
