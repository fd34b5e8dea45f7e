#include "runtime/tile_workers.h"

#include <algorithm>

namespace bwrt::runtime {
namespace {

// How often Run's thread looks whether its helpers have left before it falls asleep: some 50 us, about as long as to be
// woken takes. They are at their last part of a tile.
constexpr int kLooks = 2000;

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

TileWorkers::TileWorkers(int threads) : threads_(threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
}

TileWorkers::~TileWorkers() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  invited_.NotifyAll();
  for (std::thread& worker : workers_) worker.join();
}

void TileWorkers::Run(Work& work) {
  Open open{&work};
  {
    MutexLock lock(mu_);
    ++busy_;
    open_.push_back(&open);
    InviteLocked();
  }
  work.Do();
  {
    MutexLock lock(mu_);
    open_.erase(std::find(open_.begin(), open_.end(), &open));
    LeaveLocked();
  }
  // From here on nobody joins.
  for (int i = 0; i < kLooks && open.helpers.load(std::memory_order_acquire) > 0; ++i) Relax();
  MutexLock lock(mu_);
  while (open.helpers.load(std::memory_order_relaxed) > 0) left_.Wait(mu_);
}

void TileWorkers::RunAlone(Work& work) {
  {
    MutexLock lock(mu_);
    ++busy_;
  }
  work.Do();
  MutexLock lock(mu_);
  LeaveLocked();
}

void TileWorkers::WorkerLoop() {
  MutexLock lock(mu_);
  while (!stopping_) {
    Open* open = PickLocked();
    if (open == nullptr) {
      ++idle_;
      invited_.Wait(mu_);
      --idle_;
      continue;
    }
    ++busy_;
    open->helpers.fetch_add(1, std::memory_order_relaxed);
    InviteLocked();
    mu_.Unlock();
    open->work->Do();
    mu_.Lock();
    LeaveLocked();
    if (open->helpers.fetch_sub(1, std::memory_order_release) == 1) left_.NotifyAll();
  }
}

TileWorkers::Open* TileWorkers::PickLocked() const {
  if (busy_ >= threads_) return nullptr;
  const auto at = std::find_if(open_.begin(), open_.end(), [](const Open* open) { return open->work->HasMore(); });
  return at == open_.end() ? nullptr : *at;
}

void TileWorkers::InviteLocked() {
  if (idle_ > 0 && PickLocked() != nullptr) invited_.NotifyOne();
}

void TileWorkers::LeaveLocked() {
  --busy_;
  InviteLocked();
}

}  // namespace bwrt::runtime
