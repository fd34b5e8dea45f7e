#include "runtime/idle_watch.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;

class IdleWatchTest : public testing::Test {
 protected:
  ManualClock clock_;
  int idle_ = 0;
  std::unique_ptr<IdleWatch> watch_ = std::make_unique<IdleWatch>(&clock_, seconds(10), [this] { ++idle_; });
};

TEST_F(IdleWatchTest, TellsOnceAfterItsLimit) {
  watch_->Begin();
  clock_.Advance(seconds(10) - Duration(1));
  EXPECT_EQ(idle_, 0);
  clock_.Advance(Duration(1));
  EXPECT_EQ(idle_, 1);
  watch_->End();
  watch_->Begin();
  clock_.Advance(seconds(100));
  EXPECT_EQ(idle_, 1);
}

TEST_F(IdleWatchTest, EachWaitBeginsAnew) {
  for (int i = 0; i < 20; ++i) {
    watch_->Begin();
    clock_.Advance(seconds(7));
    watch_->End();
  }
  EXPECT_EQ(idle_, 0);
  watch_->Begin();
  clock_.Advance(seconds(10));
  EXPECT_EQ(idle_, 1);
}

TEST_F(IdleWatchTest, WhoWorksIsNotIdle) {
  watch_->Begin();
  watch_->End();
  clock_.Advance(seconds(1000));
  EXPECT_EQ(idle_, 0);
  watch_->Begin();
  clock_.Advance(seconds(9));
  EXPECT_EQ(idle_, 0);
  clock_.Advance(seconds(1));
  EXPECT_EQ(idle_, 1);
}

TEST_F(IdleWatchTest, WaitsDoNotAddAlarms) {
  for (int i = 0; i < 1000; ++i) {
    watch_->Begin();
    watch_->End();
    EXPECT_EQ(clock_.alarms(), 1u);
  }
}

TEST_F(IdleWatchTest, LeavesNothingBehind) {
  watch_->Begin();
  watch_.reset();
  EXPECT_EQ(clock_.alarms(), 0u);
  clock_.Advance(seconds(100));
  EXPECT_EQ(idle_, 0);
}

}  // namespace
}  // namespace bwrt::runtime
