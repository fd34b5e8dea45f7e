#include "runtime/system_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/one_shot.h"

namespace bwrt::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::ElementsAre;

// Occupies the clock's thread until it is let go, so that what a test sets meanwhile is set before anything
// of it can fire.
class Blocker {
 public:
  explicit Blocker(SystemClock& clock) {
    clock.SetAlarm(clock.Now(), [this] {
      begun_.Set(true);
      go_on_.Get();
    });
    begun_.Get();
  }
  void LetGo() { go_on_.Set(true); }

 private:
  OneShot<bool> begun_;
  OneShot<bool> go_on_;
};

TEST(SystemClockTest, NowNeverGoesBack) {
  SystemClock clock;
  const Time first = clock.Now();
  EXPECT_LE(first, clock.Now());
}

TEST(SystemClockTest, AlarmsFireNotBeforeTheirTime) {
  SystemClock clock;
  OneShot<Time> fired;
  const Time when = clock.Now() + milliseconds(20);
  clock.SetAlarm(when, [&] { fired.Set(clock.Now()); });
  EXPECT_GE(fired.Get(), when);
}

TEST(SystemClockTest, AlarmsFireInOrderOfTimeThenOfSetting) {
  SystemClock clock;
  std::vector<int> order;  // Written by the clock's thread alone, read once `done` is set.
  OneShot<bool> done;
  Blocker blocker(clock);
  const Time now = clock.Now();
  const auto set = [&](Duration after, int number) {
    clock.SetAlarm(now + after, [&order, number] { order.push_back(number); });
  };
  set(milliseconds(3), 3);
  set(milliseconds(1), 1);
  set(milliseconds(2), 2);
  set(milliseconds(1), 10);  // As early as 1, set later.
  set(-hours(1), 0);
  clock.SetAlarm(now + milliseconds(4), [&] { done.Set(true); });
  blocker.LetGo();
  done.Get();
  EXPECT_THAT(order, ElementsAre(0, 1, 10, 2, 3));
}

TEST(SystemClockTest, AnEarlierAlarmOvertakesOneThatIsAwaited) {
  SystemClock clock;
  OneShot<bool> early;
  const Clock::AlarmId late = clock.SetAlarm(clock.Now() + hours(1), [] { FAIL() << "an hour early"; });
  clock.SetAlarm(clock.Now() + milliseconds(1), [&] { early.Set(true); });
  EXPECT_TRUE(early.Get());
  clock.CancelAlarm(late);
}

TEST(SystemClockTest, CancelledAlarmsDoNotFire) {
  SystemClock clock;
  OneShot<bool> done;
  bool fired = false;
  Blocker blocker(clock);
  const Time now = clock.Now();
  const Clock::AlarmId cancelled = clock.SetAlarm(now, [&] { fired = true; });
  clock.SetAlarm(now + milliseconds(1), [&] { done.Set(true); });
  clock.CancelAlarm(cancelled);
  blocker.LetGo();
  done.Get();
  EXPECT_FALSE(fired);
}

TEST(SystemClockTest, UnknownIdsAreIgnored) {
  SystemClock clock;
  clock.CancelAlarm(Clock::kNoAlarm);
  clock.CancelAlarm(12345);
  OneShot<bool> fired;
  const Clock::AlarmId id = clock.SetAlarm(clock.Now(), [&] { fired.Set(true); });
  EXPECT_NE(id, Clock::kNoAlarm);
  fired.Get();
  clock.CancelAlarm(id);  // Fired already.
}

TEST(SystemClockTest, AlarmsMaySetAndCancelAlarms) {
  SystemClock clock;
  OneShot<bool> done;
  bool fired = false;
  Blocker blocker(clock);
  const Clock::AlarmId victim = clock.SetAlarm(clock.Now() + milliseconds(1), [&] { fired = true; });
  clock.SetAlarm(clock.Now() - milliseconds(1), [&] {
    clock.CancelAlarm(victim);
    clock.SetAlarm(clock.Now() + milliseconds(2), [&] { done.Set(true); });
  });
  blocker.LetGo();
  done.Get();
  EXPECT_FALSE(fired);
}

TEST(SystemClockTest, CancellingFreesWhatTheAlarmOwned) {
  SystemClock clock;
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = owned;
  const Clock::AlarmId id = clock.SetAlarm(clock.Now() + hours(1), [owned = std::move(owned)] {});
  EXPECT_FALSE(weak.expired());
  clock.CancelAlarm(id);
  EXPECT_TRUE(weak.expired());
}

// What an alarm owns may itself use the clock when it goes, as a runtime's callbacks do.
TEST(SystemClockTest, WhatAnAlarmOwnsMayUseTheClockWhenItIsFreed) {
  struct UsesClock {
    SystemClock* clock;
    ~UsesClock() {
      clock->CancelAlarm(clock->SetAlarm(clock->Now() + hours(1), [] {}));
    }
  };
  SystemClock clock;
  const Clock::AlarmId id =
      clock.SetAlarm(clock.Now() + hours(1), [owned = std::make_shared<UsesClock>(UsesClock{&clock})] {});
  clock.CancelAlarm(id);  // Would deadlock if it were freed under the clock's lock.
}

TEST(SystemClockTest, QuiesceWaitsForTheAlarmThatFires) {
  SystemClock clock;
  bool finished = false;  // Not atomic: Quiesce must order it.
  OneShot<bool> begun, go_on;
  clock.SetAlarm(clock.Now(), [&] {
    begun.Set(true);
    go_on.Get();
    finished = true;
  });
  begun.Get();
  std::thread quiescer([&] {
    clock.Quiesce();
    EXPECT_TRUE(finished);
  });
  go_on.Set(true);
  quiescer.join();
}

TEST(SystemClockTest, QuiesceReturnsAtOnceWhenNothingFires) {
  SystemClock clock;
  clock.SetAlarm(clock.Now() + hours(1), [] {});
  clock.Quiesce();
}

TEST(SystemClockTest, DestructionDropsWhatHasNotFired) {
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = owned;
  {
    SystemClock clock;
    clock.SetAlarm(clock.Now() + hours(1), [owned = std::move(owned)] { FAIL() << "fired"; });
  }
  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace bwrt::runtime
