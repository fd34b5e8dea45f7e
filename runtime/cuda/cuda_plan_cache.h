// CudaPlanCache: the plans of the kinds of waves seen last. Thread-safe.
#ifndef BWRT_RUNTIME_CUDA_CUDA_PLAN_CACHE_H_
#define BWRT_RUNTIME_CUDA_CUDA_PLAN_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_plan.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

class CudaPlanCache {
 public:
  // Keeps at most `most` plans; the one unused for longest goes first.
  // `kernels` may change only while nobody asks for a plan, and with a Clear. `tunings` may be null.
  CudaPlanCache(CudaDriver* driver, const CudaKernels* kernels, size_t most, const CudaTuningTable* tunings = nullptr)
      : driver_(driver), kernels_(kernels), most_(most), tunings_(tunings) {}

  // Makes the plan on the first use, outside the lock: two waves may do it at once, and the first to finish is kept.
  CudaStatus Get(const CudaPlanKey& key, std::shared_ptr<const CudaPlan>* to);
  // A plan that is being made meanwhile may still be kept.
  void Clear();

  uint64_t hits() const;
  uint64_t misses() const;

 private:
  struct Entry {
    std::shared_ptr<const CudaPlan> plan;
    std::list<const CudaPlanKey*>::iterator used;
  };

  CudaDriver* const driver_;
  const CudaKernels* const kernels_;
  const size_t most_;
  const CudaTuningTable* const tunings_;
  mutable runtime::Mutex mu_;
  std::map<CudaPlanKey, Entry> plans_ ABSL_GUARDED_BY(mu_);
  std::list<const CudaPlanKey*> by_use_ ABSL_GUARDED_BY(mu_);  // The latest first; points at keys of plans_.
  uint64_t hits_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t misses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_PLAN_CACHE_H_
