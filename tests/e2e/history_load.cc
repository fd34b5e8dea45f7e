#include "tests/e2e/history_load.h"

#include <gtest/gtest.h>

#include <iterator>
#include <utility>

#include "client/status.h"

namespace bwrt::e2e {
namespace {

uint64_t Below(std::mt19937_64& draw, uint64_t end) { return draw() % end; }

std::string AnyModel(std::mt19937_64& draw) { return kHistoryModels[Below(draw, std::size(kHistoryModels))]; }

}  // namespace

HistoryLoad::HistoryLoad(const std::string& address, HistoryRecorder* recorder, const HistoryLoadOptions& options)
    : address_(address), recorder_(recorder), options_(options) {
  running_ = options.publishers + options.submitters;
  for (int i = 0; i < options.publishers; ++i) {
    Start(options.seed * 100 + static_cast<uint64_t>(i), options.changes,
          [this](HistoryClient& client, Draw& draw) { return Change(client, draw); });
  }
  for (int i = 0; i < options.submitters; ++i) {
    Start(options.seed * 100 + 50 + static_cast<uint64_t>(i), options.waves,
          [](HistoryClient& client, Draw& draw) { return RunWave(client, draw); });
  }
}

HistoryLoad::~HistoryLoad() { Join(); }

void HistoryLoad::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void HistoryLoad::Start(uint64_t seed, int count, std::function<absl::Status(HistoryClient&, Draw&)> act) {
  threads_.emplace_back([this, seed, count, act = std::move(act)] {
    Draw draw(seed);
    HistoryClient client(address_, recorder_);
    for (int i = 0; i < count; ++i) {
      const absl::Status status = act(client, draw);
      EXPECT_FALSE(absl::IsDeadlineExceeded(status) && IsUnanswered(status)) << "a call hangs: " << status;
      if (IsGone(status)) break;
    }
    if (--running_ == 0) recorder_->Wake();
  });
}

absl::Status HistoryLoad::RunWave(HistoryClient& client, Draw& draw) {
  const int rows = Below(draw, 8) == 0 ? 64 : 1 + static_cast<int>(Below(draw, 8));
  const std::string model = Below(draw, 4) == 0 ? kPassingModel : AnyModel(draw);
  return client.RunWave(model, rows, /*tight=*/Below(draw, 4) == 0);
}

absl::Status HistoryLoad::RollBack(HistoryClient& client, const std::string& model, Draw& draw, SwapChoice choice) {
  const auto state = client.weights().GetModel(model);
  if (!state.ok()) return state.status();
  if (state->kept().empty()) return absl::OkStatus();
  const auto pick = static_cast<int>(Below(draw, static_cast<uint64_t>(state->kept_size())));
  return client.Rollback(model, state->kept(pick), choice);
}

absl::Status HistoryLoad::Change(HistoryClient& client, Draw& draw) const {
  const std::string model = AnyModel(draw);
  SwapChoice choice;
  choice.policy = Below(draw, 3) == 0 ? v1::IN_WINDOW : v1::WAIT_FOR_WINDOW;
  choice.hold = Below(draw, 4) != 0;
  switch (Below(draw, 8)) {
    case 0:
      return client.SetWeights(model, choice);
    case 1:
      return RollBack(client, model, draw, choice);
    case 2: {  // A group.
      std::vector<Staged> group;
      for (const char* name : kHistoryModels) {
        auto staged = client.Prepare(name);
        if (!staged.ok()) return staged.status();
        group.push_back(*std::move(staged));
      }
      return client.Commit(group, choice);
    }
    case 3: {  // Prepared, and given up.
      const auto staged = client.Prepare(model);
      return staged.ok() ? client.weights().Abort(staged->id).status() : staged.status();
    }
    case 4:
      return Below(draw, 2) == 0 ? client.SetWeights(kPassingModel, choice) : client.DeleteModel(kPassingModel);
    case 5: {
      const auto staged = client.Prepare(kPassingModel);
      return staged.ok() ? client.Commit({*staged}, choice) : staged.status();
    }
    default: {
      const auto staged = client.Prepare(model, "", options_.in_place && Below(draw, 2) == 0);
      return staged.ok() ? client.Commit({*staged}, choice) : staged.status();
    }
  }
}

}  // namespace bwrt::e2e
