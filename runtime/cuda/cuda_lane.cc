#include "runtime/cuda/cuda_lane.h"

#include <utility>

namespace bwrt::cuda {

CudaStatus CudaLane::Create(CudaDriver* driver, CudaPool* pool, bool high, int64_t piece, size_t graphs,
                            std::unique_ptr<CudaLane>* to) {
  std::unique_ptr<CudaLane> made(new CudaLane(driver, pool, high, graphs));
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
  graphs_.Abandon();
  stream_ = nullptr;
  begin_ = end_ = nullptr;
  launched_ = {};
  scratch_ = nullptr;
}

CudaStatus CudaLane::Reserve(int64_t bytes, DevicePtr* to) {
  if (scratch_ == nullptr || scratch_bytes_ < bytes) {
    if (scratch_ != nullptr) {
      graphs_.Forget(scratch_, scratch_bytes_);
      pool_->Free(std::exchange(scratch_, nullptr), scratch_bytes_);
    }
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
    ++taken_;
    for (auto& lane : free_) {
      if (lane->high() != high) continue;
      std::swap(lane, free_.back());
      *to = std::move(free_.back());
      free_.pop_back();
      return {};
    }
  }
  CudaStatus status = CudaLane::Create(driver_, pool_, high, piece_, graphs_, to);
  if (!status.ok()) GiveBack(nullptr);
  return status;
}

void CudaLanes::GiveBack(std::unique_ptr<CudaLane> lane) {
  runtime::MutexLock lock(mu_);
  if (lane != nullptr) {
    for (const Range& range : forgotten_) lane->graphs().Forget(range.begin, range.bytes);
    free_.push_back(std::move(lane));
  }
  if (--taken_ == 0) forgotten_.clear();
}

void CudaLanes::Forget(const std::byte* memory, int64_t bytes) {
  runtime::MutexLock lock(mu_);
  for (const auto& lane : free_) lane->graphs().Forget(memory, bytes);
  if (taken_ > 0) forgotten_.push_back({memory, bytes});
}

void CudaLanes::Abandon() {
  runtime::MutexLock lock(mu_);
  for (auto& lane : free_) lane->Abandon();
  free_.clear();
  forgotten_.clear();
}

}  // namespace bwrt::cuda
