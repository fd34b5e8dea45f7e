// CpuDevice: waves on this machine's processors.
//
// A wave's tiles run one after another, in the traversal's order, on the lane that took it; several lanes run
// several waves at once. Everything is computed in f32, whatever the operands' type. Thread-safe.
#ifndef BWRT_RUNTIME_CPU_DEVICE_H_
#define BWRT_RUNTIME_CPU_DEVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cpu_info.h"
#include "runtime/clock.h"
#include "runtime/device.h"

namespace bwrt::runtime {

class CpuDevice final : public Device {
 public:
  // UNAVAILABLE when this processor can't run the kernels.
  static absl::StatusOr<std::unique_ptr<CpuDevice>> Create(const kernels::CpuInfo& cpu, Clock* clock);

  const DeviceInfo& info() const override { return info_; }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override;
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor) override;
  EffectiveSpec Plan(const Wave& wave) const override;
  Bytes WorkingBytes(const Wave& wave) const override;
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override;

 private:
  CpuDevice(DeviceInfo info, int64_t l2_bytes, Clock* clock)
      : info_(std::move(info)), l2_bytes_(l2_bytes), clock_(clock) {}

  const DeviceInfo info_;
  const int64_t l2_bytes_;
  Clock* const clock_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CPU_DEVICE_H_
