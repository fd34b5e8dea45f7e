#include "client/bench_loop.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

using Time = WaveCarrier::Time;

class Loop {
 public:
  Loop(WaveCarrier& carrier, const LoopPlan& plan, const std::function<Time()>& now)
      : carrier_(carrier),
        plan_(plan),
        now_(now),
        batch_(plan.sync_every == 0 ? 0 : std::max(plan.sync_every, plan.in_flight)),
        sent_at_(static_cast<size_t>(plan.in_flight)) {
    for (int64_t id = plan.in_flight; id-- > 0;) free_.push_back(static_cast<uint64_t>(id));
  }

  absl::StatusOr<LoopResult> Run() {
    begin_ = heard_ = now_();
    std::vector<WaveCarrier::Answer> answers;
    for (Time now = begin_;; now = now_()) {
      SendAll(now);
      if (Outstanding() == 0) break;
      answers.clear();
      const Time give_up = heard_ + plan_.patience;
      const Time deadline = retries_.empty() ? give_up : std::min(give_up, retries_.top().first);
      if (absl::Status status = carrier_.Receive(deadline, &answers); !status.ok()) return status;
      const Time received = now_();
      if (!answers.empty()) heard_ = received;
      if (received >= heard_ + plan_.patience) {
        return absl::DeadlineExceededError(absl::StrCat("no wave was answered for ",
                                                        absl::FormatDuration(absl::FromChrono(plan_.patience)), "; ",
                                                        Outstanding(), " are outstanding"));
      }
      for (WaveCarrier::Answer& answer : answers) {
        if (absl::Status status = Take(answer, received); !status.ok()) return status;
      }
    }
    result_.seconds = std::chrono::duration<double>(heard_ - begin_).count();
    return std::move(result_);
  }

 private:
  using Retry = std::pair<Time, uint64_t>;

  int64_t Outstanding() const { return plan_.in_flight - static_cast<int64_t>(free_.size()); }

  bool WantsMore(Time now) const {
    if (plan_.waves > 0) return sent_ < plan_.waves;
    return sent_ < plan_.in_flight || now - begin_ < plan_.time;
  }

  void SendAll(Time now) {
    while (!retries_.empty() && retries_.top().first <= now) {
      carrier_.Send(retries_.top().second);
      retries_.pop();
    }
    if (syncing_ && Outstanding() == 0) {
      syncing_ = false;
      in_batch_ = 0;
    }
    while (!syncing_ && !free_.empty() && WantsMore(now)) {
      const uint64_t id = free_.back();
      free_.pop_back();
      // Read again: sending a thousand waves takes its time.
      sent_at_[id] = now_();
      carrier_.Send(id);
      ++sent_;
      ++in_batch_;
      syncing_ = in_batch_ == batch_;
    }
  }

  absl::Status Take(const WaveCarrier::Answer& answer, Time received) {
    if (answer.status.ok()) {
      ++result_.waves;
      result_.latencies_us.push_back(std::chrono::duration<float, std::micro>(received - sent_at_[answer.id]).count());
      free_.push_back(answer.id);
      return absl::OkStatus();
    }
    const auto delay = absl::IsResourceExhausted(answer.status) ? DetailsOf(answer.status).retry_delay : std::nullopt;
    if (!delay.has_value()) return answer.status;
    ++result_.refused;
    retries_.emplace(received + absl::ToChronoNanoseconds(std::max(*delay, absl::Milliseconds(1))), answer.id);
    return absl::OkStatus();
  }

  WaveCarrier& carrier_;
  const LoopPlan& plan_;
  const std::function<Time()>& now_;
  const int64_t batch_;  // Waves between two syncs. 0: no sync but the end.
  Time begin_;
  Time heard_;  // When the last answer came.
  int64_t sent_ = 0;
  int64_t in_batch_ = 0;
  bool syncing_ = false;
  std::vector<uint64_t> free_;  // Ids not in use, below plan_.in_flight.
  std::vector<Time> sent_at_;   // By id.
  std::priority_queue<Retry, std::vector<Retry>, std::greater<>> retries_;
  LoopResult result_;
};

}  // namespace

absl::StatusOr<LoopResult> RunLoop(WaveCarrier& carrier, const LoopPlan& plan,
                                   const std::function<WaveCarrier::Time()>& now) {
  return Loop(carrier, plan, now).Run();
}

}  // namespace bwrt::client
