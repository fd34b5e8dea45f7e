// Alarms that were already firing when they were cancelled, and come when something else is under way.

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "runtime/error.h"
#include "tests/runtime/swap_line_fixture.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;

constexpr SwapPolicy kWait = SwapPolicy::kWaitForWindow;

class LateAlarmsTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Lease>> Start() {
    return line_.models["m"]->Start({WaveNumber(++wave_), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}});
  }

  LineHarness line_{{"m"}, {.allow_when_idle = true, .max_hold = seconds(10), .max_pause = seconds(5)}};
  uint64_t wave_ = 1000;
};

TEST_F(LateAlarmsTest, ThatOfAnEarlierPauseDoesNotEndALaterOne) {
  // Its window is open in its first tile only.
  auto wave = line_.Start("m", {0, 1}, 2);
  const size_t swap = line_.Swap({.models = {"m"}, .policy = kWait, .in_place = true});
  const std::function<void()> late = line_.clock.TakeFirst();  // Of the pause, which ends in 5 s.
  line_.clock.Advance(seconds(4));
  wave->Step(0, 1);
  wave->Retire();
  ASSERT_FALSE(line_.Ended(swap)) << "it waits for another window";
  // Here it is, and the swap pauses again.
  wave = line_.Start("m", {0, 2}, 2);
  ASSERT_NE(wave, nullptr);
  ASSERT_TRUE(line_.models["m"]->held_back());
  late();
  EXPECT_FALSE(line_.Ended(swap)) << line_.Why(swap);
  line_.clock.Advance(seconds(4));
  EXPECT_FALSE(line_.Ended(swap)) << line_.Why(swap);
  line_.clock.Advance(seconds(1));
  EXPECT_EQ(GetReason(line_.Why(swap)), "MAX_PAUSE");
}

TEST_F(LateAlarmsTest, ThatOfAnEarlierCopyDoesNotRefuseWavesOfALaterOne) {
  const auto in_place = [&] { return line_.Swap({.models = {"m"}, .policy = kWait, .in_place = true}); };
  ASSERT_TRUE(line_.Flipped(in_place()));
  const std::function<void()> late = line_.clock.TakeFirst();  // Waves are held for 5 s.
  line_.clock.Advance(seconds(4));
  line_.line.FinishLoading(line_.models["m"], line_.models["m"]->current());
  ASSERT_TRUE(line_.Flipped(in_place()));
  late();
  auto held = Start();
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(*held, nullptr);
  line_.clock.Advance(seconds(5));
  EXPECT_EQ(GetReason(Start().status()), "MODEL_LOADING");
  line_.line.FinishLoading(line_.models["m"], line_.models["m"]->current());
  late();
  held = Start();
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_NE(*held, nullptr);
}

}  // namespace
}  // namespace bwrt::runtime
