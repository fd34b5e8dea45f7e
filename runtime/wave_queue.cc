#include "runtime/wave_queue.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "runtime/drain.h"
#include "runtime/error.h"

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
      return MakeError(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("queue full: ", waves, " of ", max_waves_, " waves wait, ", bytes_, " of ",
                                    max_bytes_.value(), " operand bytes are held and this wave needs ", bytes,
                                    "; retry later"),
                       details);
    }
    bytes_ += bytes;
    InsertLocked(job);
  }
  changed_.NotifyOne();
  return absl::OkStatus();
}

WaveJobPtr WaveQueue::Pop() {
  MutexLock lock(mu_);
  while (true) {
    const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                                 [](const WaveJobPtr& job) { return !job->model->held_back(); });
    if (at != waiting_.end()) {
      WaveJobPtr job = *at;
      EraseLocked(at);
      return job;
    }
    if (closed_ && waiting_.empty()) return nullptr;
    changed_.Wait(mu_);
  }
}

void WaveQueue::PutBack(const WaveJobPtr& job) {
  {
    MutexLock lock(mu_);
    InsertLocked(job);
  }
  // The hold may have ended between the lane's attempt and now, and its Wake come too early for this job.
  changed_.NotifyOne();
}

bool WaveQueue::Remove(const WaveJobPtr& job) {
  MutexLock lock(mu_);
  const auto at = waiting_.find(job);
  if (at == waiting_.end()) return false;
  EraseLocked(at);
  if (closed_ && waiting_.empty()) changed_.NotifyAll();
  return true;
}

void WaveQueue::Release(const WaveJob& job) {
  MutexLock lock(mu_);
  bytes_ -= job.wave.held_bytes.value();
}

void WaveQueue::Wake() {
  // Under the lock, so that a lane that has just found nothing to start is already waiting.
  MutexLock lock(mu_);
  changed_.NotifyAll();
}

void WaveQueue::Close() {
  MutexLock lock(mu_);
  closed_ = true;
  changed_.NotifyAll();
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
