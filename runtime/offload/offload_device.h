// OffloadDevice: several devices as one, each wave on the one that is predicted to be done with it first.
//
// The first device is the host's processor: it holds every tensor and can run every wave. Tensors that waves multiply
// with are copied to the other devices when they are uploaded, beside waves, as far as these have room; what has none
// there can still run there with its weights copied for the one wave, and the prediction counts that copy. So a
// version is whole wherever a wave that leases it runs, and a swap is one pointer as ever.
//
// A device that is out of service is not chosen; a wave that it lost fails, those that follow run elsewhere. A wave for
// whose operands a device has no memory runs on the first, as long as none of its tiles has begun. Thread-safe.
#ifndef BWRT_RUNTIME_OFFLOAD_OFFLOAD_DEVICE_H_
#define BWRT_RUNTIME_OFFLOAD_OFFLOAD_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/offload/cost_model.h"
#include "runtime/offload/offload_policy.h"
#include "runtime/offload/offload_tensor.h"

namespace bwrt::runtime {

class OffloadDevice final : public Device {
 public:
  struct Member {
    std::unique_ptr<Device> device;
    DeviceCosts costs;
    Bytes memory{};  // For copies of weights; of the first device it is not asked.
  };
  // Two members or more.
  OffloadDevice(std::vector<Member> members, const OffloadOptions& options);

  const DeviceInfo& info() const override { return info_; }
  std::vector<const DeviceInfo*> members() const override;
  DeviceCounters Counters(size_t member) const override { return members_[member].device->Counters(0); }
  Device& member(size_t index) override { return *members_[index].device; }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override;
  // Of the first device: it alone has layouts.
  Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const override;
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation room) override;
  // Of the device that would be chosen if all copies of stored weights had found room.
  EffectiveSpec Plan(const Wave& wave) const override;
  Duration RoughTime(const Wave& wave) const override;
  // The most that any of the devices would allocate.
  Bytes WorkingBytes(const Wave& wave) const override;
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override;

 private:
  struct Served {
    std::unique_ptr<Device> device;
    DeviceCosts costs;
    std::shared_ptr<CopyMemory> memory;  // Of its copies.
  };

  // An empty copy where the device has no room for the tensor, or is out of service.
  static OffloadTensor::Copy CopyTo(Served& member, const HostTensor& tensor);
  // `w` may be null: then a stored W counts as resident everywhere.
  Choice Place(const Wave& wave, const OffloadTensor* w) const;
  absl::StatusOr<WaveReport> RunOn(size_t device, const Wave& wave, const OffloadTensor* w, WaveProgress& progress,
                                   std::string& c);

  std::vector<Served> members_;
  const OffloadOptions options_;
  DeviceInfo info_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_OFFLOAD_DEVICE_H_
