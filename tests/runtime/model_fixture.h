// A Model with manual time and executor, and waves and swaps to drive it by hand.
#ifndef BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {

// A tensor of four bytes that stands for a version's content.
class TinyTensor final : public DeviceTensor {
 public:
  TinyTensor() : DeviceTensor({kernels::DType::kF32, {1}}) {}
};

class ModelHarness {
 public:
  explicit ModelHarness(ModelOptions options = {}) {
    model = std::make_shared<Model>("m", options, &clock, &executor, &observer, [this] { ++startable; });
  }

  std::unique_ptr<Lease> Start(SwapWindow window, TokenPlan tokens, std::string id = "") {
    auto lease = model->Start({WaveNumber(++last_wave), std::move(id), window, tokens, Version()});
    return lease.ok() ? *std::move(lease) : nullptr;
  }

  // Builds on the current version and asks to swap; outcomes[index] gets the outcome.
  size_t Swap(SwapOptions options) { return SwapOn(model->NewTicket(), model->current(), options); }
  size_t SwapOn(SwapTicket ticket, const WeightVersion::Ptr& base, SwapOptions options) {
    const size_t index = outcomes.size();
    outcomes.emplace_back();
    tickets.push_back(ticket);
    model->Swap(ticket, base->With("v", {{"w", std::make_shared<TinyTensor>()}}), options,
                [this, index](const SwapOutcome& outcome) {
                  ++calls;
                  outcomes[index] = outcome;
                });
    return index;
  }
  bool Flipped(size_t index) const { return outcomes[index] && outcomes[index]->kind == SwapOutcome::Kind::kFlipped; }

  ManualClock clock;
  ManualExecutor executor;
  RecordingObserver observer;
  int startable = 0;
  uint64_t last_wave = 0;
  int calls = 0;
  std::vector<std::optional<SwapOutcome>> outcomes;
  std::vector<SwapTicket> tickets;
  std::shared_ptr<Model> model;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_MODEL_FIXTURE_H_
