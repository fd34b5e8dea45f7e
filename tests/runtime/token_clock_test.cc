#include "runtime/token_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace bwrt::runtime {
namespace {

TEST(TokenPlanTest, CountsPrefetchAndTiles) {
  const TokenPlan plan{.prefetch = 3, .tiles = 5};
  EXPECT_EQ(plan.total(), 8);
  EXPECT_EQ(plan.last(), 7);
}

TEST(TokenClockTest, BeginsInTokenZero) {
  EXPECT_EQ(TokenClock({.prefetch = 2, .tiles = 3}).Read(), (ClockReading{0, 0}));
}

TEST(TokenClockTest, OneTokenStaysAtZero) {
  TokenClock clock({.prefetch = 0, .tiles = 1});
  clock.Start(0);
  EXPECT_EQ(clock.Read(), (ClockReading{0, 0}));
  clock.Finish(0);
  EXPECT_EQ(clock.Read(), (ClockReading{0, 0}));
  EXPECT_EQ(clock.Resting(), (ClockReading{0, 0}));
}

TEST(TokenClockTest, StepsThroughAWave) {
  TokenClock clock({.prefetch = 1, .tiles = 2});
  clock.Finish(0);
  EXPECT_EQ(clock.Read(), (ClockReading{1, 0})) << "token 1 is the smallest unfinished, 0 the largest started";
  clock.Start(1);
  EXPECT_EQ(clock.Read(), (ClockReading{1, 1}));
  clock.Finish(1);
  clock.Start(2);
  EXPECT_EQ(clock.Read(), (ClockReading{2, 2}));
}

TEST(TokenClockTest, RestsAtTheLastToken) {
  TokenClock clock({.prefetch = 2, .tiles = 3});
  EXPECT_EQ(clock.Resting(), (ClockReading{4, 4}));
}

TEST(TokenClockTest, StartedAheadWidensTheClock) {
  TokenClock clock({.prefetch = 0, .tiles = 4});
  clock.Start(3);
  clock.Start(1);  // Does not fall back.
  EXPECT_EQ(clock.Read(), (ClockReading{0, 3}));
}

TEST(TokenClockTest, OutOfOrderFinishWaitsForTheSmallest) {
  TokenClock clock({.prefetch = 0, .tiles = 4});
  clock.Finish(2);
  clock.Finish(1);
  EXPECT_EQ(clock.Read(), (ClockReading{0, 2}));
  clock.Finish(0);
  EXPECT_EQ(clock.Read(), (ClockReading{3, 2})) << "1 and 2 were finished already";
  clock.Finish(3);
  EXPECT_EQ(clock.Read(), (ClockReading{3, 3})) << "lo never passes the last token";
}

TEST(TokenClockTest, FinishingTwiceChangesNothing) {
  TokenClock clock({.prefetch = 0, .tiles = 3});
  clock.Finish(0);
  clock.Finish(0);
  EXPECT_EQ(clock.Read(), (ClockReading{1, 0}));
  clock.Finish(2);
  clock.Finish(2);
  EXPECT_EQ(clock.Read(), (ClockReading{1, 2}));
}

// Against the definition itself: the smallest unfinished token and the largest started one.
TEST(TokenClockTest, AgreesWithTheDefinitionForAnyOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int64_t total = 1 + static_cast<int64_t>(random() % 12);
    std::vector<int64_t> order(static_cast<size_t>(total));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    const int64_t prefetch = static_cast<int64_t>(random() % static_cast<uint32_t>(total));
    TokenClock clock({.prefetch = prefetch, .tiles = total - prefetch});
    std::set<int64_t> started = {0}, unfinished(order.begin(), order.end());
    for (const int64_t token : order) {
      if (random() % 2 == 0) {
        const auto ahead = static_cast<int64_t>(random() % static_cast<uint32_t>(total));
        clock.Start(ahead);
        started.insert(ahead);
      }
      clock.Finish(token);
      started.insert(token);
      unfinished.erase(token);
      const int64_t lo = unfinished.empty() ? total - 1 : *unfinished.begin();
      ASSERT_EQ(clock.Read(), (ClockReading{lo, *started.rbegin()})) << "round " << round << ", token " << token;
    }
  }
}

}  // namespace
}  // namespace bwrt::runtime
