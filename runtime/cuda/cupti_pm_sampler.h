// The PmSampler of a GPU, on CUPTI.
//
// 1. No call follows one that failed, but those that close what has been opened.
// 2. Counters are taken last, when it is known what to count and that one pass is enough, and are always given back.
#ifndef BWRT_RUNTIME_CUDA_CUPTI_PM_SAMPLER_H_
#define BWRT_RUNTIME_CUDA_CUPTI_PM_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/cuda/cupti_host.h"
#include "runtime/cuda/cupti_library.h"
#include "runtime/cuda/pm_sampler.h"

namespace bwrt::cuda {

class CuptiPmSampler final : public PmSampler {
 public:
  // Touches neither GPU nor library before it is opened. `ordinal`: as CUDA counts. `load` finds the library; `enter`
  // makes the GPU current on the calling thread.
  CuptiPmSampler(int ordinal, std::function<CounterStatus(CuptiLibrary* to)> load,
                 std::function<CounterStatus()> enter);
  ~CuptiPmSampler() override;
  CounterStatus Open(const PmSamplerOptions& options) override;
  CounterStatus Decode(std::vector<PmSample>* to) override;
  void Close() override;

 private:
  // What to count on this GPU, and how.
  CounterStatus Configure();
  // Takes the counters and sets them up; then they run.
  CounterStatus Begin(const PmSamplerOptions& options);
  CounterStatus ClearData();
  CounterStatus Append(size_t sample, std::vector<PmSample>* to);

  const size_t ordinal_;
  const std::function<CounterStatus(CuptiLibrary* to)> load_;
  const std::function<CounterStatus()> enter_;
  CuptiLibrary cupti_;
  bool loaded_ = false;
  std::vector<uint8_t> availability_;  // Of the GPU's counters; kept as long as the host.
  std::unique_ptr<CuptiHost> host_;
  CUpti_PmSampling_Object* sampling_ = nullptr;
  bool started_ = false;
  std::vector<uint8_t> data_;  // What has been decoded, in CUPTI's form.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUPTI_PM_SAMPLER_H_
