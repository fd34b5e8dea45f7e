// NvmlGpmSource: hardware counters through NVML's GPU performance monitoring: Hopper and later, without privileges.
//
// It has no L2 hit rate. Each value is of the time between two samples that it keeps.
#ifndef BWRT_RUNTIME_CUDA_NVML_GPM_SOURCE_H_
#define BWRT_RUNTIME_CUDA_NVML_GPM_SOURCE_H_

#include <memory>
#include <string>

#include "runtime/cuda/cuda_counter_source.h"
#include "runtime/cuda/nvml_library.h"

namespace bwrt::cuda {

class NvmlGpmSource final : public CudaCounterSource {
 public:
  using Load = CounterStatus (*)(NvmlLibrary* to);

  // `pci_bus_id`: "0000:1b:00.0". NVML numbers GPUs in another order than CUDA and does not know CUDA_VISIBLE_DEVICES.
  // `load` is NvmlLibrary::Load but in tests.
  NvmlGpmSource(std::string pci_bus_id, Load load);
  ~NvmlGpmSource() override;

  BwrtCudaCounterSource id() const override { return BWRT_CUDA_SOURCE_GPM; }
  const char* name() const override { return "NVML GPM (tensor pipes, SMs, DRAM)"; }
  CounterStatus Start(int64_t interval_ns) override;
  CounterStatus Sample(CounterValues* values) override;
  void Stop() override;

 private:
  CounterStatus Open();
  CounterStatus Check(const char* call, int code) const;

  const std::string pci_bus_id_;
  const Load load_;
  NvmlLibrary nvml_;
  bool loaded_ = false;
  bool initialised_ = false;
  NvmlDevice device_ = nullptr;
  NvmlGpmSample earlier_ = nullptr;
  NvmlGpmSample later_ = nullptr;
  std::unique_ptr<NvmlGpmMetricsGet> metrics_;  // 20 KiB.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_NVML_GPM_SOURCE_H_
