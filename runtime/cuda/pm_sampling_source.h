// PmSamplingSource: hardware counters through PM sampling, which counts beside kernels without replaying them.
//
// Values are means over the samples of an interval by their time; the L2's hit rate is weighted by what was read, since
// that of an idle moment says nothing.
#ifndef BWRT_RUNTIME_CUDA_PM_SAMPLING_SOURCE_H_
#define BWRT_RUNTIME_CUDA_PM_SAMPLING_SOURCE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/cuda/cuda_counter_source.h"
#include "runtime/cuda/pm_sampler.h"

namespace bwrt::cuda {

// About a hundred samples an interval, but none shorter than 1 ms or longer than 100 ms, and room for several
// intervals.
PmSamplerOptions PmOptionsFor(int64_t interval_ns);

// What the samples say together. A value that is no number counts as not sampled.
CounterValues Summarise(const std::vector<PmSample>& samples);

class PmSamplingSource final : public CudaCounterSource {
 public:
  // FAILED when so many samplings in a row have found no sample at all.
  static constexpr int kMostEmpty = 3;

  explicit PmSamplingSource(std::unique_ptr<PmSampler> sampler) : sampler_(std::move(sampler)) {}
  ~PmSamplingSource() override { Stop(); }

  BwrtCudaCounterSource id() const override { return BWRT_CUDA_SOURCE_PM; }
  const char* name() const override { return "CUPTI PM sampling (tensor pipes, SMs, L2, DRAM)"; }
  CounterStatus Start(int64_t interval_ns) override;
  CounterStatus Sample(CounterValues* values) override;
  void Stop() override;

 private:
  const std::unique_ptr<PmSampler> sampler_;
  bool open_ = false;
  int empty_ = 0;
  std::vector<PmSample> samples_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_PM_SAMPLING_SOURCE_H_
