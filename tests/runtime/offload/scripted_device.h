// ScriptedDevice: a device that takes the time a test says, on a manual clock, and computes nothing.
//
// C becomes copies of the device's letter and of W's first byte, so that a result tells where the wave ran and with
// which weights. Thread-safe as far as its clock's users are.
#ifndef BWRT_TESTS_RUNTIME_OFFLOAD_SCRIPTED_DEVICE_H_
#define BWRT_TESTS_RUNTIME_OFFLOAD_SCRIPTED_DEVICE_H_

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/mutex.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {

class ScriptedDevice final : public Device {
 public:
  // Seconds.
  struct Script {
    double fixed = 0;
    std::array<double, kernels::kDTypes> per_flop{};
    double per_weight_byte = 0;
    double per_operand_byte = 0;
    double per_load_byte = 0;
  };

  class Tensor final : public DeviceTensor {
   public:
    Tensor(HostTensor host, ScriptedDevice* device)
        : DeviceTensor(std::move(host.type)), data_(std::move(host.data)), device_(device) {
      device_->Count(+1);
    }
    ~Tensor() override { device_->Count(-1); }
    absl::Status Read(int64_t offset, int64_t bytes, char* to) const override {
      std::copy_n(data_.data() + offset, bytes, to);
      return absl::OkStatus();
    }
    const ScriptedDevice* device() const { return device_; }
    char first_byte() const { return data_.data()[0]; }

   private:
    const WeightBuffer data_;
    ScriptedDevice* const device_;
  };

  ScriptedDevice(std::string name, const Script& script, ManualClock* clock) : script_(script), clock_(clock) {
    info_.name = std::move(name);
    info_.description = "scripted";
    info_.dtypes = {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16};
    info_.kernels = {"scripted"};
    info_.versions = {{"driver", "1"}};
  }

  // ---- The test's side
  void SetServing(absl::Status status) {
    MutexLock lock(mu_);
    serving_ = std::move(status);
  }
  void FailUploads(absl::Status status) {
    MutexLock lock(mu_);
    upload_status_ = std::move(status);
  }
  // What waves end with; before their first token, or after it.
  void FailRuns(absl::Status status, bool after_begin = false) {
    MutexLock lock(mu_);
    run_status_ = std::move(status);
    fail_after_begin_ = after_begin;
  }
  int tensors() const {
    MutexLock lock(mu_);
    return tensors_;
  }
  int runs() const {
    MutexLock lock(mu_);
    return runs_;
  }
  // Waves that brought their W, or had it brought, since the beginning.
  int loads() const {
    MutexLock lock(mu_);
    return loads_;
  }

  // ---- The runtime's side
  const DeviceInfo& info() const override { return info_; }
  absl::Status CheckServing() const override {
    MutexLock lock(mu_);
    return serving_;
  }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override {
    {
      MutexLock lock(mu_);
      if (!upload_status_.ok()) return upload_status_;
      if (!serving_.ok()) return serving_;
    }
    if (!tensor.data.charged()) {
      auto reservation = budget.Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
      if (!reservation.ok()) return reservation.status();
      tensor.data.Charge(*std::move(reservation));
    }
    return std::make_shared<Tensor>(std::move(tensor), this);
  }
  Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const override {
    CheckOwn(predecessor);
    return type.bytes();
  }
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation /*room*/) override {
    CheckOwn(&tensor);
    CheckOwn(predecessor);
    return absl::OkStatus();
  }
  EffectiveSpec Plan(const Wave& /*wave*/) const override {
    EffectiveSpec effective;
    effective.device = info_.name;
    return effective;
  }
  Duration RoughTime(const Wave& /*wave*/) const override { return std::chrono::seconds(info_.name.size()); }
  Bytes WorkingBytes(const Wave& /*wave*/) const override { return Bytes(static_cast<int64_t>(info_.name.size())); }
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override {
    CheckOwn(w);
    {
      MutexLock lock(mu_);
      ++runs_;
      if (w == nullptr) ++loads_;
      if (!run_status_.ok() && !fail_after_begin_) return run_status_;
    }
    const auto tokens = wave.tokens.last();
    if (absl::Status status = progress.Step(std::nullopt, tokens); !status.ok()) return status;
    {
      MutexLock lock(mu_);
      if (!run_status_.ok()) return run_status_;
    }
    const auto m = static_cast<double>(wave.grid.m);
    const auto n = static_cast<double>(wave.grid.n);
    const auto k = static_cast<double>(wave.k);
    const auto size = static_cast<double>(kernels::SizeOf(wave.dtype));
    const double compute = std::max(2 * m * n * k * script_.per_flop[static_cast<size_t>(wave.dtype)],
                                    n * k * size * script_.per_weight_byte);
    const double operands = (m * k * size + m * n * static_cast<double>(kernels::SizeOf(wave.c_dtype)));
    const double load = w == nullptr ? n * k * size * script_.per_load_byte : 0;
    const double copy = operands * script_.per_operand_byte + load;
    WaveReport report;
    report.effective = Plan(wave);
    report.timings.compute = ToDuration(compute);
    report.timings.copy = ToDuration(copy);
    clock_->Advance(ToDuration(script_.fixed + compute + copy));
    const char byte =
        w == nullptr ? *reinterpret_cast<const char*>(wave.w->data) : static_cast<const Tensor*>(w)->first_byte();
    c = absl::StrCat(info_.name.substr(0, 1), std::string(1, byte));
    return report;
  }

 private:
  static Duration ToDuration(double seconds) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
  void CheckOwn(const DeviceTensor* tensor) const {
    if (tensor == nullptr) return;
    const auto* const own = dynamic_cast<const Tensor*>(tensor);
    if (own == nullptr || own->device() != this) std::abort();  // A tensor of another device: no test goes on.
  }
  void Count(int change) {
    MutexLock lock(mu_);
    tensors_ += change;
  }

  const Script script_;
  ManualClock* const clock_;
  DeviceInfo info_;
  mutable Mutex mu_;
  absl::Status serving_ ABSL_GUARDED_BY(mu_);
  absl::Status upload_status_ ABSL_GUARDED_BY(mu_);
  absl::Status run_status_ ABSL_GUARDED_BY(mu_);
  bool fail_after_begin_ ABSL_GUARDED_BY(mu_) = false;
  int tensors_ ABSL_GUARDED_BY(mu_) = 0;
  int runs_ ABSL_GUARDED_BY(mu_) = 0;
  int loads_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_OFFLOAD_SCRIPTED_DEVICE_H_
