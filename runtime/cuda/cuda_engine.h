// CudaEngine: an open device: its memory, its lanes, its plans, and what becomes of them when it fails.
//
// Thread-safe. What the table of functions (cuda_table.h) offers, in C++.
//
// 1. No call returns while the device still uses what the caller handed in: after an error the stream is run out first,
//    and if that can't be done the device counts as lost.
// 2. The first sticky error loses the device: from then on calls answer DEVICE_LOST without touching the driver, until
//    Recreate. Recreate runs alone.
// 3. A graph is replayed only for a wave with the same pointers, and never once the weights it reads were freed.
// 4. The Hopper kernel is used only where it computed what the plain kernel does, in each context anew; what failed
// once
//    is off for good.
// 5. Buffers of an earlier context are refused, and freed without touching the driver.
#ifndef BWRT_RUNTIME_CUDA_CUDA_ENGINE_H_
#define BWRT_RUNTIME_CUDA_CUDA_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_lane.h"
#include "runtime/cuda/cuda_plan_cache.h"
#include "runtime/cuda/cuda_pool.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda/cuda_transfer.h"
#include "runtime/cuda/cuda_tuner.h"
#include "runtime/cuda/cuda_tuning_table.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

struct CudaEngineOptions {
  int64_t memory_limit = 0;                  // Bytes; 0: nine tenths of what is free.
  int64_t lane_piece = int64_t{4} << 20;     // Pinned bytes of each half of a lane's transfer.
  int64_t upload_piece = int64_t{16} << 20;  // Of weights.
  int64_t read_piece = int64_t{1} << 20;
  size_t plans = 4096;
  size_t graphs = 256;  // Of each lane; 0: kernels are queued one by one.
  int32_t kernel = BWRT_CUDA_KERNEL_AUTO;
  bool counters = true;  // The Hopper kernel counts.
  bool poison = false;   // Fills what kernels are to write with NaNs first.
  // Nanoseconds that only grow, for the budget of Tune; null: the steady clock.
  std::function<int64_t()> now_ns = nullptr;
};

struct CudaMemory {
  DevicePtr at = nullptr;
  int64_t bytes = 0;
  uint64_t context = 0;  // Which one it belongs to.
};

class CudaEngine {
 public:
  // OLD_DEVICE below sm_80; whatever the driver says.
  static CudaStatus Create(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options,
                           std::unique_ptr<CudaEngine>* to);
  ~CudaEngine();
  CudaEngine(const CudaEngine&) = delete;
  CudaEngine& operator=(const CudaEngine&) = delete;

  const BwrtCudaInfo& info() const { return info_; }
  const CudaPool& pool() const { return *pool_; }
  const CudaPlanCache& plans() const { return plans_; }

  CudaStatus Allocate(int64_t bytes, CudaMemory* to);
  void Free(const CudaMemory& memory);
  CudaStatus Upload(const CudaMemory& memory, int64_t offset, const std::byte* from, int64_t bytes);
  CudaStatus Read(const CudaMemory& memory, int64_t offset, std::byte* to, int64_t bytes);

  // `w` may be null.
  CudaStatus Plan(const BwrtCudaWave& wave, BwrtCudaEffective* effective);
  CudaStatus Run(const BwrtCudaWave& wave, const CudaMemory* w, const BwrtCudaProgress& progress,
                 BwrtCudaReport* report);

  // Finds the fastest right algorithm for waves like this one, without an epilogue, and uses it from then on.
  // `budget_ns` and the rest as BwrtCudaTuneOptions says.
  CudaStatus Tune(const BwrtCudaWave& wave, const BwrtCudaTuneOptions& options, const BwrtCudaProgress& progress,
                  CudaTuneResult* to);
  // INVALID where the library refuses it.
  CudaStatus SetTuning(const CudaTuning& tuning);
  std::vector<CudaTuning> Tunings() const { return tunings_.All(); }

  CudaStatus Recreate();

 private:
  // A stream for copies of weights, made on first use.
  struct Copier {
    runtime::Mutex mu;
    Stream stream ABSL_GUARDED_BY(mu) = nullptr;
    std::unique_ptr<CudaTransfer> transfer ABSL_GUARDED_BY(mu);
  };
  // Counts a call in, unless the device is lost; the destructor counts it out.
  class Entry;

  CudaEngine(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options);
  CudaStatus Open();
  // Checks the Hopper kernel where the device has what it needs; nothing else is in the context yet.
  CudaStatus Probe();
  // Remembers that the device is lost, if that is what `status` says.
  CudaStatus Note(CudaStatus status);
  // `status` once `stream` has run out; DEVICE_LOST when it can't.
  CudaStatus Settle(Stream stream, CudaStatus status);
  CudaStatus Ready(Copier& copier, int64_t piece) ABSL_EXCLUSIVE_LOCKS_REQUIRED(copier.mu);
  void Close(Copier& copier);
  static void Abandon(Copier& copier);
  // A new context; whatever was made in the old one is let go of without asking the driver, who may still be using it.
  CudaStatus Renew();
  CudaStatus CheckRange(const CudaMemory& memory, int64_t offset, int64_t bytes) const;
  CudaStatus WithLane(bool high, const std::function<CudaStatus(CudaLane&)>& work);
  CudaStatus RunOn(CudaLane& lane, const BwrtCudaWave& wave, const CudaMemory* w, const BwrtCudaProgress& progress,
                   BwrtCudaReport* report);

  const std::unique_ptr<CudaDriver> driver_;
  const CudaEngineOptions options_;
  BwrtCudaInfo info_{};
  CudaKernels kernels_;  // Changed by Open and Recreate alone.
  std::unique_ptr<CudaPool> pool_;
  std::unique_ptr<CudaLanes> lanes_;
  CudaTuningTable tunings_;  // Of the device, not of a context.
  CudaPlanCache plans_;
  Copier uploads_;
  Copier reads_;
  std::atomic<uint64_t> context_{1};

  runtime::Mutex mu_;
  runtime::CondVar changed_;
  int64_t inside_ ABSL_GUARDED_BY(mu_) = 0;  // Calls under way.
  bool recreating_ ABSL_GUARDED_BY(mu_) = false;
  CudaStatus lost_ ABSL_GUARDED_BY(mu_);  // OK while the device works.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_ENGINE_H_
