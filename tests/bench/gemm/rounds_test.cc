#include "tests/bench/gemm/rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

namespace bwrt::bench {
namespace {

TEST(RoundsTest, ContendersTakeTurnsAndTheFirstOfARoundRotates) {
  std::string order;
  std::vector<int> seen;
  const TimedCall a = [&](int i) {
    order += 'a';
    seen.push_back(i);
  };
  const TimedCall b = [&](int /*i*/) { order += 'b'; };
  // Turns that are shorter than any call: one call each.
  const RoundTimes times =
      MeasureRounds({a, b}, {.min_rounds = 3, .max_rounds = 3, .budget_seconds = 0, .turn_seconds = 0});
  EXPECT_EQ(order, "ababbaab");  // Once each untimed, then three rounds.
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 1, 2, 3));
  ASSERT_EQ(times.seconds.size(), 2);
  EXPECT_THAT(times.seconds, ::testing::Each(::testing::SizeIs(3)));
}

TEST(RoundsTest, ShortCallsAreRepeated) {
  int calls = 0;
  MeasureRounds({[&](int /*i*/) { ++calls; }},
                {.min_rounds = 2, .max_rounds = 9, .budget_seconds = 0, .turn_seconds = 1e-3});
  EXPECT_GT(calls, 100);
}

TEST(RoundsTest, DisturbedRoundsDoNotCountWhileEnoughAreLeft) {
  EXPECT_THAT(CountedRounds({0.0, 0.5, 0.05, 0.2, 0.1}, 2), ::testing::ElementsAre(0, 2, 4));
  EXPECT_THAT(CountedRounds({0.9, 0.5, 0.7, 0.05}, 3), ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(CountedRounds({0.9, 0.5}, 3), ::testing::ElementsAre(0, 1));
}

TEST(RoundsTest, AThreadThatNeverSleepsIsNamed) {
  std::atomic<bool> spins{false};
  std::atomic<bool> stop{false};
  std::thread spinning([&] {
    spins = true;
    while (!stop) continue;
  });
  while (!spins) std::this_thread::yield();
  EXPECT_THROW(AwaitIdlePools(/*patience_seconds=*/0.05), std::runtime_error);
  stop = true;
  spinning.join();
  AwaitIdlePools();
}

}  // namespace
}  // namespace bwrt::bench
