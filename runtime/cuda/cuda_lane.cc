#include "runtime/cuda/cuda_lane.h"

#include <utility>

namespace bwrt::cuda {

CudaStatus CudaLane::Create(CudaDriver* driver, CudaPool* pool, bool high, int64_t piece,
                            std::unique_ptr<CudaLane>* to) {
  std::unique_ptr<CudaLane> made(new CudaLane(driver, pool, high));
  if (CudaStatus status = driver->CreateStream(high, &made->stream_); !status.ok()) return status;
  for (Event* event : {&made->begin_, &made->end_, &made->launched_[0], &made->launched_[1]}) {
    if (CudaStatus status = driver->CreateEvent(event); !status.ok()) return status;
  }
  if (CudaStatus status = CudaTransfer::Create(driver, piece, &made->transfer_); !status.ok()) return status;
  *to = std::move(made);
  return {};
}

// Errors here are those that every later call meets again.
CudaLane::~CudaLane() {
  if (scratch_ != nullptr) pool_->Free(scratch_, scratch_bytes_);
  transfer_.reset();
  for (const Event event : {begin_, end_, launched_[0], launched_[1]}) {
    if (event != nullptr) (void)driver_->DestroyEvent(event).ok();
  }
  if (stream_ != nullptr) (void)driver_->DestroyStream(stream_).ok();
}

void CudaLane::Abandon() {
  transfer_->Abandon();
  stream_ = nullptr;
  begin_ = end_ = nullptr;
  launched_ = {};
  scratch_ = nullptr;
}

CudaStatus CudaLane::Reserve(int64_t bytes, DevicePtr* to) {
  if (scratch_ == nullptr || scratch_bytes_ < bytes) {
    if (scratch_ != nullptr) pool_->Free(std::exchange(scratch_, nullptr), scratch_bytes_);
    if (CudaStatus status = pool_->Allocate(bytes, &scratch_); !status.ok()) {
      scratch_ = nullptr;
      return status;
    }
    scratch_bytes_ = bytes;
  }
  *to = scratch_;
  return {};
}

CudaStatus CudaLanes::Take(bool high, std::unique_ptr<CudaLane>* to) {
  {
    runtime::MutexLock lock(mu_);
    for (auto& lane : free_) {
      if (lane->high() != high) continue;
      std::swap(lane, free_.back());
      *to = std::move(free_.back());
      free_.pop_back();
      return {};
    }
  }
  return CudaLane::Create(driver_, pool_, high, piece_, to);
}

void CudaLanes::GiveBack(std::unique_ptr<CudaLane> lane) {
  runtime::MutexLock lock(mu_);
  free_.push_back(std::move(lane));
}

void CudaLanes::Abandon() {
  runtime::MutexLock lock(mu_);
  for (auto& lane : free_) lane->Abandon();
  free_.clear();
}

}  // namespace bwrt::cuda
