// CudaStatus: how a call inside the plugin ended, in the table's codes.
#ifndef BWRT_RUNTIME_CUDA_CUDA_STATUS_H_
#define BWRT_RUNTIME_CUDA_CUDA_STATUS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

class [[nodiscard]] CudaStatus {
 public:
  CudaStatus() = default;
  // `cuda_code`: the library's own, 0 where there is none.
  CudaStatus(BwrtCudaCode code, std::string text, int32_t cuda_code = 0)
      : code_(code), cuda_code_(cuda_code), text_(std::move(text)) {}

  bool ok() const { return code_ == BWRT_CUDA_OK; }
  bool lost() const { return code_ == BWRT_CUDA_DEVICE_LOST; }
  BwrtCudaCode code() const { return code_; }
  int32_t cuda_code() const { return cuda_code_; }
  const std::string& text() const { return text_; }

  // Keeps the first thing that went wrong, unless the device was lost after it.
  void Update(CudaStatus other) {
    if (ok() || (other.lost() && !lost())) *this = std::move(other);
  }

 private:
  BwrtCudaCode code_ = BWRT_CUDA_OK;
  int32_t cuda_code_ = 0;
  std::string text_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_STATUS_H_
