// CudaTensor: a weight tensor in the memory of a CUDA device, as published.
//
// Shared by the versions that contain it; thread-safe. With `keep_host` its bytes also stay in host memory, from which
// Restore brings them back after the device was lost.
#ifndef BWRT_RUNTIME_CUDA_TENSOR_H_
#define BWRT_RUNTIME_CUDA_TENSOR_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda_connection.h"
#include "runtime/mutex.h"
#include "runtime/tensor.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

class CudaTensor final : public DeviceTensor {
 public:
  // RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, when the budget or the device has no room; UNAVAILABLE, reason
  // DEVICE_LOST.
  static absl::StatusOr<std::shared_ptr<CudaTensor>> Create(std::shared_ptr<CudaConnection> connection,
                                                            HostTensor tensor, bool keep_host, WeightBudget& budget);

  absl::Status Read(int64_t offset, int64_t bytes, char* to) const override;

  // What a wave reads; it keeps this while it runs.
  std::shared_ptr<CudaBuffer> buffer() const {
    MutexLock lock(mu_);
    return buffer_;
  }

  // Uploads into a new buffer. FAILED_PRECONDITION when the bytes were not kept.
  absl::Status Restore();

 private:
  CudaTensor(std::shared_ptr<CudaConnection> connection, TensorType type, std::optional<WeightBuffer> host,
             WeightBudget::Reservation reservation, std::shared_ptr<CudaBuffer> buffer)
      : DeviceTensor(std::move(type)),
        connection_(std::move(connection)),
        host_(std::move(host)),
        reservation_(std::move(reservation)),
        buffer_(std::move(buffer)) {}

  const std::shared_ptr<CudaConnection> connection_;
  const std::optional<WeightBuffer> host_;
  const WeightBudget::Reservation reservation_;  // Empty with host_, which is charged itself.
  mutable Mutex mu_;
  std::shared_ptr<CudaBuffer> buffer_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_TENSOR_H_
