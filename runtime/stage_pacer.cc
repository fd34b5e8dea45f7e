#include "runtime/stage_pacer.h"

#include <algorithm>
#include <memory>

namespace bwrt::runtime {

void StagePacer::Wait(int64_t bytes) {
  if (limit_.rate == 0) return;
  MutexLock lock(mu_);
  const Time now = clock_->Now();
  if (!IsBusyLocked(now)) {
    LearnLocked(now, bytes);
    return;
  }
  stretch_.reset();
  const double rate = RateLocked();
  if (rate == 0) return;
  const Time from = std::max(free_at_, now);
  free_at_ = from + Duration(static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / rate));
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

void StagePacer::LearnLocked(Time now, int64_t bytes) {
  if (!stretch_) stretch_ = Stretch{now};
  if (stretch_->bytes >= StageLimit::kLearned && now > stretch_->begin) {
    best_ = std::max(best_, static_cast<double>(stretch_->bytes) / Seconds(now - stretch_->begin));
    stretch_ = Stretch{now};
  }
  stretch_->bytes += bytes;  // From now on; when the next ones come they have been staged.
}

double StagePacer::RateLocked() const {
  return limit_.rate ? static_cast<double>(*limit_.rate) : best_ * StageLimit::kShare;
}

void StagePacer::Stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  passed_.NotifyAll();
}

}  // namespace bwrt::runtime
