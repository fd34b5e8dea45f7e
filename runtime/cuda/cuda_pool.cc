#include "runtime/cuda/cuda_pool.h"

#include <iterator>
#include <string>

namespace bwrt::cuda {
namespace {

constexpr int64_t kSmall = int64_t{1} << 20;
constexpr int64_t kSmallUnit = 512;
constexpr int64_t kLargeUnit = int64_t{2} << 20;  // The driver's page.

}  // namespace

CudaPool::~CudaPool() {
  runtime::MutexLock lock(mu_);
  // An error here is one that every later call meets again.
  (void)ReleaseLocked(0, /*all=*/true).ok();
}

int64_t CudaPool::Rounded(int64_t bytes) {
  const int64_t unit = bytes <= kSmall ? kSmallUnit : kLargeUnit;
  const int64_t least = bytes < 1 ? 1 : bytes;
  return (least + unit - 1) / unit * unit;
}

CudaStatus CudaPool::ReleaseLocked(int64_t bytes, bool all) {
  CudaStatus status;
  // The largest first: fewer calls, each of which waits for the device.
  while (!free_.empty() && (all || used_ + kept_ + bytes > limit_)) {
    const auto last = std::prev(free_.end());
    status.Update(driver_->Free(last->second));
    kept_ -= last->first;
    free_.erase(last);
  }
  return status;
}

CudaStatus CudaPool::Allocate(int64_t bytes, DevicePtr* to) {
  const int64_t size = bytes > limit_ ? bytes : Rounded(bytes);
  runtime::MutexLock lock(mu_);
  if (const auto at = free_.find(size); at != free_.end()) {
    *to = at->second;
    free_.erase(at);
    kept_ -= size;
    used_ += size;
    return {};
  }
  if (size > limit_ - used_) {
    return {BWRT_CUDA_OUT_OF_DEVICE_MEMORY, "no room on the device for " + std::to_string(bytes) +
                                                " bytes: " + std::to_string(used_) + " of " + std::to_string(limit_) +
                                                " are in use; retry later, or free weights"};
  }
  if (CudaStatus status = ReleaseLocked(size, /*all=*/false); !status.ok()) return status;
  CudaStatus status = driver_->Allocate(size, to);
  if (status.code() == BWRT_CUDA_OUT_OF_DEVICE_MEMORY && kept_ > 0) {
    // Somebody else uses the device too, or it is fragmented: try without what is kept.
    if (CudaStatus released = ReleaseLocked(0, /*all=*/true); !released.ok()) return released;
    status = driver_->Allocate(size, to);
  }
  if (status.ok()) used_ += size;
  return status;
}

void CudaPool::Free(DevicePtr memory, int64_t bytes) {
  const int64_t size = Rounded(bytes);
  runtime::MutexLock lock(mu_);
  used_ -= size;
  kept_ += size;
  free_.emplace(size, memory);
}

void CudaPool::Forget() {
  runtime::MutexLock lock(mu_);
  free_.clear();
  used_ = 0;
  kept_ = 0;
}

int64_t CudaPool::used() const {
  runtime::MutexLock lock(mu_);
  return used_;
}

int64_t CudaPool::kept() const {
  runtime::MutexLock lock(mu_);
  return kept_;
}

}  // namespace bwrt::cuda
