// CudaLane: what one wave at a time runs on: a stream, its events, pinned memory and a piece of device memory that
// grows to the largest wave. CudaLanes keeps those that are free.
#ifndef BWRT_RUNTIME_CUDA_CUDA_LANE_H_
#define BWRT_RUNTIME_CUDA_CUDA_LANE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_graph_cache.h"
#include "runtime/cuda/cuda_pool.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda/cuda_transfer.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

// One thread at a time.
class CudaLane {
 public:
  // `piece`: pinned bytes of each half of its transfer. `graphs`: as many are kept; 0: kernels are queued one by one.
  static CudaStatus Create(CudaDriver* driver, CudaPool* pool, bool high, int64_t piece, size_t graphs,
                           std::unique_ptr<CudaLane>* to);
  // The stream must have nothing under way.
  ~CudaLane();
  CudaLane(const CudaLane&) = delete;
  CudaLane& operator=(const CudaLane&) = delete;

  bool high() const { return high_; }
  Stream stream() const { return stream_; }
  Event begin() const { return begin_; }
  Event end() const { return end_; }
  // Behind every second launch of a wave.
  Event launched(int64_t launch) const { return launched_[static_cast<size_t>(launch % 2)]; }
  CudaTransfer& transfer() { return *transfer_; }
  CudaGraphCache& graphs() { return graphs_; }

  // `bytes` of device memory, until the next call.
  CudaStatus Reserve(int64_t bytes, DevicePtr* to);
  // The context is gone, and what was made in it: nothing is given back.
  void Abandon();

 private:
  CudaLane(CudaDriver* driver, CudaPool* pool, bool high, size_t graphs)
      : driver_(driver), pool_(pool), high_(high), graphs_(driver, graphs) {}

  CudaDriver* const driver_;
  CudaPool* const pool_;
  const bool high_;
  Stream stream_ = nullptr;
  Event begin_ = nullptr;
  Event end_ = nullptr;
  std::array<Event, 2> launched_{};
  std::unique_ptr<CudaTransfer> transfer_;
  DevicePtr scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
  CudaGraphCache graphs_;
};

// Thread-safe.
class CudaLanes {
 public:
  CudaLanes(CudaDriver* driver, CudaPool* pool, int64_t piece, size_t graphs)
      : driver_(driver), pool_(pool), piece_(piece), graphs_(graphs) {}

  // A free lane, or a new one: there are as many as waves ran at once. Each that was taken must be given back.
  CudaStatus Take(bool high, std::unique_ptr<CudaLane>* to);
  // Null for one that had to be destroyed.
  void GiveBack(std::unique_ptr<CudaLane> lane);
  // Weights in this memory are gone: no lane launches a graph that reads them. A wave that runs may be reading others.
  void Forget(const std::byte* memory, int64_t bytes);
  // The context is gone; every lane must have been given back.
  void Abandon();

 private:
  CudaDriver* const driver_;
  CudaPool* const pool_;
  struct Range {
    const std::byte* begin;
    int64_t bytes;
  };

  const int64_t piece_;
  const size_t graphs_;
  runtime::Mutex mu_;
  std::vector<std::unique_ptr<CudaLane>> free_ ABSL_GUARDED_BY(mu_);
  int64_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Range> forgotten_ ABSL_GUARDED_BY(mu_);  // While lanes were taken, which learn of it when they come back.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_LANE_H_
