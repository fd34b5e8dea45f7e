// CudaPlugin: libbwrt_cuda.so, loaded and checked.
//
// One bwrtd runs on every host; what needs CUDA comes through this table. A plugin is never unloaded: the CUDA
// libraries behind it do not survive that.
#ifndef BWRT_RUNTIME_CUDA_PLUGIN_H_
#define BWRT_RUNTIME_CUDA_PLUGIN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::runtime {

class CudaPlugin {
 public:
  // Where the plugin is looked for: beside the program, where packages install it, and where a build leaves it.
  // `program` is the path of the running program.
  static std::vector<std::string> SearchPaths(const std::string& program);

  // Loads the plugin at `path`, or, if that is empty, the first that is there of SearchPaths. UNAVAILABLE, reason
  // NO_CUDA_PLUGIN or CUDA_PLUGIN_MISMATCH. No text names a path; the operator knows which one was given.
  static absl::StatusOr<const BwrtCudaTable*> Load(const std::string& path);

  // Whether a loader of this build can use the table, which may be null. Pure.
  static absl::Status Check(const BwrtCudaTable* table);
};

// An error of the plugin as a status with a reason: UNAVAILABLE NO_CUDA_DRIVER, NO_CUDA_DEVICE, CUDA_DEVICE_TOO_OLD,
// NO_CUBLASLT or DEVICE_LOST; RESOURCE_EXHAUSTED DEVICE_MEMORY or NO_MEMORY; CANCELLED CANCELLED; INTERNAL
// CUDA_ERROR.
absl::Status CudaError(const BwrtCudaError& error);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_PLUGIN_H_
