// CpuDevice: waves on this machine's processors.
//
// A wave's tiles start in the traversal's order, on the lane that took it and on the workers that are free; several
// lanes run several waves at once. Sums are f32, whatever the operands' type. Thread-safe.
//
// A wave's l2_hit is that of a model of the processor's last-level cache: what tiles of several threads share, as they
// do the L2 of a GPU. A core's own L2 holds a few blocks of one tile: no order of tiles changes what hits there.
#ifndef BWRT_RUNTIME_CPU_DEVICE_H_
#define BWRT_RUNTIME_CPU_DEVICE_H_

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/cpu_info.h"
#include "kernels/hardware_counters.h"
#include "runtime/clock.h"
#include "runtime/cpu_scratch.h"
#include "runtime/device.h"
#include "runtime/tile_workers.h"

namespace bwrt::runtime {

struct CpuOptions {
  // At most this many threads, 1 or more, compute at once as long as there are no more lanes.
  int threads = 1;
  // Waves that take one thread less than about this long are not shared: a worker takes some 50 us to wake up.
  Duration worth_sharing = std::chrono::microseconds(100);
  // What counts the threads of waves that are shared; else why nothing does. The others are not counted: to read the
  // counters takes about a microsecond, twice for each thread.
  absl::StatusOr<std::shared_ptr<kernels::HardwareCounters>> counters = absl::UnavailableError("not asked for");
};

class CpuDevice final : public Device {
 public:
  // UNAVAILABLE when this processor can't run the kernels.
  static absl::StatusOr<std::unique_ptr<CpuDevice>> Create(const kernels::CpuInfo& cpu, Clock* clock,
                                                           const CpuOptions& options = {});

  const DeviceInfo& info() const override { return info_; }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override;
  Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const override;
  absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                       WeightBudget::Reservation room) override;
  EffectiveSpec Plan(const Wave& wave) const override;
  Duration RoughTime(const Wave& wave) const override;
  Bytes WorkingBytes(const Wave& wave) const override;
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override;

 private:
  CpuDevice(DeviceInfo info, Clock* clock, const CpuOptions& options)
      : info_(std::move(info)),
        counters_(options.counters.ok() ? *options.counters : nullptr),
        clock_(clock),
        worth_sharing_(options.worth_sharing),
        workers_(options.threads) {}

  const DeviceInfo info_;
  const std::shared_ptr<kernels::HardwareCounters> counters_;  // Null where there are none.
  Clock* const clock_;
  const Duration worth_sharing_;
  CpuScratch scratch_;
  TileWorkers workers_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CPU_DEVICE_H_
