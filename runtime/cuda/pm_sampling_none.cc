// In place of pm_sampling_cupti.cc where the toolkit has no headers of CUPTI.
#include "runtime/cuda/pm_sampling.h"

namespace bwrt::cuda {
namespace {

constexpr char kWhy[] = "the plugin was built without CUPTI: build it where the toolkit has cupti_pmsampling.h";

class NoPmSampler final : public PmSampler {
 public:
  CounterStatus Open(const PmSamplerOptions& /*options*/) override { return {CounterFault::kMissing, kWhy}; }
  CounterStatus Decode(std::vector<PmSample>* /*to*/) override { return {CounterFault::kMissing, kWhy}; }
  void Close() override {}
};

}  // namespace

std::unique_ptr<PmSampler> MakePmSampler(int /*ordinal*/) { return std::make_unique<NoPmSampler>(); }

}  // namespace bwrt::cuda
