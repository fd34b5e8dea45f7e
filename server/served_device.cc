#include "server/served_device.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cpu_device.h"
#include "runtime/cuda_device.h"

namespace bwrt::server {
namespace {

absl::StatusOr<ServedDevice> MakeCpu(const DeviceSurroundings& surroundings) {
  runtime::CpuOptions options;
  options.threads = surroundings.cpu_threads;
  options.counters = surroundings.counters;
  auto device = runtime::CpuDevice::Create(surroundings.cpu, surroundings.clock, options);
  if (!device.ok()) return device.status();
  ServedDevice served;
  served.device = *std::move(device);
  return served;
}

// `plugin` is set as soon as one is loaded, also where the rest fails.
absl::StatusOr<ServedDevice> MakeCuda(const Flags::Waves::Cuda& flags, const DeviceSurroundings& surroundings,
                                      std::string* plugin) {
  const auto table = surroundings.load_cuda(flags.plugin);
  if (!table.ok()) return table.status();
  *plugin = (*table)->build;
  runtime::CudaOptions options;
  options.ordinal = flags.ordinal;
  options.memory_limit = runtime::Bytes(static_cast<int64_t>(flags.memory));
  options.recreate = flags.recreate;
  options.on_state = surroundings.on_state;
  auto device = runtime::CudaDevice::Create(*table, std::move(options));
  if (!device.ok()) return device.status();
  ServedDevice served;
  served.weight_memory = (*device)->memory();
  served.device = *std::move(device);
  return served;
}

}  // namespace

absl::StatusOr<ServedDevice> ChooseDevice(const Flags::Waves& flags, DeviceSurroundings surroundings) {
  std::string plugin;
  std::string why = "--device=cpu";
  if (flags.device != DeviceChoice::kCpu) {
    const bool required = flags.device == DeviceChoice::kCuda;
    auto cuda = MakeCuda(flags.cuda, surroundings, &plugin);
    if (cuda.ok()) {
      cuda->cuda_plugin = plugin;
      cuda->why = required ? absl::StrCat("--device=cuda:", flags.cuda.ordinal) : "--device=auto: there is a GPU";
      return cuda;
    }
    if (required) {
      return absl::UnavailableError(absl::StrCat("--device=cuda: ", cuda.status().message(),
                                                 "; --device=cpu or --device=auto serves without a GPU"));
    }
    why = absl::StrCat("--device=auto: the CPU serves, since no GPU can: ", cuda.status().message());
  }
  auto cpu = MakeCpu(surroundings);
  if (!cpu.ok()) return cpu.status();
  cpu->why = std::move(why);
  cpu->cuda_plugin = std::move(plugin);
  return cpu;
}

}  // namespace bwrt::server
