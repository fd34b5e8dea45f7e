#include "runtime/cuda/pm_sampling_source.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace bwrt::cuda {
namespace {

class WeightedMean {
 public:
  void Add(double value, double weight) {
    if (!std::isfinite(value) || !std::isfinite(weight) || weight <= 0) return;
    sum_ += value * weight;
    weight_ += weight;
  }
  float Ratio() const { return weight_ > 0 ? RatioOfPercent(sum_ / weight_) : -1; }

 private:
  double sum_ = 0;
  double weight_ = 0;
};

}  // namespace

PmSamplerOptions PmOptionsFor(int64_t interval_ns) {
  constexpr int64_t kSamples = 100;
  constexpr int64_t kIntervals = 8;  // That a late call may have missed.
  constexpr int64_t kShortest = 1'000'000;
  constexpr int64_t kLongest = 100'000'000;
  PmSamplerOptions options;
  options.period_ns = std::clamp(interval_ns / kSamples, kShortest, kLongest);
  options.most_samples = static_cast<uint32_t>(kIntervals * std::max(kSamples, interval_ns / options.period_ns));
  return options;
}

CounterValues Summarise(const std::vector<PmSample>& samples) {
  WeightedMean tensor;
  WeightedMean l2;
  WeightedMean dram;
  WeightedMean sm;
  for (const PmSample& sample : samples) {
    if (sample.end_ns <= sample.begin_ns) continue;
    const auto time = static_cast<double>(sample.end_ns - sample.begin_ns);
    tensor.Add(sample.values[kPmTensorActive], time);
    dram.Add(sample.values[kPmDramThroughput], time);
    sm.Add(sample.values[kPmSmActive], time);
    l2.Add(sample.values[kPmL2Hit], sample.values[kPmL2ReadSectors]);
  }
  return {tensor.Ratio(), l2.Ratio(), dram.Ratio(), sm.Ratio()};
}

CounterStatus PmSamplingSource::Start(int64_t interval_ns) {
  open_ = true;
  empty_ = 0;
  CounterStatus status = sampler_->Open(PmOptionsFor(interval_ns));
  if (!status.ok()) Stop();
  return status;
}

CounterStatus PmSamplingSource::Sample(CounterValues* values) {
  samples_.clear();
  if (CounterStatus status = sampler_->Decode(&samples_); !status.ok()) return status;
  if (!samples_.empty()) {
    empty_ = 0;
    *values = Summarise(samples_);
    return {};
  }
  if (++empty_ < kMostEmpty) return {};
  return {CounterFault::kFailed, "no samples in " + std::to_string(kMostEmpty) + " intervals"};
}

void PmSamplingSource::Stop() {
  if (std::exchange(open_, false)) sampler_->Close();
}

}  // namespace bwrt::cuda
