#include "runtime/stage_pacer.h"

#include <algorithm>

namespace bwrt::runtime {

void StagePacer::Wait(int64_t bytes) {
  if (rate_ == 0 || !busy_()) return;
  const Time now = clock_->Now();
  Time from;
  {
    MutexLock lock(mu_);
    from = std::max(free_at_, now);
    free_at_ = from + Duration(static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_)));
  }
  if (from <= now) return;
  Mutex mu;
  CondVar passed;
  bool over = false;
  clock_->SetAlarm(from, [&] {
    MutexLock lock(mu);
    over = true;
    passed.NotifyAll();
  });
  MutexLock lock(mu);
  while (!over) passed.Wait(mu);
}

}  // namespace bwrt::runtime
