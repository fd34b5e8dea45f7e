// The plugin's one exported symbol.
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "runtime/cuda/cuda_counter_sources.h"
#include "runtime/cuda/cuda_runtime_driver.h"
#include "runtime/cuda/cuda_table.h"
#include "runtime/cuda_plugin_abi.h"

namespace {

// The toolkit's own number comes from the build: its headers know no patch level.
constexpr char kBuild[] = "CUDA toolkit " BWRT_CUDA_TOOLKIT ", for sm_90a and sm_80";

int32_t Open(const BwrtCudaOptions* options, BwrtCudaDevice** device, BwrtCudaError* error) {
  using bwrt::cuda::CudaStatus;
  if (options->size < sizeof(BwrtCudaOptions) || options->graphs < 0 || options->kernel < BWRT_CUDA_KERNEL_AUTO ||
      options->kernel > BWRT_CUDA_KERNEL_PLAIN) {
    return bwrt::cuda::Answer(CudaStatus(BWRT_CUDA_INVALID, "the options are of another version"), error);
  }
  std::unique_ptr<bwrt::cuda::CudaDriver> driver;
  try {
    if (const CudaStatus status = bwrt::cuda::MakeRuntimeDriver(options->ordinal, &driver); !status.ok()) {
      return bwrt::cuda::Answer(status, error);
    }
  } catch (const std::exception& e) {
    return bwrt::cuda::Answer(CudaStatus(BWRT_CUDA_OUT_OF_HOST_MEMORY, e.what()), error);
  }
  bwrt::cuda::CudaEngineOptions engine;
  engine.memory_limit = options->memory_limit;
  engine.graphs = static_cast<size_t>(options->graphs);
  engine.kernel = options->kernel;
  engine.counters = options->counters != 0;
  engine.poison = options->poison != 0;
  const auto counters = [ordinal = options->ordinal](int32_t mode) {
    return bwrt::cuda::MakeCounterSources(ordinal, mode);
  };
  return bwrt::cuda::OpenEngine(std::move(driver), engine, counters, device, error);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const BwrtCudaTable* bwrt_cuda_plugin(uint32_t loader_abi_version) {
  if (loader_abi_version != BWRT_CUDA_ABI_VERSION) return nullptr;
  static const BwrtCudaTable kTable = bwrt::cuda::TableWith(kBuild, &Open);
  return &kTable;
}
