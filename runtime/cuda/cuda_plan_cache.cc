#include "runtime/cuda/cuda_plan_cache.h"

#include <utility>

namespace bwrt::cuda {

CudaStatus CudaPlanCache::Get(const CudaPlanKey& key, std::shared_ptr<const CudaPlan>* to) {
  {
    runtime::MutexLock lock(mu_);
    const auto at = plans_.find(key);
    if (at != plans_.end()) {
      ++hits_;
      by_use_.splice(by_use_.begin(), by_use_, at->second.used);
      *to = at->second.plan;
      return {};
    }
    ++misses_;
  }
  std::shared_ptr<const CudaPlan> plan;
  if (CudaStatus status = MakePlan(*driver_, key, *kernels_, tunings_, &plan); !status.ok()) return status;
  std::shared_ptr<const CudaPlan> dropped;  // Freed outside the lock.
  runtime::MutexLock lock(mu_);
  const auto [at, is_new] = plans_.try_emplace(key);
  if (is_new) {
    by_use_.push_front(&at->first);
    at->second = {std::move(plan), by_use_.begin()};
  }
  *to = at->second.plan;
  if (plans_.size() > most_) {
    const auto oldest = plans_.find(*by_use_.back());
    by_use_.pop_back();
    dropped = std::move(oldest->second.plan);
    plans_.erase(oldest);
  }
  return {};
}

void CudaPlanCache::Clear() {
  std::map<CudaPlanKey, Entry> dropped;
  runtime::MutexLock lock(mu_);
  by_use_.clear();
  dropped.swap(plans_);
}

uint64_t CudaPlanCache::hits() const {
  runtime::MutexLock lock(mu_);
  return hits_;
}

uint64_t CudaPlanCache::misses() const {
  runtime::MutexLock lock(mu_);
  return misses_;
}

}  // namespace bwrt::cuda
