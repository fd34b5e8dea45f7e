#include "runtime/cuda/nvml_library.h"

#include <dlfcn.h>

namespace bwrt::cuda {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function* to) {
  *to = reinterpret_cast<Function>(dlsym(library, name));
  return *to != nullptr;
}

}  // namespace

CounterStatus NvmlLibrary::Load(NvmlLibrary* to) {
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return {CounterFault::kMissing,
            "no libnvidia-ml.so.1: it comes with NVIDIA's driver; in a container, with the capability \"utility\""};
  }
  const bool all = Find(library, "nvmlInit_v2", &to->init) && Find(library, "nvmlShutdown", &to->shutdown) &&
                   Find(library, "nvmlErrorString", &to->error_string) &&
                   Find(library, "nvmlDeviceGetHandleByPciBusId_v2", &to->get_handle_by_pci_bus_id) &&
                   Find(library, "nvmlGpmQueryDeviceSupport", &to->gpm_query_support) &&
                   Find(library, "nvmlGpmSampleAlloc", &to->gpm_sample_alloc) &&
                   Find(library, "nvmlGpmSampleFree", &to->gpm_sample_free) &&
                   Find(library, "nvmlGpmSampleGet", &to->gpm_sample_get) &&
                   Find(library, "nvmlGpmMetricsGet", &to->gpm_metrics_get);
  if (!all) return {CounterFault::kMissing, "libnvidia-ml.so.1 has no GPM: the driver is too old; update it"};
  (void)Find(library, "nvmlDeviceGetMigMode", &to->get_mig_mode);
  return {};
}

}  // namespace bwrt::cuda
