#include "server/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace bwrt::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReadinessTest : public ::testing::Test {
 protected:
  void Start() {
    readiness_.Start([this](bool serving) { published_.push_back(serving); });
  }

  std::vector<bool> published_;
  Readiness readiness_;
};

TEST_F(ReadinessTest, ServesFromStartToDrain) {
  Start();
  readiness_.SetDraining();
  EXPECT_THAT(published_, ElementsAre(true, false));
}

TEST_F(ReadinessTest, FollowsTheDevice) {
  Start();
  readiness_.SetDevice(false);
  readiness_.SetDevice(false);
  readiness_.SetDevice(true);
  EXPECT_THAT(published_, ElementsAre(true, false, true));
}

TEST_F(ReadinessTest, ADeviceThatComesBackDoesNotEndADrain) {
  Start();
  readiness_.SetDevice(false);
  readiness_.SetDraining();
  readiness_.SetDevice(true);
  EXPECT_THAT(published_, ElementsAre(true, false));
}

TEST_F(ReadinessTest, ADeviceThatIsLostBeforeTheStartCounts) {
  readiness_.SetDevice(false);
  Start();
  EXPECT_THAT(published_, IsEmpty()) << "health begins as NOT_SERVING";
  readiness_.SetDevice(true);
  EXPECT_THAT(published_, ElementsAre(true));
}

TEST_F(ReadinessTest, PublishesNothingAfterStop) {
  Start();
  readiness_.Stop();
  readiness_.SetDraining();
  EXPECT_THAT(published_, ElementsAre(true));
}

}  // namespace
}  // namespace bwrt::server
