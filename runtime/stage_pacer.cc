#include "runtime/stage_pacer.h"

#include <algorithm>
#include <memory>

namespace bwrt::runtime {

void StagePacer::Wait(int64_t bytes) {
  if (rate_ == 0) return;
  MutexLock lock(mu_);
  const Time now = clock_->Now();
  if (!IsBusyLocked(now)) return;
  const Time from = std::max(free_at_, now);
  free_at_ = from + Duration(static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_)));
  if (from <= now) return;
  // Shared with the alarm, which may come after a Stop.
  const auto over = std::make_shared<bool>(false);
  const Clock::AlarmId alarm = clock_->SetAlarm(from, [this, over] {
    MutexLock firing(mu_);
    *over = true;
    passed_.NotifyAll();
  });
  while (!*over && !stopped_) passed_.Wait(mu_);
  clock_->CancelAlarm(alarm);
}

bool StagePacer::IsBusyLocked(Time now) {
  if (busy_()) seen_ = now;
  return seen_ && now < *seen_ + kLinger;
}

void StagePacer::Stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  passed_.NotifyAll();
}

}  // namespace bwrt::runtime
