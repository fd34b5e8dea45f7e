#include "runtime/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "runtime/error.h"
#include "tests/runtime/model_fixture.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr SwapWindow kPlanner{2, 5};  // P = 2, T = 3.
constexpr TokenPlan kPlan{.prefetch = 2, .tiles = 3};
constexpr SwapOptions kNow{SwapPolicy::kInWindow, seconds(30), std::nullopt};
constexpr SwapOptions kWait{SwapPolicy::kWaitForWindow, seconds(30), std::nullopt};

SwapOptions WaitHolding(Duration hold_after) { return {SwapPolicy::kWaitForWindow, seconds(30), hold_after}; }

TEST(Model, StartsEmptyAtVersion0WithAnOpenWindow) {
  ModelHarness h;
  EXPECT_EQ(h.model->current()->number(), Version(0));
  EXPECT_TRUE(h.model->window_open());
  EXPECT_TRUE(h.model->GetStatus().window.claims.empty());
}

TEST(Model, RunningWavesKeepTheVersionTheyLeased) {
  ModelHarness h;
  const auto before = h.Start(kPlanner, kPlan);
  before->Step(1, 2);
  before->Step(0, std::nullopt);
  ASSERT_TRUE(h.Flipped(h.Swap(kNow)));
  const auto after = h.Start(kPlanner, kPlan);
  EXPECT_EQ(before->version().number(), Version(0));
  EXPECT_EQ(after->version().number(), Version(1));
}

TEST(Model, VersionsStrictlyIncrease) {
  ModelHarness h;
  for (uint64_t i = 1; i <= 5; ++i) {
    const size_t swap = h.Swap(kNow);
    ASSERT_TRUE(h.Flipped(swap));
    EXPECT_EQ(h.outcomes[swap]->flips[0].previous, Version(i - 1));
    EXPECT_EQ(h.outcomes[swap]->flips[0].version, Version(i));
  }
}

TEST(Model, RefusalNamesClockWindowAndWaves) {
  ModelHarness h;
  const auto wave = h.Start(kPlanner, kPlan, "layer6");
  const size_t swap = h.Swap(kNow);
  ASSERT_EQ(h.outcomes[swap]->kind, SwapOutcome::Kind::kFailed);
  const absl::Status& why = h.outcomes[swap]->status;
  EXPECT_EQ(why.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(why.message()), HasSubstr("wave 1 (layer6) in flight: window [2,5), clock [0,0]"));
  const auto details = GetDetails(why);
  EXPECT_EQ(details->reason, "SWAP_WINDOW_CLOSED");
  ASSERT_EQ(details->preconditions.size(), 1u);
  EXPECT_EQ(details->preconditions[0].subject, "m/wave 1");
  EXPECT_EQ(h.model->current()->number(), Version(0));
}

TEST(Model, PlannerWindowClosesDuringPrefetchAndOpensForComputeAndRest) {
  ModelHarness h;
  auto wave = h.Start(kPlanner, kPlan);
  EXPECT_FALSE(h.model->window_open());  // Token 0.
  wave->Step(0, 1);
  EXPECT_FALSE(h.model->window_open());
  for (int64_t token = 2; token < 5; ++token) {
    wave->Step(token - 1, token);
    EXPECT_TRUE(h.model->window_open()) << token;
  }
  wave->Retire();
  EXPECT_TRUE(h.model->window_open());
}

TEST(Model, TightWindowLeavesSwapsRefusedUntilAWaveOpensOne) {
  ModelHarness h;
  const TokenPlan five{.prefetch = 0, .tiles = 5};
  auto wave = h.Start({0, 1}, five);
  EXPECT_TRUE(h.model->window_open());  // In its first token.
  for (int64_t token = 1; token < 5; ++token) wave->Step(token - 1, token);
  wave->Retire();
  EXPECT_FALSE(h.model->window_open());
  EXPECT_FALSE(h.Flipped(h.Swap(kNow)));
  h.clock.Advance(seconds(7));
  EXPECT_EQ(h.model->closed_for(), seconds(7));
  const auto next = h.Start({0, 1}, five);
  EXPECT_TRUE(h.model->window_open());
  EXPECT_EQ(h.model->closed_for(), Duration(0));
  EXPECT_TRUE(h.Flipped(h.Swap(kNow)));
}

TEST(Model, WaveWithoutResultChangesNothing) {
  ModelHarness h;
  auto first = h.Start({0, 5}, {.prefetch = 0, .tiles = 5});
  first->Retire();
  EXPECT_TRUE(h.model->window_open());
  // Its window would rest closed; it is dropped half way, as a cancelled wave is.
  auto cancelled = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  cancelled->Step(0, 1);
  EXPECT_FALSE(h.model->window_open());
  cancelled.reset();
  EXPECT_TRUE(h.model->window_open());
  EXPECT_EQ(h.model->GetStatus().window.claims[0].wave, WaveNumber(1));
}

TEST(Model, CompletesAppendedTilesUnderTheLastToken) {
  // The planner's snake of five tiles on a grid of six: T = 5, and the sixth tile runs under token 4.
  ModelHarness h;
  auto wave = h.Start({0, 5}, {.prefetch = 0, .tiles = 5});
  for (int64_t token = 1; token < 5; ++token) wave->Step(token - 1, token);
  wave->Step(std::nullopt, std::nullopt);
  EXPECT_TRUE(h.model->window_open());
  EXPECT_EQ(h.model->GetStatus().window.claims[0].clock, (ClockReading{4, 4}));
}

TEST(Model, OverlappingWavesMustAllAllowTheFlip) {
  ModelHarness h;
  auto a = h.Start(kPlanner, kPlan);
  a->Step(0, 1);
  a->Step(1, 2);
  EXPECT_TRUE(h.model->window_open());
  auto b = h.Start(kPlanner, kPlan);
  EXPECT_FALSE(h.model->window_open());
  a->Retire();
  EXPECT_FALSE(h.model->window_open());  // b alone is tested now, in its prefetch.
  b->Step(0, 1);
  b->Step(1, 2);
  EXPECT_TRUE(h.model->window_open());
}

TEST(Model, RequiredVersionIsCheckedAgainstTheLease) {
  ModelHarness h;
  ASSERT_TRUE(h.Flipped(h.Swap(kNow)));
  const WaveStart wants0{WaveNumber(9), "", {0, 1}, {}, Version(7)};
  const auto refused = h.model->Start(wants0);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(refused.status()), "VERSION_MISMATCH");
  const auto lease = h.model->Start({WaveNumber(10), "", {0, 1}, {}, Version(1)});
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ((*lease)->version().number(), Version(1));
}

TEST(WaitForWindow, FlipsAtTheTokenThatOpensIt) {
  ModelHarness h;
  auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(kWait);
  EXPECT_FALSE(h.outcomes[swap]);
  wave->Step(0, 1);
  EXPECT_FALSE(h.outcomes[swap]);
  h.clock.Advance(seconds(3));
  wave->Step(1, 2);
  ASSERT_TRUE(h.Flipped(swap));
  EXPECT_EQ(h.outcomes[swap]->waited, seconds(3));
}

TEST(WaitForWindow, FlipsAtAStart) {
  ModelHarness h;
  auto tight = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  tight->Step(0, 1);
  tight->Retire();
  const size_t swap = h.Swap(kWait);
  EXPECT_FALSE(h.outcomes[swap]);
  const auto opens = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  EXPECT_TRUE(h.Flipped(swap));
  // The wave that opened the window had its lease already.
  EXPECT_EQ(opens->version().number(), Version(0));
}

TEST(WaitForWindow, FlipsAtARetirement) {
  ModelHarness h;
  auto open = h.Start({0, 5}, {.prefetch = 0, .tiles = 5});
  auto closed = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(kWait);
  EXPECT_FALSE(h.outcomes[swap]);
  closed.reset();
  EXPECT_TRUE(h.Flipped(swap));
}

TEST(WaitForWindow, ServesFirstComeFirstServed) {
  ModelHarness h;
  auto wave = h.Start(kPlanner, kPlan);
  const size_t first = h.Swap(kWait);
  const size_t second = h.Swap(kWait);
  wave->Step(0, 1);
  wave->Step(1, 2);
  ASSERT_TRUE(h.Flipped(first));
  // Built on version 0, which is no longer current: to be built anew, with the ticket it has.
  ASSERT_TRUE(h.outcomes[second]);
  EXPECT_EQ(h.outcomes[second]->kind, SwapOutcome::Kind::kBaseMoved);
  const size_t again = h.SwapOn(h.outcomes[second]->ticket, h.model->current(), kWait);
  EXPECT_TRUE(h.Flipped(again));
}

TEST(WaitForWindow, ARebuiltSwapKeepsItsPlaceAndItsTime) {
  ModelHarness h;
  auto wave = h.Start(kPlanner, kPlan);
  const SwapTicket early = h.line.NewTicket();
  h.clock.Advance(seconds(10));
  const size_t late = h.Swap(kWait);
  const size_t rebuilt = h.SwapOn(early, h.model->current(), kWait);
  h.clock.Advance(seconds(20));  // 30 s after the early ticket's arrival, 20 after the late one's.
  ASSERT_TRUE(h.outcomes[rebuilt]);
  EXPECT_EQ(GetReason(h.outcomes[rebuilt]->status), "SWAP_WAIT_TIMEOUT");
  EXPECT_FALSE(h.outcomes[late]);
  wave.reset();
  EXPECT_TRUE(h.Flipped(late));
}

TEST(WaitForWindow, TimesOutOnceAndSaysWhy) {
  ModelHarness h;
  const auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(kWait);
  h.clock.Advance(seconds(29));
  EXPECT_FALSE(h.outcomes[swap]);
  h.clock.Advance(seconds(1));
  ASSERT_TRUE(h.outcomes[swap]);
  EXPECT_EQ(h.outcomes[swap]->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(h.outcomes[swap]->status.message()), HasSubstr("window [2,5), clock [0,0]"));
  h.clock.Advance(seconds(60));
  EXPECT_EQ(h.calls, 1);
  EXPECT_EQ(h.model->GetStatus().window.waiting_swaps, 0u);
}

TEST(WaitForWindow, CanBeCancelled) {
  ModelHarness h;
  const auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(kWait);
  EXPECT_TRUE(h.Cancel(swap, absl::CancelledError("gone")));
  EXPECT_EQ(h.outcomes[swap]->status, absl::CancelledError("gone"));
  EXPECT_FALSE(h.Cancel(swap, absl::CancelledError("again")));
  EXPECT_EQ(h.calls, 1);
}

TEST(WhenIdle, IsAllowedWithNothingInFlightAndForbiddenByItsOption) {
  const SwapOptions idle{SwapPolicy::kWhenIdle, seconds(30), std::nullopt};
  ModelHarness h;
  auto wave = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  wave->Step(0, 1);
  EXPECT_FALSE(h.Flipped(h.Swap(idle)));
  wave->Retire();
  ASSERT_FALSE(h.model->window_open());
  EXPECT_TRUE(h.Flipped(h.Swap(idle)));

  ModelHarness strict(SwapLineOptions{.allow_when_idle = false});
  const size_t swap = strict.Swap(idle);
  EXPECT_EQ(GetReason(strict.outcomes[swap]->status), "WHEN_IDLE_FORBIDDEN");
}

TEST(Hold, OverlappingWavesCannotStarveASwap) {
  ModelHarness h;
  // Two waves that overlap so that one is always in prefetch.
  auto a = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(WaitHolding(seconds(1)));
  h.clock.Advance(seconds(1));
  EXPECT_TRUE(h.model->held_back());
  EXPECT_EQ(h.Start(kPlanner, kPlan), nullptr);  // Held, not refused.
  EXPECT_TRUE(h.model->GetStatus().window.holding);
  h.clock.Advance(seconds(2));
  a->Step(0, 1);
  a->Step(1, 2);
  ASSERT_TRUE(h.Flipped(swap));
  EXPECT_EQ(h.outcomes[swap]->ticket.held, seconds(2));
  EXPECT_EQ(h.startable, 1);
  EXPECT_FALSE(h.model->held_back());
  EXPECT_NE(h.Start(kPlanner, kPlan), nullptr);
}

TEST(Hold, ALoneWaveMayStartSoThatItCanOpenTheWindow) {
  ModelHarness h;
  auto tight = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  tight->Step(0, 1);
  const size_t swap = h.Swap(WaitHolding(seconds(0)));
  h.clock.Advance(seconds(0));
  EXPECT_TRUE(h.model->held_back());
  tight->Retire();
  EXPECT_FALSE(h.outcomes[swap]);
  EXPECT_EQ(h.startable, 1);  // Nothing in flight: one may start.
  const auto next = h.Start({0, 1}, {.prefetch = 0, .tiles = 5});
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(h.Flipped(swap));
}

TEST(Hold, IsBoundedByMaxHold) {
  ModelHarness h(SwapLineOptions{.max_hold = seconds(5)});
  const auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(WaitHolding(seconds(1)));
  h.clock.Advance(seconds(1));
  EXPECT_TRUE(h.model->held_back());
  h.clock.Advance(seconds(5));
  EXPECT_FALSE(h.model->held_back());
  EXPECT_NE(h.Start(kPlanner, kPlan), nullptr);
  // The swap itself waits on, without holding again.
  h.clock.Advance(seconds(24));
  ASSERT_TRUE(h.outcomes[swap]);
  EXPECT_EQ(GetReason(h.outcomes[swap]->status), "SWAP_WAIT_TIMEOUT");
  EXPECT_EQ(h.outcomes[swap]->ticket.held, seconds(5));
}

TEST(Hold, EndsWithTheSwapThatAskedForIt) {
  ModelHarness h;
  const auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(WaitHolding(seconds(1)));
  h.clock.Advance(seconds(1));
  ASSERT_TRUE(h.model->held_back());
  h.Cancel(swap, absl::CancelledError("gone"));
  EXPECT_FALSE(h.model->held_back());
  EXPECT_EQ(h.startable, 1);
}

TEST(Retirement, AnOldVersionIsFreedByTheExecutorOnceItsLastLeaseDrops) {
  ModelHarness h;
  ASSERT_TRUE(h.Flipped(h.Swap(kNow)));
  const std::weak_ptr<const WeightVersion> v1 = h.model->current();
  auto a = h.Start({0, 3}, {.prefetch = 0, .tiles = 3});
  auto b = h.Start({0, 3}, {.prefetch = 0, .tiles = 3});
  ASSERT_TRUE(h.Flipped(h.Swap(kNow)));
  h.executor.RunAll();
  EXPECT_FALSE(v1.expired());
  EXPECT_EQ(h.model->GetStatus().retiring, Bytes(4));
  h.executor.RunAll();
  a->Retire();
  h.executor.RunAll();
  EXPECT_FALSE(v1.expired());
  b->Retire();
  EXPECT_FALSE(v1.expired());  // Not on the wave's thread.
  h.executor.RunAll();
  EXPECT_TRUE(v1.expired());
  EXPECT_EQ(h.model->GetStatus().retiring, Bytes(0));
}

class RecordingWatcher final : public ModelWatcher {
 public:
  void OnEvent(const ModelEvent& event) override { kinds.push_back(event.kind); }
  std::vector<ModelEvent::Kind> kinds;
};

TEST(Watch, TellsTheStateThenEveryEventInOrder) {
  using Kind = ModelEvent::Kind;
  ModelHarness h;
  const auto watcher = std::make_shared<RecordingWatcher>();
  h.model->AddWatcher(watcher);
  auto wave = h.Start(kPlanner, kPlan);
  const size_t swap = h.Swap(WaitHolding(seconds(1)));
  h.clock.Advance(seconds(1));
  wave->Step(0, 1);
  wave->Step(1, 2);
  ASSERT_TRUE(h.Flipped(swap));
  EXPECT_THAT(watcher->kinds, ElementsAre(Kind::kSnapshot, Kind::kWindowClosed, Kind::kHoldStarted, Kind::kWindowOpened,
                                          Kind::kHoldEnded, Kind::kVersion));
  h.model->RemoveWatcher(watcher.get());
  wave->Retire();
  h.Swap(kNow);
  EXPECT_EQ(watcher->kinds.size(), 6u);
}

}  // namespace
}  // namespace bwrt::runtime
