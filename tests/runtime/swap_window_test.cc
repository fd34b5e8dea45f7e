// The swap window's sentences (runtime/swap_window.h), one row each.

#include "runtime/swap_window.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bwrt::runtime {
namespace {

WindowClaim InFlight(SwapWindow window, ClockReading clock) {
  return {WaveNumber(1), "", window, clock, /*in_flight=*/true};
}
WindowClaim Resting(SwapWindow window, TokenPlan tokens) {
  return {WaveNumber(1), "", window, TokenClock(tokens).Resting(), /*in_flight=*/false};
}

struct Row {
  std::string sentence;
  std::vector<WindowClaim> in_flight;
  std::optional<WindowClaim> resting;
  bool open;
};

TEST(SwapWindow, TableOfSentences) {
  // P = 3 extents, T = 4 tiles: the planner's window is [3, 7).
  const SwapWindow planner{3, 7};
  const TokenPlan plan{.prefetch = 3, .tiles = 4};
  const std::vector<Row> rows = {
      {"before the first wave, and after a restart, it is open", {}, {}, true},
      {"closed during prefetch: at the start", {InFlight(planner, {0, 0})}, {}, false},
      {"closed during prefetch: at its last token", {InFlight(planner, {2, 2})}, {}, false},
      {"closed while prefetch overlaps compute: lo is before begin", {InFlight(planner, {2, 4})}, {}, false},
      {"open during compute: its first tile", {InFlight(planner, {3, 3})}, {}, true},
      {"open during compute: its last tile", {InFlight(planner, {6, 6})}, {}, true},
      {"begin is inclusive", {InFlight({5, 7}, {5, 6})}, {}, true},
      {"begin above lo closes", {InFlight({5, 7}, {4, 6})}, {}, false},
      {"end is exclusive: hi = end closes", {InFlight({3, 6}, {5, 6})}, {}, false},
      {"end is exclusive: hi = end - 1 is open", {InFlight({3, 6}, {5, 5})}, {}, true},
      {"open between waves: the last one rests inside its window", {}, Resting(planner, plan), true},
      {"after a tight window on a wave of five tiles, swaps are refused",
       {},
       Resting({0, 1}, {.prefetch = 0, .tiles = 5}),
       false},
      {"a tight window on a wave of one tile rests open", {}, Resting({0, 1}, {.prefetch = 0, .tiles = 1}), true},
      {"a window beyond the last token never opens at rest", {}, Resting({7, 9}, plan), false},
      {"every wave in flight must allow it: all do", {InFlight(planner, {4, 4}), InFlight(planner, {3, 5})}, {}, true},
      {"every wave in flight must allow it: one in prefetch closes",
       {InFlight(planner, {4, 4}), InFlight(planner, {1, 1})},
       {},
       false},
      {"with waves in flight the resting one does not count: it would close",
       {InFlight(planner, {4, 4})},
       Resting({0, 1}, {.prefetch = 0, .tiles = 5}),
       true},
      {"with waves in flight the resting one does not count: it would open",
       {InFlight(planner, {0, 0})},
       Resting(planner, plan),
       false},
      {"a device that can't observe tiles reports [P, P+T-1]: inside the planner's window",
       {InFlight(planner, {3, 6})},
       {},
       true},
      {"a device that can't observe tiles: a window over part of the tiles stays closed",
       {InFlight({3, 5}, {3, 6})},
       {},
       false},
  };
  for (const Row& row : rows) {
    const WindowSnapshot snapshot{row.in_flight, row.resting};
    EXPECT_EQ(snapshot.IsOpen(), row.open) << row.sentence;
  }
}

TEST(SwapWindow, TestedClaimsAreThoseInFlightElseTheRestingOne) {
  const WindowClaim flying = InFlight({0, 4}, {0, 0});
  const WindowClaim resting = Resting({0, 4}, {.prefetch = 0, .tiles = 4});
  EXPECT_EQ((WindowSnapshot{{flying}, resting}.Tested()), std::vector<WindowClaim>{flying});
  EXPECT_EQ((WindowSnapshot{{}, resting}.Tested()), std::vector<WindowClaim>{resting});
  EXPECT_TRUE((WindowSnapshot{}.Tested().empty()));
}

TEST(SwapPolicy, TableOfVerdicts) {
  struct PolicyRow {
    SwapPolicy policy;
    bool open;
    bool idle;
    SwapVerdict verdict;
  };
  const std::vector<PolicyRow> rows = {
      {SwapPolicy::kInWindow, true, false, SwapVerdict::kFlip},
      {SwapPolicy::kInWindow, true, true, SwapVerdict::kFlip},
      {SwapPolicy::kInWindow, false, false, SwapVerdict::kRefuse},
      // Nothing in flight does not open a window that a wave left closed.
      {SwapPolicy::kInWindow, false, true, SwapVerdict::kRefuse},
      {SwapPolicy::kWaitForWindow, true, false, SwapVerdict::kFlip},
      {SwapPolicy::kWaitForWindow, false, false, SwapVerdict::kWait},
      {SwapPolicy::kWaitForWindow, false, true, SwapVerdict::kWait},
      {SwapPolicy::kWhenIdle, true, false, SwapVerdict::kFlip},
      {SwapPolicy::kWhenIdle, false, true, SwapVerdict::kFlip},
      {SwapPolicy::kWhenIdle, false, false, SwapVerdict::kRefuse},
  };
  for (const PolicyRow& row : rows) {
    EXPECT_EQ(Decide(row.policy, row.open, row.idle), row.verdict)
        << static_cast<int>(row.policy) << " open " << row.open << " idle " << row.idle;
  }
}

TEST(Hold, WavesStartOnlyAlone) {
  EXPECT_TRUE(MayStart(/*holding=*/false, /*idle=*/false));
  EXPECT_TRUE(MayStart(/*holding=*/false, /*idle=*/true));
  EXPECT_FALSE(MayStart(/*holding=*/true, /*idle=*/false));
  EXPECT_TRUE(MayStart(/*holding=*/true, /*idle=*/true));
}

TEST(Describe, NamesWaveWindowAndClock) {
  WindowClaim claim = InFlight({4, 8}, {2, 3});
  claim.wave = WaveNumber(17);
  claim.wave_id = "layer6";
  EXPECT_EQ(Describe(claim), "wave 17 (layer6) in flight: window [4,8), clock [2,3]");
}

}  // namespace
}  // namespace bwrt::runtime
