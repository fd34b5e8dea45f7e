#include "runtime/wave_queue.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/not_serving.h"

namespace bwrt::runtime {

bool WaveQueue::Before::operator()(const WaveJobPtr& a, const WaveJobPtr& b) const {
  if (a->wave.priority != b->wave.priority) return a->wave.priority > b->wave.priority;
  const Time da = a->wave.deadline.value_or(Time::max());
  const Time db = b->wave.deadline.value_or(Time::max());
  if (da != db) return da < db;
  return a->number < b->number;
}

absl::Status WaveQueue::Push(const WaveJobPtr& job) {
  {
    MutexLock lock(mu_);
    if (closed_) return DrainingError();
    const auto waves = static_cast<int64_t>(waiting_.size());
    const int64_t bytes = job->wave.held_bytes.value();
    if (waves >= max_waves_ || bytes > max_bytes_.value() - bytes_) {
      ErrorDetails details;
      details.reason = "QUEUE_FULL";
      details.metadata = {{"queued_waves", absl::StrCat(waves)}, {"held_bytes", absl::StrCat(bytes_)}};
      details.retry_after = std::chrono::milliseconds(100);
      return MakeError(
          absl::StatusCode::kResourceExhausted,
          absl::StrCat("queue full: ", waves, " of ", max_waves_, " waves wait, ", bytes_, " of ", max_bytes_.value(),
                       " operand bytes are held and this wave needs ", bytes, "; retry later"),
          details);
    }
    bytes_ += bytes;
    InsertLocked(job);
  }
  (job->needs_prefetch ? prefetches_ : lanes_).NotifyOne();
  return absl::OkStatus();
}

bool WaveQueue::TryBorrowLane(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  const int64_t bytes = job->wave.held_bytes.value();
  if (closed_ || !waiting_.empty() || !ready_.empty() || idle_.load(std::memory_order_relaxed) <= borrowed_ ||
      bytes > max_bytes_.value() - bytes_ || job->model->held_back()) {
    return false;
  }
  bytes_ += bytes;
  ++borrowed_;
  return true;
}

void WaveQueue::ReturnLane() {
  MutexLock lock(mu_);
  --borrowed_;
  if (!waiting_.empty() || !ready_.empty()) lanes_.NotifyOne();
}

WaveJobPtr WaveQueue::Pop() {
  MutexLock lock(mu_);
  while (true) {
    // One of the idle lanes is this one.
    const bool borrowed = borrowed_ > idle_.load(std::memory_order_relaxed);
    if (!ready_.empty() && !borrowed) {
      WaveJobPtr job = std::move(ready_.front());
      ready_.pop_front();
      return job;
    }
    if (!borrowed) {
      if (WaveJobPtr job = TakeLocked(/*needs_prefetch=*/false)) return job;
    }
    if (closed_ && waiting_.empty() && prefetching_ == 0) return nullptr;
    idle_.fetch_add(1, std::memory_order_relaxed);
    lanes_.Wait(mu_);
    idle_.fetch_sub(1, std::memory_order_relaxed);
  }
}

WaveJobPtr WaveQueue::PopPrefetch() {
  MutexLock lock(mu_);
  while (true) {
    if (prefetching_ < max_prefetching_) {
      if (WaveJobPtr job = TakeLocked(/*needs_prefetch=*/true)) {
        ++prefetching_;
        return job;
      }
    }
    if (closed_ &&
        std::none_of(waiting_.begin(), waiting_.end(), [](const WaveJobPtr& job) { return job->needs_prefetch; })) {
      return nullptr;
    }
    prefetches_.Wait(mu_);
  }
}

WaveJobPtr WaveQueue::TakeLocked(bool needs_prefetch) {
  const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const WaveJobPtr& job) {
    return job->needs_prefetch == needs_prefetch && !job->model->held_back();
  });
  if (at == waiting_.end()) return nullptr;
  WaveJobPtr job = *at;
  EraseLocked(at);
  return job;
}

void WaveQueue::PushReady(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  ready_.push_back(job);
  --prefetching_;
  lanes_.NotifyOne();
  prefetches_.NotifyOne();
}

void WaveQueue::EndPrefetch() {
  MutexLock lock(mu_);
  --prefetching_;
  NotifyAllLocked();
}

void WaveQueue::PutBack(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  InsertLocked(job);
  if (job->needs_prefetch) --prefetching_;
  // The hold may have ended between the attempt to start and now, and its Wake come too early for this job.
  NotifyAllLocked();
}

bool WaveQueue::Remove(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  const auto at = waiting_.find(job);
  if (at == waiting_.end()) return false;
  EraseLocked(at);
  if (closed_) NotifyAllLocked();
  return true;
}

void WaveQueue::Release(const WaveJob& job) {
  MutexLock lock(mu_);
  bytes_ -= job.wave.held_bytes.value();
}

void WaveQueue::Wake() {
  // Under the lock, so that a lane that has just found nothing to start is already waiting.
  MutexLock lock(mu_);
  NotifyAllLocked();
}

void WaveQueue::Close() {
  MutexLock lock(mu_);
  closed_ = true;
  NotifyAllLocked();
}

void WaveQueue::NotifyAllLocked() {
  lanes_.NotifyAll();
  prefetches_.NotifyAll();
}

void WaveQueue::InsertLocked(const WaveJobPtr& job) {
  waiting_.insert(job);
  depth_.store(waiting_.size(), std::memory_order_relaxed);
}

void WaveQueue::EraseLocked(std::set<WaveJobPtr, Before>::iterator at) {
  waiting_.erase(at);
  depth_.store(waiting_.size(), std::memory_order_relaxed);
}

}  // namespace bwrt::runtime
