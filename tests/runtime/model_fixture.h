// A Model in a line of its own, with manual time and executor, and waves and swaps to drive it by hand.
#ifndef BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model.h"
#include "runtime/swap_line.h"
#include "tests/support/blank_version.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {

// A version with one new tensor of four bytes that stands for its content.
inline WeightVersion::Ptr TinyVersion(const WeightVersion& base) {
  return BlankVersion(base, "v", {{"w", std::make_shared<BlankTensor>(TensorType{kernels::DType::kF32, {1}})}});
}

class ModelHarness {
 public:
  explicit ModelHarness(SwapLineOptions options = {}, int keep_versions = 0)
      : line(options, {.clock = &clock,
                       .executor = &executor,
                       .journal_executor = &executor,
                       .journal = nullptr,
                       .observer = &observer,
                       .failpoints = nullptr,
                       .on_startable = [this] { ++startable; }}),
        model(std::make_shared<Model>("m", keep_versions, &line)) {}

  std::unique_ptr<Lease> Start(SwapWindow window, TokenPlan tokens, std::string id = "") {
    auto lease = model->Start({WaveNumber(++last_wave), std::move(id), window, tokens, Version()});
    return lease.ok() ? *std::move(lease) : nullptr;
  }

  // Builds on the current version and asks to swap; outcomes[index] gets the outcome.
  size_t Swap(SwapOptions options) { return SwapOn(line.NewTicket(), model->current(), options); }
  size_t SwapOn(SwapTicket ticket, const WeightVersion::Ptr& base, SwapOptions options,
                const std::optional<Digest>& manifest = std::nullopt) {
    const size_t index = outcomes.size();
    outcomes.emplace_back();
    tickets.push_back(ticket);
    SwapRequest request;
    request.ticket = ticket;
    request.parts = {{model, TinyVersion(*base), manifest}};
    request.options = options;
    request.done = [this, index](const SwapOutcome& outcome) {
      ++calls;
      outcomes[index] = outcome;
    };
    line.Swap(std::move(request));
    return index;
  }
  bool Cancel(size_t index, const absl::Status& why) { return line.Cancel(tickets[index].number, why); }
  bool Flipped(size_t index) const { return outcomes[index] && outcomes[index]->kind == SwapOutcome::Kind::kFlipped; }

  ManualClock clock;
  ManualExecutor executor;
  RecordingObserver observer;
  int startable = 0;
  uint64_t last_wave = 0;
  int calls = 0;
  std::vector<std::optional<SwapOutcome>> outcomes;
  std::vector<SwapTicket> tickets;
  SwapLine line;
  std::shared_ptr<Model> model;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_
