// PmSampler: exactly the calls of a profiler that PmSamplingSource makes, so that all that decides can be tested
// without a GPU. The real one is cupti_pm_sampler.h.
#ifndef BWRT_RUNTIME_CUDA_PM_SAMPLER_H_
#define BWRT_RUNTIME_CUDA_PM_SAMPLER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/cuda/cuda_counter_source.h"

namespace bwrt::cuda {

// What is sampled, by place in PmSample::values. One set that a GH100 (H100, H200) counts in a single pass, which PM
// sampling demands; tests ask CUPTI whether it still is.
enum PmMetric : size_t { kPmTensorActive, kPmL2Hit, kPmDramThroughput, kPmSmActive, kPmL2ReadSectors, kPmMetrics };

inline constexpr std::array<const char*, kPmMetrics> kPmMetricNames = {
    "TPC.TriageCompute.sm__pipe_tensor_cycles_active_realtime.avg.pct_of_peak_sustained_elapsed",
    "LTS.TriageCompute.lts__average_t_sector_hit_rate_realtime.pct",
    "FBSP.TriageCompute.dramc__throughput.avg.pct_of_peak_sustained_elapsed",
    "TPC.TriageCompute.sm__cycles_active.avg.pct_of_peak_sustained_elapsed",
    "SM_A.TriageCompute.l1tex__m_xbar2l1tex_read_sectors_realtime.sum",
};

// One short stretch of time: percentages, and a number of sectors.
struct PmSample {
  uint64_t begin_ns = 0;
  uint64_t end_ns = 0;
  std::array<double, kPmMetrics> values = {};
};

struct PmSamplerOptions {
  int64_t period_ns = 0;      // From one sample to the next.
  uint32_t most_samples = 0;  // That there is room for between two calls of Decode.
};

// Not thread-safe.
class PmSampler {
 public:
  virtual ~PmSampler() = default;
  // Takes the GPU's performance counters, of which there is one set, and begins to sample.
  virtual CounterStatus Open(const PmSamplerOptions& options) = 0;
  // Appends the samples that are whole and have not been told before. FAILED after an overflow: samples were lost.
  virtual CounterStatus Decode(std::vector<PmSample>* to) = 0;
  // Gives the counters back. Also after an Open that failed.
  virtual void Close() = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_PM_SAMPLER_H_
