// FaultyDevice: another device with a fault in it, which shows in waves of some sizes and in no others.
//
// Whether a wave meets the fault depends on the wave alone, so that it meets it again. Thread-safe, as the device is.
#ifndef BWRT_TESTS_SUPPORT_FAULTY_DEVICE_H_
#define BWRT_TESTS_SUPPORT_FAULTY_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "runtime/device.h"

namespace bwrt::runtime {

class FaultyDevice final : public Device {
 public:
  enum class Fault {
    kWrongElement,  // One bit of C[kRow, kColumn] is flipped: the upper one of its exponent.
    kError,         // The wave fails.
    kDeath,         // The process dies.
  };

  // Waves whose C has such an element meet the fault.
  static constexpr int64_t kRow = 150;
  static constexpr int64_t kColumn = 130;

  FaultyDevice(std::unique_ptr<Device> device, Fault fault) : device_(std::move(device)), fault_(fault) {}

  const DeviceInfo& info() const override { return device_->info(); }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override {
    return device_->Upload(std::move(tensor), budget);
  }
  Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const override {
    return device_->LayoutBytes(type, predecessor);
  }
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation room) override {
    return device_->Prepare(tensor, predecessor, std::move(room));
  }
  EffectiveSpec Plan(const Wave& wave) const override { return device_->Plan(wave); }
  Duration RoughTime(const Wave& wave) const override { return device_->RoughTime(wave); }
  Bytes WorkingBytes(const Wave& wave) const override { return device_->WorkingBytes(wave); }

  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override {
    const bool meets = wave.grid.m > kRow && wave.grid.n > kColumn;
    if (meets && fault_ == Fault::kDeath) std::abort();
    if (meets && fault_ == Fault::kError) return absl::InternalError("a fault of the device");
    auto report = device_->Run(wave, w, progress, c);
    if (!report.ok() || !meets) return report;
    const int64_t bytes = kernels::SizeOf(wave.c_dtype);
    // Little-endian: the sign and the upper bits of the exponent are in the last byte of each type.
    char& upper = c[static_cast<size_t>((kRow * wave.c_stride + kColumn + 1) * bytes - 1)];
    upper = static_cast<char>(upper ^ 0x40);
    return report;
  }

 private:
  const std::unique_ptr<Device> device_;
  const Fault fault_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_FAULTY_DEVICE_H_
