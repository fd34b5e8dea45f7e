#include "runtime/cuda/cuda_counters.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bwrt::cuda {

CudaCounters::CudaCounters(Sources sources, std::chrono::nanoseconds interval) : interval_(interval) {
  for (auto& source : sources) {
    Rung& rung = rungs_.emplace_back();
    rung.source = std::move(source);
  }
}

CudaCounters::~CudaCounters() { Pause(); }

void CudaCounters::Pause() {
  runtime::MutexLock lock(mu_);
  for (Rung& rung : rungs_) Stop(rung);
}

void CudaCounters::Stop(Rung& rung) {
  if (!std::exchange(rung.counting, false)) return;
  rung.source->Stop();
}

bool CudaCounters::MayTry(const Rung& rung, Time now) {
  switch (rung.why_not.fault()) {
    case CounterFault::kNone:
      return true;
    case CounterFault::kBusy:
    case CounterFault::kFailed:
      return now >= rung.retry_at;
    case CounterFault::kDenied:
    case CounterFault::kMissing:
      return false;
  }
  return false;
}

void CudaCounters::Fail(Rung& rung, CounterStatus why, Time now) {
  Stop(rung);
  rung.why_not = std::move(why);
  rung.retry_at = now + rung.retry;
  rung.retry = std::min(rung.retry * 2, kLastRetry);
}

bool CudaCounters::Try(Rung& rung, Time now, CounterValues* values) {
  if (!rung.counting) {
    if (!MayTry(rung, now)) return false;
    if (CounterStatus status = rung.source->Start(interval_.count()); !status.ok()) {
      Fail(rung, std::move(status), now);
      return false;
    }
    rung.counting = true;
    rung.sampled_at = now;
    rung.why_not = {};
    return true;
  }
  CounterValues counted;
  if (CounterStatus status = rung.source->Sample(&counted); !status.ok()) {
    Fail(rung, std::move(status), now);
    return false;
  }
  const bool stale = now - rung.sampled_at > kStale * interval_;
  rung.sampled_at = now;
  // Only now: some sources start well and then fail each sample.
  rung.retry = kFirstRetry;
  if (!stale) *values = counted;
  return true;
}

void CudaCounters::Sample(Time now, BwrtCudaCounters* to) {
  runtime::MutexLock lock(mu_);
  CounterValues values;
  const CudaCounterSource* from = nullptr;
  for (Rung& rung : rungs_) {
    if (from != nullptr) {
      Stop(rung);
    } else if (Try(rung, now, &values)) {
      from = rung.source.get();
    }
  }
  const auto counter = [from](float ratio) {
    return BwrtCudaCounter{ratio, ratio < 0 ? BWRT_CUDA_SOURCE_NONE : from->id()};
  };
  to->size = sizeof(*to);
  to->counting = from != nullptr ? 1 : 0;
  to->tensor_active = counter(values.tensor_active);
  to->l2_hit = counter(values.l2_hit);
  to->dram_throughput = counter(values.dram_throughput);
  to->sm_active = counter(values.sm_active);
  const std::string text = Text();
  const size_t size = std::min(text.size(), sizeof(to->text) - 1);
  std::memcpy(to->text, text.data(), size);
  to->text[size] = '\0';
}

std::string CudaCounters::Text() const {
  std::string counting;
  std::string off;
  for (const Rung& rung : rungs_) {
    if (rung.counting) counting = rung.source->name();
    if (rung.why_not.ok()) continue;
    off += off.empty() ? "" : "; ";
    off += std::string(rung.source->name()) + ": " + rung.why_not.text();
  }
  if (counting.empty()) return "none: " + (off.empty() ? "no source was asked for" : off);
  return off.empty() ? counting : counting + " (" + off + ")";
}

}  // namespace bwrt::cuda
