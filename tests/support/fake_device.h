// FakeDevice: a device that computes nothing and stops where a test tells it to.
//
// A wave runs its tokens one after another. Unless the device is held, it runs straight through; while it is
// held, every wave stops in each token until the test lets it on, so that a test can look at, cancel or swap
// beneath a wave of which it knows exactly how far it has come. A wave stopped in token t has the clock [t, t].
// The device is not asked for prefetch tokens: it begins in the last of them, P - 1, or in token 0.
//
// Waves are known by their wave_id; give them different ones. Thread-safe. Owned by the runtime under test,
// which must let waves end before it goes: call Release() first.
#ifndef BWRT_TESTS_SUPPORT_FAKE_DEVICE_H_
#define BWRT_TESTS_SUPPORT_FAKE_DEVICE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/device.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class FakeDevice final : public Device {
 public:
  // A tensor that keeps the bytes it was made of, charged to the budget as a device's must be.
  class Tensor final : public DeviceTensor {
   public:
    using OnFree = std::function<void(const std::string& name)>;

    Tensor(HostTensor host, std::shared_ptr<std::atomic<int>> live, OnFree on_free)
        : DeviceTensor(std::move(host.type)),
          name_(std::move(host.name)),
          data_(std::move(host.data)),
          live_(std::move(live)),
          on_free_(std::move(on_free)) {
      live_->fetch_add(1);
    }
    ~Tensor() override {
      live_->fetch_sub(1);
      if (on_free_) on_free_(name_);
    }
    const std::string& name() const { return name_; }
    absl::string_view data() const { return data_.view(); }

    absl::Status Read(int64_t offset, int64_t bytes, char* to) const override {
      std::copy_n(data_.data() + offset, bytes, to);
      return absl::OkStatus();
    }

   private:
    const std::string name_;
    const WeightBuffer data_;
    const std::shared_ptr<std::atomic<int>> live_;
    const OnFree on_free_;
  };

  FakeDevice() {
    info_.name = "fake";
    info_.description = "a device for tests";
    info_.dtypes = {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16};
    info_.kernels = {"fake-kernel"};
  }

  // ---- The test's side

  // What the device says a wave takes; it knows nothing before.
  void SayRoughTime(Duration time) { rough_time_.store(time.count()); }
  // From now on waves stop in every token.
  void Hold() {
    MutexLock lock(mu_);
    held_ = true;
  }
  // Lets every wave, those to come too, run to its end.
  void Release() {
    MutexLock lock(mu_);
    held_ = false;
    changed_.NotifyAll();
  }
  // Lets `wave_id` go on until it is in `token`, and returns when it is there or further.
  void AdvanceTo(const std::string& wave_id, int64_t token) {
    MutexLock lock(mu_);
    gates_[wave_id].until = std::max(gates_[wave_id].until, token);
    changed_.NotifyAll();
    while (gates_[wave_id].token < token) changed_.Wait(mu_);
  }
  // Returns once `wave_id` has begun.
  void AwaitStart(const std::string& wave_id) { AdvanceTo(wave_id, 0); }
  // Lets `wave_id` run on until the runtime stops it: it stays in its last token and asks again and again.
  void RunUntilStopped(const std::string& wave_id) {
    MutexLock lock(mu_);
    gates_[wave_id].never_ends = true;
    gates_[wave_id].until = std::numeric_limits<int64_t>::max();
    changed_.NotifyAll();
  }
  // Lets `wave_id` run to its end; its callback tells when.
  void Finish(const std::string& wave_id) {
    MutexLock lock(mu_);
    gates_[wave_id].until = std::numeric_limits<int64_t>::max();
    changed_.NotifyAll();
  }

  // What Run, Upload and Prepare answer from now on, unless OK.
  void FailRuns(absl::Status status) {
    MutexLock lock(mu_);
    run_status_ = std::move(status);
  }
  void FailUploads(absl::Status status) {
    MutexLock lock(mu_);
    upload_status_ = std::move(status);
  }
  void FailPrepares(absl::Status status) {
    MutexLock lock(mu_);
    prepare_status_ = std::move(status);
  }
  // Called with the name of each tensor, uploaded from now on, when it is freed.
  void OnTensorFreed(Tensor::OnFree on_free) {
    MutexLock lock(mu_);
    on_free_ = std::move(on_free);
  }
  // The readings each wave reports from now on.
  void SetReadings(Readings readings) {
    MutexLock lock(mu_);
    readings_ = readings;
  }

  // What hardware counters say of it from now on.
  void SetCounters(DeviceCounters counters) {
    MutexLock lock(mu_);
    counters_ = std::move(counters);
  }
  DeviceCounters Counters(size_t /*member*/) const override {
    MutexLock lock(mu_);
    return counters_;
  }

  // Ids of the waves that have begun, in that order.
  std::vector<std::string> started() const {
    MutexLock lock(mu_);
    return started_;
  }
  // Names of the tensors uploaded, in that order; "name<-name" where one was prepared like a predecessor.
  std::vector<std::string> uploads() const {
    MutexLock lock(mu_);
    return uploads_;
  }
  // Tensors that exist. May be kept beyond the device's life.
  std::shared_ptr<const std::atomic<int>> live_tensors() const { return live_; }

  // ---- The runtime's side

  const DeviceInfo& info() const override { return info_; }

  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override {
    if (!tensor.data.charged()) {
      auto reservation = budget.Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
      if (!reservation.ok()) return reservation.status();
      tensor.data.Charge(*std::move(reservation));
    }
    MutexLock lock(mu_);
    if (!upload_status_.ok()) return upload_status_;
    uploads_.push_back(tensor.name);
    return std::make_shared<Tensor>(std::move(tensor), live_, on_free_);
  }

  Bytes LayoutBytes(const TensorType& /*type*/, const DeviceTensor* /*predecessor*/) const override { return Bytes(0); }
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation /*room*/) override {
    MutexLock lock(mu_);
    if (!prepare_status_.ok()) return prepare_status_;
    if (predecessor == nullptr) return absl::OkStatus();
    const auto at = std::find(uploads_.rbegin(), uploads_.rend(), static_cast<const Tensor&>(tensor).name());
    if (at != uploads_.rend()) *at += "<-" + static_cast<const Tensor*>(predecessor)->name();
    return absl::OkStatus();
  }

  Bytes WorkingBytes(const Wave& /*wave*/) const override { return Bytes(0); }
  Duration RoughTime(const Wave& /*wave*/) const override { return Duration(rough_time_.load()); }
  EffectiveSpec Plan(const Wave& wave) const override {
    EffectiveSpec effective;
    effective.device = info_.name;
    effective.kernel = info_.kernels[0];
    effective.k_step = wave.tile.bk;
    return effective;
  }

  // C becomes copies of the first bytes of W: which version a wave ran with can be read from its result.
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override {
    {
      MutexLock lock(mu_);
      started_.push_back(wave.wave_id);
      gates_[wave.wave_id];
    }
    absl::Status status = RunTokens(wave, progress);
    WaveReport report;
    {
      MutexLock lock(mu_);
      gates_.erase(wave.wave_id);
      if (status.ok()) status = run_status_;
      report.readings = readings_;
    }
    if (!status.ok()) return status;
    const std::string pattern(w == nullptr ? "none" : static_cast<const Tensor*>(w)->data().substr(0, 4));
    c.clear();
    while (static_cast<int64_t>(c.size()) < wave.c_bytes.value()) c += pattern;
    c.resize(static_cast<size_t>(wave.c_bytes.value()));
    report.effective = Plan(wave);
    report.timings.compute = std::chrono::milliseconds(1);
    return report;
  }

 private:
  std::atomic<int64_t> rough_time_{Duration::max().count()};

  struct Gate {
    int64_t token = -1;  // That the wave is in; -1 before it begins.
    int64_t until = 0;   // It may go on until it is in this one.
    bool never_ends = false;
  };

  absl::Status RunTokens(const Wave& wave, WaveProgress& progress) {
    if (absl::Status status = progress.Step({}, {}); !status.ok()) return status;
    for (int64_t token = std::max<int64_t>(wave.tokens.prefetch - 1, 0);; ++token) {
      WaitIn(wave.wave_id, token);
      const bool last = token == wave.tokens.last();
      absl::Status status = last ? progress.Step({}, {}) : progress.Step(token, token + 1);
      while (status.ok() && last && NeverEnds(wave.wave_id)) {
        std::this_thread::yield();
        status = progress.Step({}, {});
      }
      if (!status.ok() || last) return status;
    }
  }

  bool NeverEnds(const std::string& wave_id) {
    MutexLock lock(mu_);
    return gates_[wave_id].never_ends;
  }

  void WaitIn(const std::string& wave_id, int64_t token) {
    MutexLock lock(mu_);
    Gate& gate = gates_[wave_id];
    gate.token = token;
    changed_.NotifyAll();
    while (held_ && gate.until <= token) changed_.Wait(mu_);
  }

  DeviceInfo info_;
  const std::shared_ptr<std::atomic<int>> live_ = std::make_shared<std::atomic<int>>(0);
  mutable Mutex mu_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, Gate> gates_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> started_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> uploads_ ABSL_GUARDED_BY(mu_);
  absl::Status run_status_ ABSL_GUARDED_BY(mu_);
  absl::Status upload_status_ ABSL_GUARDED_BY(mu_);
  absl::Status prepare_status_ ABSL_GUARDED_BY(mu_);
  Tensor::OnFree on_free_ ABSL_GUARDED_BY(mu_);
  Readings readings_ ABSL_GUARDED_BY(mu_);
  DeviceCounters counters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_FAKE_DEVICE_H_
