// CudaConnection: one open device of the CUDA plugin, shared by what uses it, and whether it still works.
//
// A sticky error loses the device: from then on nothing is asked of it, and every use answers why. Thread-safe.
//
// 1. The epoch rises by one with each loss. What was made in an earlier epoch is gone from the device.
// 2. After Recreate the device is still out of service until MarkServing: what it holds must be uploaded again first.
#ifndef BWRT_RUNTIME_CUDA_CONNECTION_H_
#define BWRT_RUNTIME_CUDA_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/ids.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class CudaConnection {
 public:
  // Errors are CudaError's. `table` was checked and lives for ever.
  static absl::StatusOr<std::shared_ptr<CudaConnection>> Open(const BwrtCudaTable* table,
                                                              const BwrtCudaOptions& options);
  ~CudaConnection();
  CudaConnection(const CudaConnection&) = delete;
  CudaConnection& operator=(const CudaConnection&) = delete;

  const BwrtCudaTable& table() const { return *table_; }
  BwrtCudaDevice* device() const { return device_; }
  const BwrtCudaInfo& info() const { return info_; }

  // UNAVAILABLE, reason DEVICE_LOST, unless the device serves.
  absl::Status CheckServing() const;
  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  // What a call of the table that began in `epoch` and returned `code` means. The first sticky error of an epoch loses
  // the device and calls on_lost, on this thread; one of a past epoch, which comes late, says nothing of this one.
  absl::Status ToStatus(uint64_t epoch, int32_t code, const BwrtCudaError& error);
  // To be set before the device is used; null afterwards.
  void SetOnLost(std::function<void(const absl::Status&)> on_lost);

  // A new context; waits for the calls under way. On an error the device stays lost.
  absl::Status Recreate();
  void MarkServing();

 private:
  CudaConnection(const BwrtCudaTable* table, BwrtCudaDevice* device);

  const BwrtCudaTable* const table_;
  BwrtCudaDevice* const device_;
  BwrtCudaInfo info_{};
  std::atomic<bool> serving_{true};
  std::atomic<uint64_t> epoch_{0};
  mutable Mutex mu_;
  absl::Status why_lost_ ABSL_GUARDED_BY(mu_);
  std::function<void(const absl::Status&)> on_lost_ ABSL_GUARDED_BY(mu_);
};

// A piece of the device's memory; gives it back when destroyed.
class CudaBuffer {
 public:
  // RESOURCE_EXHAUSTED, reason DEVICE_MEMORY; UNAVAILABLE, reason DEVICE_LOST.
  static absl::StatusOr<std::shared_ptr<CudaBuffer>> Allocate(std::shared_ptr<CudaConnection> connection, Bytes bytes);
  ~CudaBuffer();
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;

  BwrtCudaBuffer* handle() const { return handle_; }
  uint64_t epoch() const { return epoch_; }
  absl::Status Upload(const char* from, Bytes bytes);
  absl::Status Read(int64_t offset, int64_t bytes, char* to) const;

 private:
  CudaBuffer(std::shared_ptr<CudaConnection> connection, BwrtCudaBuffer* handle, uint64_t epoch)
      : connection_(std::move(connection)), handle_(handle), epoch_(epoch) {}

  const std::shared_ptr<CudaConnection> connection_;
  BwrtCudaBuffer* const handle_;
  const uint64_t epoch_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_CONNECTION_H_
