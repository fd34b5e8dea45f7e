// A SwapLine with models, a journal that can fail, manual time and executors, and waves and swaps to drive them by
// hand.
#ifndef BWRT_TESTS_RUNTIME_SWAP_LINE_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_SWAP_LINE_FIXTURE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/model.h"
#include "runtime/swap_line.h"
#include "tests/support/blank_version.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {

// Writes down what it is told, in the log of the harness.
class LoggingJournal final : public SwapJournal {
 public:
  explicit LoggingJournal(std::vector<std::string>* log) : log_(log) {}

  absl::Status Decide(const SwapDecision& decision) override {
    log_->push_back(absl::StrCat("decide ", decision.id));
    return decide;
  }
  absl::Status Revoke(const SwapDecision& decision) override {
    log_->push_back(absl::StrCat("revoke ", decision.id));
    return revoke;
  }
  void Confirm(const SwapDecision& decision) override { log_->push_back(absl::StrCat("confirm ", decision.id)); }

  // What they answer from now on.
  absl::Status decide;
  absl::Status revoke;

 private:
  std::vector<std::string>* const log_;
};

class LineHarness {
 public:
  struct Wish {
    std::vector<std::string> models;
    SwapPolicy policy = SwapPolicy::kInWindow;
    bool durable = false;
    bool in_place = false;
    std::optional<Duration> hold_after = {};
  };

  explicit LineHarness(const std::vector<std::string>& names, SwapLineOptions options = {}, int keep_versions = 0)
      : line(options, {.clock = &clock,
                       .executor = &executor,
                       .journal_executor = &journal_executor,
                       .journal = &journal,
                       .observer = &observer,
                       .failpoints = nullptr,
                       .on_startable = [this] { ++startable; }}) {
    for (const std::string& name : names) models[name] = std::make_shared<Model>(name, keep_versions, &line);
  }

  // ---- Waves. Null when it was held back or refused.
  std::unique_ptr<Lease> Start(const std::string& model, SwapWindow window, int64_t tiles) {
    auto lease = models[model]->Start({WaveNumber(++last_wave), "", window, {.prefetch = 0, .tiles = tiles}, {}});
    return lease.ok() ? *std::move(lease) : nullptr;
  }
  // A wave of two tokens that keeps the window closed until Open.
  std::unique_ptr<Lease> Close(const std::string& model) { return Start(model, {1, 2}, 2); }
  static void Open(Lease& closed) { closed.Step(0, 1); }

  uint64_t version(const std::string& model) { return models[model]->current()->number().value(); }

  // ---- Swaps
  // Builds on the current versions and asks to swap; outcomes[index] gets the outcome.
  size_t Swap(const Wish& wish) {
    const size_t index = outcomes.size();
    outcomes.emplace_back();
    wishes.push_back(wish);
    tickets.push_back(line.NewTicket());
    Offer(index);
    return index;
  }
  // With the ticket it has, on the versions that are current now. Decision ids are numbered from 1.
  void Offer(size_t index) {
    const Wish& wish = wishes[index];
    outcomes[index].reset();
    SwapRequest request;
    request.ticket = tickets[index];
    request.options = {wish.policy, std::chrono::seconds(30), wish.hold_after};
    request.in_place = wish.in_place;
    if (wish.durable) {
      request.decision.emplace();
      request.decision->id = ++last_decision;
    }
    for (const std::string& name : wish.models) {
      std::optional<Digest> manifest;
      if (wish.durable) manifest = Digest::Of(Digest::Kind::kXxh3, absl::StrCat(name, last_decision));
      request.parts.push_back(
          {models[name], BlankVersion(*models[name]->current(), "v", {{"w", std::make_shared<BlankTensor>(kFour)}}),
           manifest});
    }
    request.done = [this, index](const SwapOutcome& outcome) {
      log.push_back(absl::StrCat("done ", index));
      tickets[index] = outcome.ticket;
      outcomes[index] = outcome;
    };
    line.Swap(std::move(request));
  }
  bool Cancel(size_t index, const absl::Status& why) { return line.Cancel(tickets[index].number, why); }

  bool Ended(size_t index) const { return outcomes[index].has_value(); }
  bool Is(size_t index, SwapOutcome::Kind kind) const { return outcomes[index] && outcomes[index]->kind == kind; }
  bool Flipped(size_t index) const { return Is(index, SwapOutcome::Kind::kFlipped); }
  bool BaseMoved(size_t index) const { return Is(index, SwapOutcome::Kind::kBaseMoved); }
  // Why it failed; OK when it has not.
  absl::Status Why(size_t index) const {
    return Is(index, SwapOutcome::Kind::kFailed) ? outcomes[index]->status : absl::OkStatus();
  }

  static inline const TensorType kFour{kernels::DType::kF32, {1}};

  ManualClock clock;
  ManualExecutor executor;
  ManualExecutor journal_executor;
  RecordingObserver observer;
  std::vector<std::string> log;  // What the journal was told, and "done <index>", in order.
  LoggingJournal journal{&log};
  int startable = 0;
  uint64_t last_wave = 0;
  uint64_t last_decision = 0;
  std::vector<std::optional<SwapOutcome>> outcomes;
  std::vector<Wish> wishes;
  std::vector<SwapTicket> tickets;
  SwapLine line;
  std::map<std::string, std::shared_ptr<Model>> models;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_SWAP_LINE_FIXTURE_H_
