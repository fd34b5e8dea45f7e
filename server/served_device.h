// ServedDevice: what a daemon runs its waves on, and why that.
#ifndef BWRT_SERVER_SERVED_DEVICE_H_
#define BWRT_SERVER_SERVED_DEVICE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cpu_info.h"
#include "kernels/hardware_counters.h"
#include "runtime/clock.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/device.h"
#include "runtime/ids.h"
#include "server/flags.h"

namespace bwrt::server {

struct ServedDevice {
  std::unique_ptr<runtime::Device> device;
  std::string why;          // For people: what was asked for and, where auto found no GPU, what is missing.
  std::string cuda_plugin;  // What the CUDA plugin that was loaded was built with; empty: none was.
  // What the device has for weights; unset: as much as the process has memory.
  std::optional<runtime::Bytes> weight_memory{};
  // Whether the daemon can go on when the device that on_state tells of is out of service.
  bool has_other = false;
};

// What the choice works with; `clock` outlives the device.
struct DeviceSurroundings {
  kernels::CpuInfo cpu;
  int cpu_threads = 1;
  absl::StatusOr<std::shared_ptr<kernels::HardwareCounters>> counters = absl::UnavailableError("not asked for");
  runtime::Clock* clock = nullptr;
  // Told why the device went out of service, and OK when it is back. On a thread of the device's.
  std::function<void(const absl::Status&)> on_state;
  // Told what the GPU's hardware counters count, or "none: " and why, whenever that changes. On a thread of the
  // device's.
  std::function<void(const std::string& text, bool counting)> on_counters{};
  // CudaPlugin::Load but in tests.
  std::function<absl::StatusOr<const BwrtCudaTable*>(const std::string& path)> load_cuda;
  // Where what was measured on the devices is kept; empty: nowhere.
  std::string calibration_file;
};

// Blocks; with auto and a GPU that is new here, for the seconds that it takes to measure the devices.
// UNAVAILABLE when a device was asked for by name that does not work: what is missing, and what mends it.
absl::StatusOr<ServedDevice> ChooseDevice(const Flags::Waves& flags, const DeviceSurroundings& surroundings);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVED_DEVICE_H_
