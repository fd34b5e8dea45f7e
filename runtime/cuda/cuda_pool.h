// CudaPool: device memory, budgeted and recycled.
//
// cudaFree waits for everything on the device, so that blocks given back are kept and handed out again; they are freed
// only where another size needs their room. Thread-safe.
//
// 1. used + kept <= limit.
// 2. A block is handed out again only after Free: who frees must know that no stream still uses it.
#ifndef BWRT_RUNTIME_CUDA_CUDA_POOL_H_
#define BWRT_RUNTIME_CUDA_CUDA_POOL_H_

#include <cstdint>
#include <map>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

class CudaPool {
 public:
  CudaPool(CudaDriver* driver, int64_t limit) : driver_(driver), limit_(limit) {}
  // Everything must have been given back.
  ~CudaPool();
  CudaPool(const CudaPool&) = delete;
  CudaPool& operator=(const CudaPool&) = delete;

  // Uninitialised, aligned to 256 bytes. OUT_OF_DEVICE_MEMORY.
  CudaStatus Allocate(int64_t bytes, DevicePtr* to);
  // `bytes` as asked for.
  void Free(DevicePtr memory, int64_t bytes);
  // The context is gone, and all memory with it.
  void Forget();

  int64_t limit() const { return limit_; }
  int64_t used() const;
  int64_t kept() const;

 private:
  static int64_t Rounded(int64_t bytes);
  // Frees kept blocks until `bytes` more fit the limit, or all of them when `all`.
  CudaStatus ReleaseLocked(int64_t bytes, bool all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  CudaDriver* const driver_;
  const int64_t limit_;
  mutable runtime::Mutex mu_;
  std::multimap<int64_t, DevicePtr> free_ ABSL_GUARDED_BY(mu_);  // By rounded size.
  int64_t used_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t kept_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_POOL_H_
