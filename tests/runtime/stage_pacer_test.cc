#include "runtime/stage_pacer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StagePacerTest, NobodyWaitsWithoutALimitOrWithoutWaves) {
  ManualClock clock;
  StagePacer unlimited(0, &clock, [] { return true; });
  for (int i = 0; i < 100; ++i) unlimited.Wait(int64_t{1} << 40);
  StagePacer idle(1, &clock, [] { return false; });
  for (int i = 0; i < 100; ++i) idle.Wait(int64_t{1} << 40);
}

TEST(StagePacerTest, WhileWavesRunABytesTimeIsWaitedFor) {
  ManualClock clock;
  StagePacer pacer(1000, &clock, [] { return true; });
  pacer.Wait(500);  // The first goes through, and has to be paid for by the next.
  std::atomic<bool> through{false};
  std::thread next([&] {
    pacer.Wait(1);
    through = true;
  });
  clock.AwaitAlarms(1);
  clock.Advance(milliseconds(499));
  EXPECT_FALSE(through);
  clock.Advance(milliseconds(1));
  next.join();
  EXPECT_TRUE(through);
  // Time in which nothing was staged is not saved up.
  clock.Advance(seconds(100));
  pacer.Wait(1000);
  std::thread last([&] { pacer.Wait(1); });
  clock.AwaitAlarms(1);
  clock.Advance(seconds(1));
  last.join();
}

TEST(StagePacerTest, BetweenTwoWavesNothingIsMadeUpFor) {
  ManualClock clock;
  std::atomic<bool> busy{true};
  StagePacer pacer(1000, &clock, [&] { return busy.load(); });
  pacer.Wait(500);
  busy = false;
  clock.Advance(StagePacer::kLinger / 2);
  std::thread next([&] { pacer.Wait(1); });
  clock.AwaitAlarms(1);
  clock.Advance(milliseconds(500));
  next.join();
  // They have been gone for long enough.
  pacer.Wait(int64_t{1} << 40);
  pacer.Wait(1);
  EXPECT_EQ(clock.alarms(), 0U);
}

TEST(StagePacerTest, AStopLetsEverybodyGo) {
  ManualClock clock;
  StagePacer pacer(1, &clock, [] { return true; });
  pacer.Wait(int64_t{1} << 30);
  std::thread waiting([&] { pacer.Wait(1); });
  clock.AwaitAlarms(1);
  pacer.Stop();
  waiting.join();
  pacer.Wait(int64_t{1} << 30);
  EXPECT_EQ(clock.alarms(), 0U);
}

}  // namespace
}  // namespace bwrt::runtime
