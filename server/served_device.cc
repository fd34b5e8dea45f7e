#include "server/served_device.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/cpu_device.h"
#include "runtime/cuda_device.h"
#include "runtime/offload/calibration.h"
#include "runtime/offload/calibration_file.h"
#include "runtime/offload/offload_device.h"

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

BwrtCudaKernel KernelOf(CudaKernel kernel) {
  switch (kernel) {
    case CudaKernel::kAuto:
      return BWRT_CUDA_KERNEL_AUTO;
    case CudaKernel::kOwn:
      return BWRT_CUDA_KERNEL_OWN;
    case CudaKernel::kCublasLt:
      return BWRT_CUDA_KERNEL_CUBLASLT;
    case CudaKernel::kPlain:
      return BWRT_CUDA_KERNEL_PLAIN;
  }
  return BWRT_CUDA_KERNEL_AUTO;
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
  options.graphs = static_cast<int>(flags.graphs);
  options.kernel = KernelOf(flags.kernel);
  options.kernel_counters = flags.kernel_counters;
  options.poison = flags.poison;
  options.recreate = flags.recreate;
  options.on_state = surroundings.on_state;
  if (flags.counters != GpuCounters::kOff) {
    options.counters = {.mode = flags.counters == GpuCounters::kPm ? BWRT_CUDA_COUNTERS_PM : BWRT_CUDA_COUNTERS_GPM,
                        .interval = flags.counter_interval,
                        .clock = surroundings.clock,
                        .on_text = surroundings.on_counters};
  }
  auto device = runtime::CudaDevice::Create(*table, std::move(options));
  if (!device.ok()) return device.status();
  ServedDevice served;
  served.weight_memory = (*device)->memory();
  served.device = *std::move(device);
  return served;
}

// The device's costs: those that were measured before, else measured now; `how` says which.
absl::StatusOr<runtime::DeviceCosts> CostsOf(runtime::Device& device, const runtime::Clock& clock,
                                             runtime::CalibrationFile* file, std::string* how) {
  absl::StrAppend(how, how->empty() ? "" : ", ", device.info().name);
  if (file != nullptr) {
    if (const auto known = file->Find(device.info())) {
      absl::StrAppend(how, " measured before");
      return *known;
    }
  }
  auto costs = runtime::Calibrate(device, clock);
  if (!costs.ok()) return costs.status();
  absl::StrAppend(how, " measured now");
  if (file != nullptr) {
    // It is measured again next time.
    if (const absl::Status saved = file->Save(device.info(), *costs); !saved.ok()) {
      absl::StrAppend(how, " (", saved.message(), ")");
    }
  }
  return costs;
}

// Both as one.
absl::StatusOr<ServedDevice> Combine(ServedDevice cpu, ServedDevice cuda, const DeviceSurroundings& surroundings) {
  std::optional<runtime::CalibrationFile> file;
  if (!surroundings.calibration_file.empty()) file.emplace(surroundings.calibration_file);
  runtime::CalibrationFile* const kept = file ? &*file : nullptr;
  std::string how;
  auto cpu_costs = CostsOf(*cpu.device, *surroundings.clock, kept, &how);
  if (!cpu_costs.ok()) return cpu_costs.status();
  auto cuda_costs = CostsOf(*cuda.device, *surroundings.clock, kept, &how);
  if (!cuda_costs.ok()) return cuda_costs.status();
  ServedDevice both;
  both.has_other = true;
  both.why = absl::StrCat("--device=auto: each wave runs where it is predicted to be done first: ", how);
  // Operands need some of it, too.
  const runtime::Bytes for_copies(cuda.weight_memory->value() / 10 * 9);
  std::vector<runtime::OffloadDevice::Member> members;
  members.push_back({std::move(cpu.device), *cpu_costs, runtime::Bytes(0)});
  members.push_back({std::move(cuda.device), *cuda_costs, for_copies});
  both.device = std::make_unique<runtime::OffloadDevice>(std::move(members), runtime::OffloadOptions{});
  return both;
}

}  // namespace

absl::StatusOr<ServedDevice> ChooseDevice(const Flags::Waves& flags, const DeviceSurroundings& surroundings) {
  const auto serve = [](absl::StatusOr<ServedDevice> served, std::string why, std::string plugin) {
    if (!served.ok()) return served;
    if (served->why.empty()) served->why = std::move(why);
    served->cuda_plugin = std::move(plugin);
    return served;
  };
  if (flags.device == DeviceChoice::kCpu) return serve(MakeCpu(surroundings), "--device=cpu", "");

  std::string plugin;
  auto cuda = MakeCuda(flags.cuda, surroundings, &plugin);
  if (flags.device == DeviceChoice::kCuda) {
    if (cuda.ok()) return serve(std::move(cuda), absl::StrCat("--device=cuda:", flags.cuda.ordinal), plugin);
    return absl::UnavailableError(absl::StrCat("--device=cuda: ", cuda.status().message(),
                                               "; --device=cpu or --device=auto serves without a GPU"));
  }
  auto cpu = MakeCpu(surroundings);
  if (!cpu.ok()) return cpu;
  absl::Status missing = cuda.status();
  if (cuda.ok()) {
    auto both = Combine(*std::move(cpu), *std::move(cuda), surroundings);
    if (both.ok()) return serve(std::move(both), "", plugin);
    // The GPU failed while it was measured, and both are gone.
    missing = both.status();
    cpu = MakeCpu(surroundings);
  }
  return serve(std::move(cpu), absl::StrCat("--device=auto: the CPU serves, since no GPU can: ", missing.message()),
               plugin);
}

}  // namespace bwrt::server
