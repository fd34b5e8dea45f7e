// Many clients at once: whatever the daemon did, what they saw must have been possible.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>

#include "tests/e2e/daemon_process.h"
#include "tests/e2e/history_client.h"
#include "tests/e2e/history_load.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using testing::IsEmpty;
using Outcome = HistoryCommit::Outcome;

class HistoryTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--lanes=2", "--keep-versions=3", kLenient});
    auto daemon = Daemon::Start(std::move(flags));
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
  }
  void Publish() {
    HistoryClient client(daemon_->unix_address(), &recorder_);
    for (const char* model : kHistoryModels) ASSERT_TRUE(client.SetWeights(model).ok());
  }
  void CheckNow() {
    HistoryClient client(daemon_->unix_address(), &recorder_);
    for (const char* model : kHistoryModels) ASSERT_TRUE(client.RunWave(model).ok());
    EXPECT_THAT(FindContradictions(recorder_.Take()), IsEmpty()) << daemon_->log();
  }

  HistoryRecorder recorder_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(HistoryTest, OfOneDaemon) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  ASSERT_NO_FATAL_FAILURE(Publish());
  HistoryLoad(daemon_->unix_address(), &recorder_, {}).Join();
  CheckNow();
  EXPECT_EQ(recorder_.Count(Outcome::kUnknown), 0);
  EXPECT_GT(recorder_.Count(Outcome::kOk), 10);
  EXPECT_EQ(daemon_->Stop(), 0);
}

TEST_F(HistoryTest, WithAStateDirectory) {
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(Publish());
  HistoryLoad(daemon_->unix_address(), &recorder_,
              {.seed = 2, .publishers = 3, .submitters = 3, .changes = 25, .waves = 150, .in_place = true})
      .Join();
  CheckNow();
  EXPECT_EQ(recorder_.Count(Outcome::kUnknown), 0);
  EXPECT_GT(recorder_.Count(Outcome::kOk), 10);
  EXPECT_EQ(daemon_->Stop(), 0);
}

TEST_F(HistoryTest, AcrossRestarts) {
  constexpr int kRestarts = 4;
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(Publish());
  for (uint64_t i = 0; i < kRestarts; ++i) {
    HistoryLoad load(
        daemon_->unix_address(), &recorder_,
        {.seed = 10 + i, .publishers = 3, .submitters = 3, .changes = 100, .waves = 1000, .in_place = true});
    load.Await(100);
    HistoryRestart restart;
    restart.time.invoked = recorder_.Now();
    EXPECT_EQ(daemon_->Stop(), 0) << daemon_->log();
    load.Join();
    ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
    restart.time.returned = recorder_.Now();
    recorder_.Add(restart);
    ASSERT_TRUE(HistoryClient(daemon_->unix_address(), &recorder_).SettleOpen().ok());
    ASSERT_NO_FATAL_FAILURE(CheckNow());
  }
  EXPECT_GT(recorder_.Count(Outcome::kOk), 10);
  EXPECT_EQ(daemon_->Stop(), 0);
}

}  // namespace
}  // namespace bwrt::e2e
