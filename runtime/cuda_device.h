// CudaDevice: waves on a GPU, through the table of the CUDA plugin.
//
// A lane's thread blocks in the plugin while its wave runs, each on a stream of its own; so a lease lasts until the
// event behind the wave's last kernel. Waves that one launch runs whole have the clock [P, P+T-1] from launch to
// completion. Thread-safe.
//
// A sticky CUDA error takes the device out of service: its waves, those under way and all that come, fail with
// UNAVAILABLE DEVICE_LOST, and nothing it computed is served. With `recreate` the device then makes a new context and
// uploads its weights again, of which it keeps a copy in host memory.
#ifndef BWRT_RUNTIME_CUDA_DEVICE_H_
#define BWRT_RUNTIME_CUDA_DEVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda_connection.h"
#include "runtime/cuda_counter_watch.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/cuda_tensor.h"
#include "runtime/device.h"
#include "runtime/executor.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

struct CudaOptions {
  int ordinal = 0;
  Bytes memory_limit{};  // Of device memory, for weights and operands; 0: nine tenths of what is free.
  int graphs = 256;      // That each lane keeps of waves that come again; 0: kernels are queued one by one.
  BwrtCudaKernel kernel = BWRT_CUDA_KERNEL_AUTO;
  bool kernel_counters = true;  // Of the plugin's Hopper kernel.
  bool poison = false;          // What kernels are to write is filled with NaNs first.
  bool recreate = false;
  // Told why the device went out of service, and OK when it is back. On a thread of the device's, under no lock.
  std::function<void(const absl::Status&)> on_state{};
  CudaCounterOptions counters{};
};

class CudaDevice final : public Device {
 public:
  // UNAVAILABLE with the reasons of CudaError: what is missing, and what mends it.
  static absl::StatusOr<std::unique_ptr<CudaDevice>> Create(const BwrtCudaTable* table, CudaOptions options);
  ~CudaDevice() override;

  const DeviceInfo& info() const override { return info_; }
  absl::Status CheckServing() const override { return connection_->CheckServing(); }
  DeviceCounters Counters(size_t member) const override;
  // What weights and operands may take of the device's memory.
  Bytes memory() const { return Bytes(connection_->info().pool_bytes); }

  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override;
  // The kernels read tensors as published: there are no layouts.
  Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const override;
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation room) override;
  EffectiveSpec Plan(const Wave& wave) const override;
  // On the device: A, C, and a W that comes with the wave.
  Bytes WorkingBytes(const Wave& wave) const override;
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override;
  // Of cuBLASLt's algorithms.
  absl::StatusOr<std::optional<TunedAlgorithm>> Tune(const Wave& wave, Duration budget,
                                                     WaveProgress& progress) override;
  std::vector<std::string> Tunings() const override;
  absl::Status RestoreTuning(absl::string_view tuning) override;

 private:
  CudaDevice(std::shared_ptr<CudaConnection> connection, CudaOptions options);
  EffectiveSpec ToSpec(const BwrtCudaEffective& effective) const;
  void OnLost(const absl::Status& why);
  absl::Status Recover();
  void Tell(const absl::Status& state) const;

  const std::shared_ptr<CudaConnection> connection_;
  const CudaOptions options_;
  DeviceInfo info_;
  Mutex mu_;
  // Kept with `recreate` only.
  std::vector<std::weak_ptr<CudaTensor>> tensors_ ABSL_GUARDED_BY(mu_);
  size_t sweep_at_ ABSL_GUARDED_BY(mu_) = 64;
  ThreadExecutor counting_;
  std::unique_ptr<CudaCounterWatch> counters_;  // Null: they are off.
  ThreadExecutor recovery_;                     // Last: it uses all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_DEVICE_H_
