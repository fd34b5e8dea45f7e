#include "runtime/swap_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "tests/runtime/swap_line_fixture.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr SwapPolicy kNow = SwapPolicy::kInWindow;
constexpr SwapPolicy kWait = SwapPolicy::kWaitForWindow;
constexpr SwapPolicy kIdle = SwapPolicy::kWhenIdle;

LineHarness::Wish Durable(std::vector<std::string> models, SwapPolicy policy) {
  return {std::move(models), policy, /*durable=*/true};
}
LineHarness::Wish InPlace(std::vector<std::string> models, SwapPolicy policy) {
  return {std::move(models), policy, /*durable=*/true, /*in_place=*/true};
}

// ---------------------------------------------------------------------------------------------- groups

TEST(SwapGroup, FlipsWhenAllItsWindowsAreOpenAndNotBefore) {
  for (const std::vector<std::string>& names : {std::vector<std::string>{"a", "b"}, {"a", "b", "c"}}) {
    for (const std::string& closed : names) {
      SCOPED_TRACE(testing::Message() << closed << " of " << names.size());
      LineHarness h(names);
      const auto wave = h.Close(closed);
      const size_t swap = h.Swap({names, kWait});
      EXPECT_FALSE(h.Ended(swap));
      for (const std::string& name : names) EXPECT_EQ(h.version(name), 0u) << name;
      LineHarness::Open(*wave);
      ASSERT_TRUE(h.Flipped(swap));
      for (const std::string& name : names) EXPECT_EQ(h.version(name), 1u) << name;
      ASSERT_EQ(h.outcomes[swap]->flips.size(), names.size());
      for (const SwapFlip& flip : h.outcomes[swap]->flips) {
        EXPECT_EQ(flip.previous, Version(0));
        EXPECT_EQ(flip.version, Version(1));
      }
      EXPECT_EQ(h.clock.alarms(), 0u);
    }
  }
}

TEST(SwapGroup, AllWindowsMustBeOpenAtOnce) {
  LineHarness h({"a", "b"});
  const auto a = h.Start("a", {0, 1}, 3);
  const auto b = h.Close("b");
  const size_t swap = h.Swap({{"a", "b"}, kWait});
  a->Step(0, 1);  // Closes a.
  LineHarness::Open(*b);
  EXPECT_FALSE(h.Ended(swap)) << "each has been open, but not together";
  EXPECT_EQ(h.version("a"), 0u);
  EXPECT_EQ(h.version("b"), 0u);
  const auto next = h.Start("a", {0, 3}, 3);
  EXPECT_FALSE(h.Ended(swap));
  EXPECT_EQ(h.models["a"]->GetStatus().window.waiting_swaps, 1u);
  EXPECT_EQ(h.models["b"]->GetStatus().window.waiting_swaps, 1u);
}

TEST(SwapGroup, ARefusalNamesTheModelThatIsClosed) {
  LineHarness h({"a", "b", "c"});
  const auto wave = h.Close("b");
  for (const SwapPolicy policy : {kNow, kIdle}) {
    const size_t swap = h.Swap({{"a", "b", "c"}, policy});
    const absl::Status why = h.Why(swap);
    EXPECT_EQ(why.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetReason(why), "SWAP_WINDOW_CLOSED");
    EXPECT_EQ(MetadataOf(why, "model"), "b");
    EXPECT_THAT(std::string(why.message()), HasSubstr("swap window of model \"b\" is closed"));
    EXPECT_THAT(std::string(why.message()), HasSubstr("window [1,2), clock [0,0]"));
  }
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(h.version(name), 0u);
}

TEST(SwapGroup, ATimeoutNamesItsModels) {
  LineHarness h({"a", "b"});
  const auto wave = h.Close("b");
  const size_t swap = h.Swap({{"a", "b"}, kWait});
  h.clock.Advance(seconds(30));
  EXPECT_EQ(GetReason(h.Why(swap)), "SWAP_WAIT_TIMEOUT");
  EXPECT_THAT(std::string(h.Why(swap).message()), HasSubstr("model \"b\" (wave 1 in flight: window [1,2)"));
  EXPECT_EQ(h.clock.alarms(), 0u);
}

TEST(SwapGroup, OneMovedBaseEndsItAll) {
  LineHarness h({"a", "b"});
  const auto wave = h.Close("b");
  const size_t group = h.Swap({{"a", "b"}, kWait});
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  EXPECT_TRUE(h.BaseMoved(group)) << "at once: it may be built anew while it waits";
  EXPECT_EQ(h.version("b"), 0u);
  h.Offer(group);
  LineHarness::Open(*wave);
  EXPECT_TRUE(h.Flipped(group));
  EXPECT_EQ(h.version("a"), 2u);
  EXPECT_EQ(h.version("b"), 1u);
}

TEST(SwapGroup, HoldsWavesOfAllItsModels) {
  LineHarness h({"a", "b"});
  const auto a = h.Close("a");
  const auto b = h.Close("b");
  const size_t swap = h.Swap({{"a", "b"}, kWait, false, false, seconds(1)});
  h.clock.Advance(seconds(1));
  EXPECT_EQ(h.Start("a", {0, 1}, 1), nullptr);
  EXPECT_EQ(h.Start("b", {0, 1}, 1), nullptr);
  LineHarness::Open(*a);
  LineHarness::Open(*b);
  ASSERT_TRUE(h.Flipped(swap));
  EXPECT_NE(h.Start("a", {0, 1}, 1), nullptr);
  EXPECT_NE(h.Start("b", {0, 1}, 1), nullptr);
  EXPECT_EQ(h.observer.holds().size(), 2u) << "one a model";
}

// The flip of a group is one point in time, for whoever looks from any thread.
TEST(SwapGroup, AWaveThatStartsOnBAfterSeeingTheNewASeesTheNewB) {
  LineHarness h({"a", "b"});
  const std::shared_ptr<Model> a = h.models["a"];
  const std::shared_ptr<Model> b = h.models["b"];
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> seen{0};
  std::vector<std::thread> waves;
  for (uint64_t thread = 0; thread < 2; ++thread) {
    waves.emplace_back([&, thread] {
      // One looks at a first, the other at b.
      Model& first = thread == 0 ? *a : *b;
      Model& second = thread == 0 ? *b : *a;
      while (!stop) {
        const auto one = first.Start({WaveNumber(1), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}});
        const auto other = second.Start({WaveNumber(2), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}});
        ASSERT_TRUE(one.ok() && other.ok());
        EXPECT_GE((*other)->version().number(), (*one)->version().number());
        seen = (*other)->version().number().value();
      }
    });
  }
  for (uint64_t i = 1; i <= 300; ++i) {
    EXPECT_TRUE(h.Flipped(h.Swap({{"a", "b"}, kNow})));
    if (i % 10 != 0) continue;
    while (seen < i) std::this_thread::yield();  // They do look in between.
  }
  stop = true;
  for (std::thread& wave : waves) wave.join();
  EXPECT_EQ(h.version("a"), 300u);
}

// ---------------------------------------------------------------------------------------------- turns

TEST(SwapTurns, FirstComeFirstServedAcrossGroups) {
  LineHarness h({"a", "b", "c"});
  const auto wave = h.Close("a");
  const size_t first = h.Swap({{"a", "b"}, kWait});
  const size_t second = h.Swap({{"b", "c"}, kWait});
  const size_t third = h.Swap({{"c"}, kWait});
  EXPECT_FALSE(h.Ended(second)) << "b and c are open, but the first one came before it";
  EXPECT_FALSE(h.Ended(third));
  ASSERT_TRUE(h.Cancel(first, absl::CancelledError("gone")));
  EXPECT_TRUE(h.Flipped(second)) << "its turn, though its models' windows did not change";
  EXPECT_TRUE(h.BaseMoved(third));
  h.Offer(third);
  EXPECT_TRUE(h.Flipped(third));
  EXPECT_EQ(h.version("a"), 0u);
  EXPECT_EQ(h.version("b"), 1u);
  EXPECT_EQ(h.version("c"), 2u);
}

TEST(SwapTurns, OtherModelsDoNotWait) {
  LineHarness h({"a", "b", "c"});
  const auto wave = h.Close("a");
  const size_t group = h.Swap({{"a", "b"}, kWait});
  EXPECT_TRUE(h.Flipped(h.Swap({{"c"}, kWait})));
  EXPECT_FALSE(h.Ended(group));
}

TEST(SwapTurns, GroupsNeverWaitForEachOtherInACircle) {
  LineHarness h({"a", "b", "c"});
  auto a = h.Close("a");
  auto b = h.Close("b");
  auto c = h.Close("c");
  std::vector<size_t> swaps;
  for (const auto& models : {std::vector<std::string>{"a", "b"}, {"b", "c"}, {"c", "a"}, {"b", "a"}}) {
    swaps.push_back(h.Swap({models, kWait}));
  }
  LineHarness::Open(*c);
  LineHarness::Open(*a);
  for (const size_t swap : swaps) EXPECT_FALSE(h.Ended(swap));
  LineHarness::Open(*b);
  // The rest were built on what the first replaced, one after another.
  EXPECT_TRUE(h.Flipped(swaps[0]));
  for (size_t i = 1; i < swaps.size(); ++i) {
    EXPECT_TRUE(h.BaseMoved(swaps[i])) << i;
    h.Offer(swaps[i]);
    EXPECT_TRUE(h.Flipped(swaps[i])) << i;
  }
  EXPECT_EQ(h.version("a") + h.version("b") + h.version("c"), 8u);
}

TEST(SwapTurns, OneThatWontWaitOvertakesThoseThatWait) {
  LineHarness h({"a", "b"});
  const auto wave = h.Close("b");
  const size_t patient = h.Swap({{"a", "b"}, kWait});
  EXPECT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  EXPECT_TRUE(h.BaseMoved(patient));
  h.Offer(patient);
  EXPECT_TRUE(h.Flipped(h.Swap({{"a"}, kIdle})));
}

TEST(SwapTurns, OneThatWontWaitStillWaitsForADecision) {
  LineHarness h({"a"});
  const size_t first = h.Swap(Durable({"a"}, kNow));
  const size_t second = h.Swap(Durable({"a"}, kNow));
  EXPECT_FALSE(h.Ended(second)) << "the decision is on its way";
  h.journal_executor.RunAll();
  EXPECT_TRUE(h.Flipped(first));
  EXPECT_TRUE(h.BaseMoved(second));
  EXPECT_THAT(h.log, ElementsAre("decide 1", "done 0", "done 1", "confirm 1")) << "only one decision was ever made";
}

TEST(SwapTurns, OneThatWontWaitGoesAheadWhenTheDecisionFails) {
  LineHarness h({"a"});
  h.journal.decide = absl::UnavailableError("disk");
  const size_t first = h.Swap(Durable({"a"}, kNow));
  const size_t second = h.Swap({{"a"}, kNow});
  h.journal_executor.RunAll();
  EXPECT_EQ(h.Why(first), absl::UnavailableError("disk"));
  EXPECT_TRUE(h.Flipped(second));
}

TEST(SwapTurns, BehindADecisionAClosedWindowStillRefuses) {
  LineHarness h({"a", "b"});
  const size_t deciding = h.Swap(Durable({"a"}, kNow));
  const auto wave = h.Close("b");
  EXPECT_EQ(GetReason(h.Why(h.Swap({{"a", "b"}, kNow}))), "SWAP_WINDOW_CLOSED");
  const size_t behind = h.Swap({{"a"}, kNow});
  EXPECT_FALSE(h.Ended(behind));
  const auto closes = h.Close("a");
  EXPECT_EQ(GetReason(h.Why(behind)), "SWAP_WINDOW_CLOSED");
  h.journal_executor.RunAll();
  EXPECT_EQ(GetReason(h.Why(deciding)), "SWAP_WINDOW_CLOSED");
}

TEST(SwapTurns, NobodyOvertakesADecidedSwap) {
  LineHarness h({"a", "b"});
  const size_t decided = h.Swap(Durable({"a", "b"}, kWait));
  const auto wave = h.Close("b");
  const size_t behind = h.Swap({{"a"}, kNow});
  h.journal_executor.RunAll();  // Decided, and b has closed meanwhile.
  EXPECT_FALSE(h.Ended(decided));
  EXPECT_EQ(GetReason(h.Why(behind)), "SWAP_LINE_BUSY");
  for (const SwapPolicy policy : {kNow, kIdle}) {
    const absl::Status busy = h.Why(h.Swap({{"a"}, policy}));
    EXPECT_EQ(busy.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetReason(busy), "SWAP_LINE_BUSY");
  }
  const size_t patient = h.Swap({{"a"}, kWait});
  EXPECT_FALSE(h.Ended(patient));
  LineHarness::Open(*wave);
  EXPECT_TRUE(h.Flipped(decided));
  EXPECT_TRUE(h.BaseMoved(patient));
}

// A swap that is built anew comes back with its early ticket. What has been decided meanwhile does not wait for it: it
// would wait in turn.
TEST(SwapTurns, ADecidedSwapDoesNotWaitForAnEarlierOneThatComesBack) {
  for (const bool closes : {false, true}) {
    SCOPED_TRACE(closes);
    LineHarness h({"a"});
    auto wave = h.Close("a");
    const size_t early = h.Swap(Durable({"a"}, kWait));
    wave.reset();
    h.Cancel(early, absl::CancelledError("built anew"));
    h.journal_executor.RunAll();
    const size_t late = h.Swap(Durable({"a"}, kWait));  // Deciding.
    h.Offer(early);
    if (closes) wave = h.Close("a");
    h.journal_executor.RunAll();
    if (closes) {
      EXPECT_FALSE(h.Ended(late));
      LineHarness::Open(*wave);
    }
    EXPECT_TRUE(h.Flipped(late));
    EXPECT_TRUE(h.BaseMoved(early));
  }
}

// ---------------------------------------------------------------------------------------------- closing

TEST(CloseModel, IsRefusedWhileASwapOfItIsUnderWay) {
  LineHarness h({"a", "b"});
  const auto wave = h.Close("b");
  const size_t group = h.Swap({{"a", "b"}, kWait});
  const absl::Status busy = h.line.CloseModel(h.models["a"]);
  EXPECT_EQ(busy.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(busy), "SWAP_LINE_BUSY");
  h.Cancel(group, absl::CancelledError("gone"));
  EXPECT_TRUE(h.line.CloseModel(h.models["a"]).ok());
}

TEST(CloseModel, RefusesWhatComesAfterwards) {
  LineHarness h({"a", "b"});
  auto running = h.Close("a");
  ASSERT_TRUE(h.line.CloseModel(h.models["a"]).ok());
  const auto wave = h.models["a"]->Start({WaveNumber(9), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}});
  EXPECT_EQ(wave.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(wave.status()), "MODEL_NOT_FOUND");
  for (const SwapPolicy policy : {kNow, kWait}) {
    const size_t swap = h.Swap({{"b", "a"}, policy});
    EXPECT_EQ(GetReason(h.Why(swap)), "MODEL_NOT_FOUND");
    EXPECT_EQ(MetadataOf(h.Why(swap), "model"), "a");
  }
  EXPECT_EQ(h.version("b"), 0u);
  running->Step(0, 1);  // What runs may end in peace.
  running->Retire();

  h.line.ReopenModel(h.models["a"]);
  EXPECT_TRUE(h.Flipped(h.Swap({{"a", "b"}, kNow})));
  EXPECT_NE(h.Close("a"), nullptr);
}

// ---------------------------------------------------------------------------------------------- the journal

TEST(SwapJournalTest, DecidesThenFlipsThenConfirms) {
  LineHarness h({"a", "b"});
  const size_t swap = h.Swap(Durable({"a", "b"}, kNow));
  EXPECT_THAT(h.log, IsEmpty()) << "not on the caller's thread";
  EXPECT_EQ(h.version("a"), 0u);
  EXPECT_EQ(h.version("b"), 0u);
  ASSERT_TRUE(h.journal_executor.RunOne());
  EXPECT_TRUE(h.Flipped(swap));
  EXPECT_EQ(h.version("a"), 1u);
  EXPECT_EQ(h.version("b"), 1u);
  EXPECT_TRUE(h.models["a"]->GetStatus().durable);
  h.journal_executor.RunAll();
  EXPECT_THAT(h.log, ElementsAre("decide 1", "done 0", "confirm 1"));
}

TEST(SwapJournalTest, AClosedWindowIsNotDecided) {
  LineHarness h({"a"});
  const auto wave = h.Close("a");
  EXPECT_EQ(GetReason(h.Why(h.Swap(Durable({"a"}, kNow)))), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(h.journal_executor.pending(), 0u);
}

TEST(SwapJournalTest, AWindowThatClosesMeanwhileRevokesBeforeAnybodyHears) {
  LineHarness h({"a", "b"});
  const size_t swap = h.Swap(Durable({"a", "b"}, kNow));
  const auto wave = h.Close("b");
  ASSERT_TRUE(h.journal_executor.RunOne());
  EXPECT_FALSE(h.Ended(swap)) << "decided, and not yet revoked";
  EXPECT_EQ(h.version("a"), 0u);
  h.journal_executor.RunAll();
  EXPECT_EQ(GetReason(h.Why(swap)), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(MetadataOf(h.Why(swap), "model"), "b");
  EXPECT_THAT(h.log, ElementsAre("decide 1", "revoke 1", "done 0"));
}

TEST(SwapJournalTest, OneThatWaitsStaysDecidedAndFlipsWithoutDecidingAnew) {
  LineHarness h({"a"});
  const size_t swap = h.Swap(Durable({"a"}, kWait));
  const auto wave = h.Close("a");
  h.journal_executor.RunAll();
  EXPECT_FALSE(h.Ended(swap));
  EXPECT_EQ(h.clock.alarms(), 1u) << "its time runs";
  LineHarness::Open(*wave);
  EXPECT_TRUE(h.Flipped(swap));
  h.journal_executor.RunAll();
  EXPECT_THAT(h.log, ElementsAre("decide 1", "done 0", "confirm 1"));
}

TEST(SwapJournalTest, ADecidedOneThatEndsIsRevokedFirst) {
  for (const bool by_time : {false, true}) {
    LineHarness h({"a"});
    const size_t swap = h.Swap(Durable({"a"}, kWait));
    const auto wave = h.Close("a");
    h.journal_executor.RunAll();
    if (by_time) {
      h.clock.Advance(seconds(30));
    } else {
      EXPECT_TRUE(h.Cancel(swap, MakeError(absl::StatusCode::kCancelled, "GONE", "")));
    }
    EXPECT_FALSE(h.Ended(swap));
    LineHarness::Open(*wave);
    EXPECT_EQ(h.version("a"), 0u) << "it has left the line";
    h.journal_executor.RunAll();
    EXPECT_EQ(GetReason(h.Why(swap)), by_time ? "SWAP_WAIT_TIMEOUT" : "GONE");
    EXPECT_THAT(h.log, ElementsAre("decide 1", "revoke 1", "done 0"));
  }
}

TEST(SwapJournalTest, ACancellationDuringTheDecisionComesAfterIt) {
  LineHarness h({"a"});
  const size_t swap = h.Swap(Durable({"a"}, kNow));
  EXPECT_TRUE(h.Cancel(swap, absl::CancelledError("first")));
  EXPECT_TRUE(h.Cancel(swap, absl::CancelledError("second")));
  EXPECT_FALSE(h.Ended(swap));
  h.journal_executor.RunAll();
  EXPECT_EQ(h.Why(swap), absl::CancelledError("first"));
  EXPECT_THAT(h.log, ElementsAre("decide 1", "revoke 1", "done 0"));
  EXPECT_EQ(h.version("a"), 0u);
  EXPECT_FALSE(h.Cancel(swap, absl::CancelledError("third")));
}

TEST(SwapJournalTest, ATimeoutDuringTheDecisionComesAfterIt) {
  LineHarness h({"a"});
  const auto wave = h.Close("a");
  const size_t swap = h.Swap(Durable({"a"}, kWait));
  LineHarness::Open(*wave);
  h.clock.Advance(seconds(30));
  EXPECT_FALSE(h.Ended(swap));
  h.journal_executor.RunAll();
  EXPECT_EQ(GetReason(h.Why(swap)), "SWAP_WAIT_TIMEOUT");
  EXPECT_THAT(h.log, ElementsAre("decide 1", "revoke 1", "done 0"));
}

TEST(SwapJournalTest, ADecisionThatFailsLeavesNothingToRevoke) {
  for (const bool cancelled : {false, true}) {
    LineHarness h({"a"});
    h.journal.decide = absl::UnavailableError("disk");
    const size_t swap = h.Swap(Durable({"a"}, kWait));
    if (cancelled) h.Cancel(swap, absl::CancelledError("gone"));
    h.journal_executor.RunAll();
    EXPECT_EQ(h.Why(swap), absl::UnavailableError("disk"));
    EXPECT_EQ(h.version("a"), 0u);
    EXPECT_THAT(h.log, ElementsAre("decide 1", "done 0"));
  }
}

TEST(SwapJournalTest, ARevocationThatFailsIsWhatIsHeard) {
  LineHarness h({"a"});
  h.journal.revoke = absl::DataLossError("disk");
  const size_t swap = h.Swap(Durable({"a"}, kNow));
  h.Cancel(swap, absl::CancelledError("gone"));
  h.journal_executor.RunAll();
  EXPECT_EQ(h.Why(swap), absl::DataLossError("disk"));
}

TEST(SwapJournalTest, IsToldInTheLinesOrder) {
  LineHarness h({"a"});
  const size_t first = h.Swap(Durable({"a"}, kNow));
  auto wave = h.Close("a");
  const size_t second = h.Swap(Durable({"a"}, kWait));
  wave.reset();
  wave = h.Close("a");
  ASSERT_TRUE(h.journal_executor.RunOne());  // The first is decided, and to be revoked.
  LineHarness::Open(*wave);                  // The second goes ahead.
  h.journal_executor.RunAll();
  EXPECT_EQ(GetReason(h.Why(first)), "SWAP_WINDOW_CLOSED");
  EXPECT_TRUE(h.Flipped(second));
  EXPECT_THAT(h.log, ElementsAre("decide 1", "revoke 1", "done 0", "decide 2", "done 1", "confirm 2"));
}

// ---------------------------------------------------------------------------------------------- in place

// A swap in place that waits for a wave to end, decided.
class InPlaceTest : public ::testing::Test {
 protected:
  void Begin(SwapPolicy policy = kNow, const std::vector<std::string>& models = {"a"}) {
    swap_ = h_.Swap(InPlace(models, policy));
    h_.journal_executor.RunAll();
  }
  WeightVersion::Ptr Whole() {
    VersionChange change;
    change.number = h_.models["a"]->current()->number();
    change.label = "whole";
    for (const char* name : {"w", "x"}) {
      change.put.push_back({name, Version(), std::make_shared<BlankTensor>(LineHarness::kFour), std::nullopt});
    }
    return h_.models["a"]->current()->With(std::move(change));
  }
  absl::Status StartStatus() {
    return h_.models["a"]->Start({WaveNumber(99), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}}).status();
  }

  LineHarness h_{{"a", "b"}};
  size_t swap_ = 0;
};

TEST_F(InPlaceTest, HoldsNewWavesWaitsForLeasesAndResumesWhenWhole) {
  auto wave = h_.Start("a", {0, 2}, 2);
  EXPECT_FALSE(h_.models["a"]->held_back());
  Begin();
  EXPECT_FALSE(h_.Ended(swap_));
  EXPECT_TRUE(h_.models["a"]->held_back()) << "so that lanes do not try in vain";
  EXPECT_TRUE(h_.models["a"]->GetStatus().window.holding);
  EXPECT_EQ(h_.Start("a", {0, 1}, 1), nullptr);
  EXPECT_NE(h_.Start("b", {0, 1}, 1), nullptr) << "another model";
  h_.clock.Advance(seconds(2));
  wave->Step(0, 1);
  EXPECT_FALSE(h_.Ended(swap_));
  wave->Retire();
  ASSERT_TRUE(h_.Flipped(swap_));
  EXPECT_EQ(h_.outcomes[swap_]->paused, seconds(2));
  EXPECT_EQ(h_.version("a"), 1u);
  EXPECT_TRUE(h_.models["a"]->GetStatus().loading);
  EXPECT_EQ(h_.Start("a", {0, 1}, 1), nullptr) << "not before it is whole";
  EXPECT_TRUE(StartStatus().ok()) << "held, not refused";
  EXPECT_EQ(GetReason(h_.models["a"]->Base().status()), "MODEL_LOADING") << "nothing is built on half of it";

  h_.clock.Advance(seconds(1));
  const int before = h_.startable;
  h_.line.FinishLoading(h_.models["a"], Whole());
  EXPECT_GT(h_.startable, before);
  EXPECT_FALSE(h_.models["a"]->held_back());
  EXPECT_FALSE(h_.models["a"]->GetStatus().loading);
  EXPECT_EQ(h_.models["a"]->Base()->first->label(), "whole");
  const auto next = h_.Start("a", {0, 1}, 1);
  ASSERT_NE(next, nullptr);
  EXPECT_EQ(next->version().number(), Version(1));
  EXPECT_EQ(next->version().label(), "whole");
  EXPECT_EQ(h_.models["a"]->committed_bytes(), 8) << "all of it";
  ASSERT_EQ(h_.observer.holds().size(), 1u);
  EXPECT_EQ(h_.observer.holds()[0].held, seconds(3));
  EXPECT_EQ(h_.clock.alarms(), 0u);
}

TEST_F(InPlaceTest, WithNothingInFlightItFlipsAtOnce) {
  Begin();
  EXPECT_TRUE(h_.Flipped(swap_));
  EXPECT_EQ(h_.outcomes[swap_]->paused, Duration(0));
  EXPECT_TRUE(h_.models["a"]->held_back());
  h_.line.FinishLoading(h_.models["a"], Whole());
  EXPECT_FALSE(h_.models["a"]->held_back());
}

TEST_F(InPlaceTest, LeasesThatDoNotEndInTimeEndIt) {
  const auto wave = h_.Start("a", {0, 1}, 1);
  Begin();
  h_.clock.Advance(seconds(5));
  EXPECT_FALSE(h_.Ended(swap_)) << "revoked first";
  EXPECT_FALSE(h_.models["a"]->held_back());
  EXPECT_EQ(h_.startable, 1);
  EXPECT_NE(h_.Start("a", {0, 1}, 1), nullptr);
  h_.journal_executor.RunAll();
  EXPECT_EQ(h_.Why(swap_).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetReason(h_.Why(swap_)), "MAX_PAUSE");
  EXPECT_THAT(h_.log, ElementsAre("decide 1", "revoke 1", "done 0"));
  EXPECT_EQ(h_.version("a"), 0u);
  EXPECT_EQ(h_.observer.holds()[0].held, seconds(5));
  EXPECT_EQ(h_.clock.alarms(), 0u);
}

TEST_F(InPlaceTest, MayBeCancelledWhileItPauses) {
  const auto wave = h_.Start("a", {0, 1}, 1);
  Begin(kWait);
  EXPECT_TRUE(h_.Cancel(swap_, absl::CancelledError("gone")));
  EXPECT_NE(h_.Start("a", {0, 1}, 1), nullptr);
  EXPECT_FALSE(h_.models["a"]->held_back());
  EXPECT_EQ(h_.startable, 1);
  EXPECT_EQ(h_.clock.alarms(), 0u);
}

TEST_F(InPlaceTest, WhileLoadingTakesTooLongWavesAreRefused) {
  auto wave = h_.Start("a", {0, 1}, 1);
  Begin();
  h_.clock.Advance(seconds(4));
  wave->Retire();
  ASSERT_TRUE(h_.Flipped(swap_));
  EXPECT_TRUE(StartStatus().ok());
  const int before = h_.startable;
  h_.clock.Advance(seconds(1));  // From the pause, not from the flip.
  EXPECT_EQ(StartStatus().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetReason(StartStatus()), "MODEL_LOADING");
  EXPECT_TRUE(GetDetails(StartStatus())->retry_after.has_value());
  EXPECT_FALSE(h_.models["a"]->held_back()) << "those that are held hear of it";
  EXPECT_GT(h_.startable, before);
  EXPECT_EQ(GetReason(h_.line.CloseModel(h_.models["a"])), "SWAP_LINE_BUSY");
  h_.line.FinishLoading(h_.models["a"], Whole());
  EXPECT_NE(h_.Start("a", {0, 1}, 1), nullptr);
}

TEST_F(InPlaceTest, AWindowThatRestsClosedEndsThePause) {
  auto wave = h_.Start("a", {0, 1}, 2);  // Rests in token 1, outside.
  Begin(kWait);
  ASSERT_TRUE(h_.models["a"]->held_back());
  wave->Step(0, 1);
  wave->Retire();
  EXPECT_FALSE(h_.Ended(swap_));
  EXPECT_FALSE(h_.models["a"]->held_back()) << "or no wave would ever open the window";
  EXPECT_EQ(h_.startable, 1);
  auto next = h_.Start("a", {0, 2}, 2);  // Opens it, and it rests open.
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(h_.models["a"]->held_back()) << "paused again";
  next->Step(0, 1);
  next->Retire();
  EXPECT_TRUE(h_.Flipped(swap_));
  h_.journal_executor.RunAll();
  EXPECT_THAT(h_.log, ElementsAre("decide 1", "done 0", "confirm 1")) << "decided once";
}

TEST_F(InPlaceTest, OneThatWontWaitIsRefusedWhenTheWindowRestsClosed) {
  auto wave = h_.Start("a", {0, 1}, 2);
  Begin(kNow);
  wave->Step(0, 1);
  wave->Retire();
  EXPECT_FALSE(h_.models["a"]->held_back());
  h_.journal_executor.RunAll();
  EXPECT_EQ(GetReason(h_.Why(swap_)), "SWAP_WINDOW_CLOSED");
  EXPECT_THAT(h_.log, ElementsAre("decide 1", "revoke 1", "done 0"));
}

TEST_F(InPlaceTest, AGroupPausesAllItsModels) {
  auto wave = h_.Start("b", {0, 1}, 1);
  Begin(kNow, {"a", "b"});
  EXPECT_TRUE(h_.models["a"]->held_back());
  EXPECT_TRUE(h_.models["b"]->held_back());
  EXPECT_EQ(h_.Start("a", {0, 1}, 1), nullptr);
  wave->Retire();
  ASSERT_TRUE(h_.Flipped(swap_));
  EXPECT_TRUE(h_.models["a"]->GetStatus().loading);
  EXPECT_TRUE(h_.models["b"]->GetStatus().loading);
  h_.line.FinishLoading(h_.models["a"], Whole());
  EXPECT_NE(h_.Start("a", {0, 1}, 1), nullptr);
  EXPECT_EQ(h_.Start("b", {0, 1}, 1), nullptr) << "each as soon as it is whole";
  h_.line.FinishLoading(h_.models["b"], h_.models["b"]->current());
  EXPECT_NE(h_.Start("b", {0, 1}, 1), nullptr);
}

TEST_F(InPlaceTest, OthersDoNotOvertakeThePause) {
  const auto wave = h_.Start("a", {0, 1}, 1);
  Begin();
  EXPECT_EQ(GetReason(h_.Why(h_.Swap({{"a"}, kNow}))), "SWAP_LINE_BUSY");
  const size_t patient = h_.Swap({{"a"}, kWait});
  EXPECT_FALSE(h_.Ended(patient));
  h_.Cancel(swap_, absl::CancelledError("gone"));
  EXPECT_TRUE(h_.Flipped(patient));
}

// ---------------------------------------------------------------------------------------------- kept versions

std::vector<uint64_t> Numbers(const Model& model) {
  std::vector<uint64_t> numbers;
  for (const KeptVersion& kept : model.kept()) numbers.push_back(kept.number.value());
  return numbers;
}

TEST(KeptVersions, TheNewestAreKeptAndTheRestFreed) {
  LineHarness h({"a"}, {}, /*keep_versions=*/2);
  Model& model = *h.models["a"];
  std::vector<std::weak_ptr<const WeightVersion>> versions;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
    versions.push_back(model.current());
  }
  EXPECT_THAT(Numbers(model), ElementsAre(3, 2)) << "the empty version 0 was never worth keeping";
  EXPECT_EQ(model.kept_bytes(), 8);
  EXPECT_EQ(model.GetStatus().retiring, Bytes(0));
  h.executor.RunAll();
  EXPECT_TRUE(versions[0].expired());
  EXPECT_FALSE(versions[1].expired());
  EXPECT_FALSE(versions[2].expired());
  EXPECT_EQ(model.kept()[0].label, "v");
  EXPECT_EQ(model.kept()[0].bytes, Bytes(4));
}

TEST(KeptVersions, CanBeDroppedOldestFirst) {
  LineHarness h({"a"}, {}, /*keep_versions=*/3);
  Model& model = *h.models["a"];
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  ASSERT_THAT(Numbers(model), ElementsAre(2, 1));
  EXPECT_EQ(model.DropKept()->number(), Version(1));
  EXPECT_THAT(Numbers(model), ElementsAre(2));
  EXPECT_EQ(model.kept_bytes(), 4);
  EXPECT_EQ(model.DropKept()->number(), Version(2));
  EXPECT_EQ(model.DropKept(), nullptr);
  EXPECT_EQ(model.kept_bytes(), 0);
  EXPECT_EQ(h.version("a"), 3u);
}

TEST(KeptVersions, ThoseTheStateDirectoryHasTakeNoMemory) {
  LineHarness h({"a"}, {}, /*keep_versions=*/2);
  Model& model = *h.models["a"];
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  h.Swap(Durable({"a"}, kNow));
  h.journal_executor.RunAll();
  const std::weak_ptr<const WeightVersion> durable = model.current();
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  h.executor.RunAll();
  EXPECT_TRUE(durable.expired());
  ASSERT_THAT(Numbers(model), ElementsAre(2, 1));
  EXPECT_EQ(model.kept()[0].version, nullptr);
  EXPECT_EQ(model.kept()[0].manifest, Digest::Of(Digest::Kind::kXxh3, "a1"));
  EXPECT_EQ(model.kept()[0].bytes, Bytes(4));
  EXPECT_NE(model.kept()[1].version, nullptr);
  EXPECT_FALSE(model.kept()[1].manifest.has_value());
  EXPECT_EQ(model.kept_bytes(), 4) << "of version 1 alone";
  EXPECT_FALSE(model.GetStatus().durable);
  EXPECT_EQ(model.DropKept()->number(), Version(1));
  EXPECT_EQ(model.DropKept(), nullptr) << "nothing in memory is left to drop";
  EXPECT_THAT(Numbers(model), ElementsAre(2));
}

TEST(KeptVersions, ALeasedOneThatIsNotKeptRetires) {
  LineHarness h({"a"}, {}, /*keep_versions=*/1);
  Model& model = *h.models["a"];
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  auto wave = h.Start("a", {0, 1}, 1);
  const std::weak_ptr<const WeightVersion> leased = model.current();
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  EXPECT_EQ(model.GetStatus().retiring, Bytes(0)) << "kept";
  ASSERT_TRUE(h.Flipped(h.Swap({{"a"}, kNow})));
  h.executor.RunAll();
  EXPECT_EQ(model.GetStatus().retiring, Bytes(4));
  EXPECT_FALSE(leased.expired());
  wave.reset();
  h.executor.RunAll();
  EXPECT_TRUE(leased.expired());
}

}  // namespace
}  // namespace bwrt::runtime
