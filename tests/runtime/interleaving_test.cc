// Every interleaving of the real Model for small bounds: 2 waves of 3 tokens, 2 swaps, and time.
//
// The test walks the graph of reachable states: from each it tries every action (start, next token, retire, drop,
// request, cancel, let time pass) and compares what the Model did with an oracle written from the design's sentences.
// Several models, the journal and swaps in place: swap_line_interleaving_test.cc.
//
// Checked at every transition:
//  - no flip outside a window (but for WHEN_IDLE with nothing in flight);
//  - no waiter lost: with the window open nobody waits, and in the end everybody has exactly one outcome;
//  - a refusal only where the window is closed;
//  - a wave keeps the version it leased, and starts with the current one;
//  - a start is held back only for an armed waiter while another wave is in flight.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/model.h"
#include "tests/runtime/explore.h"
#include "tests/runtime/model_fixture.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;

constexpr int kWaves = 2;
constexpr int kSwaps = 2;
constexpr int64_t kTokens = 3;
constexpr int kTicks = 3;
// Past hold_after, then past the hold's bound, then past wait_timeout.
constexpr std::array<Duration, kTicks> kTick = {seconds(1), seconds(5), seconds(30)};

struct Config {
  std::array<SwapWindow, kWaves> windows;
  std::array<SwapOptions, kSwaps> swaps;
};

enum class Act { kStart, kToken, kRetire, kDrop, kRequest, kCancel, kTick };
struct Action {
  Act act;
  int who = 0;
};

// The design's sentences, as plainly as possible.
struct Oracle {
  struct Wave {
    bool in_flight = false;
    bool ended = false;
    int64_t token = 0;  // Finished tokens lie below it; it is the one that runs.
    Version leased;
  };
  std::array<Wave, kWaves> waves;
  int resting = -1;  // The wave that retired last, with a result.

  bool Idle() const { return !waves[0].in_flight && !waves[1].in_flight; }
  bool Open(const Config& config) const {
    bool any = false;
    bool all = true;
    for (int i = 0; i < kWaves; ++i) {
      if (!waves[i].in_flight) continue;
      any = true;
      const SwapWindow w = config.windows[i];
      all = all && w.begin <= waves[i].token && waves[i].token < w.end;
    }
    if (any) return all;
    if (resting < 0) return true;
    const SwapWindow w = config.windows[resting];
    return w.begin <= kTokens - 1 && kTokens - 1 < w.end;
  }
};

// One path through the state graph, on a fresh Model.
class ModelRun {
 public:
  explicit ModelRun(const Config& config) : config_(config), h_(SwapLineOptions{.max_hold = seconds(5)}) {}
  ~ModelRun() {
    // Whatever still waits must not reach into a destroyed path.
    for (const SwapTicket& ticket : tickets_) h_.line.Cancel(ticket.number, absl::CancelledError("end"));
  }

  bool Enabled(Action a) const {
    const Oracle::Wave& wave = oracle_.waves[a.who];
    switch (a.act) {
      case Act::kStart:
        return !wave.in_flight && !wave.ended;
      case Act::kToken:
        return wave.in_flight && wave.token < kTokens - 1;
      case Act::kRetire:
        return wave.in_flight && wave.token == kTokens - 1;
      case Act::kDrop:
        return wave.in_flight;
      case Act::kRequest:
        return !requested_[a.who];
      case Act::kCancel:
        return requested_[a.who] && !Ended(a.who);
      case Act::kTick:
        // Time matters to swaps that wait.
        return ticks_ < kTicks && std::any_of(config_.swaps.begin(), config_.swaps.end(), [](const SwapOptions& s) {
                 return s.policy == SwapPolicy::kWaitForWindow;
               });
    }
    return false;
  }

  void Do(Action a) {
    const int flips_before = flips_;
    Oracle::Wave& wave = oracle_.waves[a.who];
    switch (a.act) {
      case Act::kStart: {
        const Version current = h_.model->current()->number();
        const bool idle = oracle_.Idle();
        // In the oracle the wave is in flight while the Model starts it: a start can open the window.
        leases_[a.who] = h_.Start(config_.windows[a.who], {.prefetch = 1, .tiles = kTokens - 1});
        if (leases_[a.who] == nullptr) {
          EXPECT_TRUE(h_.model->GetStatus().window.holding) << path_;
          EXPECT_FALSE(idle) << "held back though nothing was in flight: " << path_;
          break;
        }
        wave = {.in_flight = true, .leased = current};
        break;
      }
      case Act::kToken:
        ++wave.token;
        leases_[a.who]->Step(wave.token - 1, wave.token);
        break;
      case Act::kRetire:
        oracle_.resting = a.who;
        wave.in_flight = false;
        wave.ended = true;
        std::exchange(leases_[a.who], nullptr)->Retire();
        break;
      case Act::kDrop:
        wave.in_flight = false;
        wave.ended = true;
        leases_[a.who].reset();
        break;
      case Act::kRequest:
        requested_[a.who] = true;
        tickets_[a.who] = h_.line.NewTicket();
        Offer(a.who);
        break;
      case Act::kCancel:
        EXPECT_TRUE(h_.line.Cancel(tickets_[a.who].number, absl::CancelledError("cancelled"))) << path_;
        break;
      case Act::kTick:
        h_.clock.Advance(kTick[ticks_++]);
        break;
    }
    absl::StrAppend(&path_, " ", static_cast<int>(a.act), ".", a.who);
    Rebuild();
    Check(flips_ > flips_before);
  }

  // Everything that can influence what happens next.
  std::string Key() const {
    const ModelStatus status = h_.model->GetStatus();
    std::string key = absl::StrCat(status.current->number().value(), "|", oracle_.resting, "|", ticks_, "|",
                                   status.window.open, status.window.holding, h_.model->held_back());
    for (const Oracle::Wave& w : oracle_.waves) {
      absl::StrAppend(&key, "|", w.in_flight, w.ended, w.token, ",", w.leased.value());
    }
    for (int i = 0; i < kSwaps; ++i) {
      absl::StrAppend(&key, "|", requested_[i], outcome_[i], ",", tickets_[i].number, ",", tickets_[i].held.count(),
                      ",", tickets_[i].arrival.time_since_epoch().count());
    }
    return key;
  }

  // Time alone must give everybody who still waits an outcome.
  void Finish() {
    h_.clock.Advance(seconds(3600));
    Rebuild();
    for (int i = 0; i < kSwaps; ++i) {
      if (requested_[i]) {
        EXPECT_TRUE(Ended(i)) << "a waiter was lost: " << path_;
      }
    }
  }

 private:
  bool Ended(int swap) const { return outcome_[swap] != 0; }

  void Offer(int swap) {
    SwapRequest request;
    request.ticket = tickets_[swap];
    request.parts = {{h_.model, BlankVersion(*h_.model->current(), "v", {}), std::nullopt}};
    request.options = config_.swaps[swap];
    request.done = [this, swap](const SwapOutcome& outcome) { OnOutcome(swap, outcome); };
    h_.line.Swap(std::move(request));
  }

  void OnOutcome(int swap, const SwapOutcome& outcome) {
    EXPECT_FALSE(Ended(swap)) << "a second outcome: " << path_;
    tickets_[swap] = outcome.ticket;
    switch (outcome.kind) {
      case SwapOutcome::Kind::kBaseMoved:
        rebuild_.push_back(swap);
        return;
      case SwapOutcome::Kind::kFlipped:
        outcome_[swap] = 1;
        ++flips_;
        idle_flip_ = idle_flip_ || config_.swaps[swap].policy == SwapPolicy::kWhenIdle;
        return;
      case SwapOutcome::Kind::kFailed:
        outcome_[swap] = 2;
        refused_ = refused_ || absl::IsFailedPrecondition(outcome.status);
        return;
    }
  }

  // As the runtime does: a swap whose base has moved is built anew and offered again.
  void Rebuild() {
    while (!rebuild_.empty()) {
      const int swap = rebuild_.front();
      rebuild_.pop_front();
      Offer(swap);
    }
  }

  void Check(bool flipped) {
    const bool open = oracle_.Open(config_);
    const ModelStatus status = h_.model->GetStatus();
    EXPECT_EQ(status.window.open, open) << path_;
    EXPECT_EQ(status.current->number().value(), static_cast<uint64_t>(flips_)) << path_;
    if (flipped) {
      EXPECT_TRUE(open || (std::exchange(idle_flip_, false) && oracle_.Idle())) << "a flip outside a window: " << path_;
    }
    if (std::exchange(refused_, false)) {
      EXPECT_FALSE(open) << "refused in an open window: " << path_;
    }
    if (open) {
      EXPECT_EQ(status.window.waiting_swaps, 0u) << "a waiter passed over: " << path_;
    }
    for (int i = 0; i < kWaves; ++i) {
      if (leases_[i] != nullptr) {
        EXPECT_EQ(leases_[i]->version().number(), oracle_.waves[i].leased) << path_;
      }
    }
  }

  const Config& config_;
  ModelHarness h_;
  Oracle oracle_;
  std::array<std::unique_ptr<Lease>, kWaves> leases_;
  std::array<SwapTicket, kSwaps> tickets_;
  std::array<bool, kSwaps> requested_{};
  std::array<int, kSwaps> outcome_{};  // 0 none, 1 flipped, 2 failed.
  std::deque<int> rebuild_;
  int ticks_ = 0;
  int flips_ = 0;
  bool idle_flip_ = false;
  bool refused_ = false;
  std::string path_;
};

std::vector<Action> AllActions() {
  std::vector<Action> all;
  for (int i = 0; i < 2; ++i) {
    for (const Act act : {Act::kStart, Act::kToken, Act::kRetire, Act::kDrop, Act::kRequest, Act::kCancel}) {
      all.push_back({act, i});
    }
  }
  all.push_back({Act::kTick});
  return all;
}

TEST(Interleavings, NoFlipOutsideAWindowAndNoWaiterLost) {
  // Open in: only the first token, all but the first, every token.
  const std::vector<SwapWindow> windows = {{0, 1}, {1, 3}, {0, 3}};
  const std::vector<SwapOptions> policies = {
      {SwapPolicy::kInWindow, seconds(30), std::nullopt},
      {SwapPolicy::kWaitForWindow, seconds(30), std::nullopt},
      {SwapPolicy::kWaitForWindow, seconds(30), seconds(1)},
      {SwapPolicy::kWhenIdle, seconds(30), std::nullopt},
  };
  size_t states = 0;
  for (size_t a = 0; a < windows.size(); ++a) {
    for (size_t b = a; b < windows.size(); ++b) {  // The two waves are alike but for their windows.
      for (size_t p = 0; p < policies.size(); ++p) {
        for (size_t q = p; q < policies.size(); ++q) {  // As are the two swaps but for their policies.
          states += Explore<ModelRun>(Config{{windows[a], windows[b]}, {policies[p], policies[q]}}, AllActions());
          ASSERT_FALSE(HasFailure()) << "windows " << a << " " << b << ", policies " << p << " " << q;
        }
      }
    }
  }
  // Not vacuous: the graph has been walked.
  EXPECT_GT(states, 10'000u);
  RecordProperty("states", static_cast<int>(states));
}

}  // namespace
}  // namespace bwrt::runtime
