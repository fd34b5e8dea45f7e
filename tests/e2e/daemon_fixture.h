// The fixture of the end-to-end tests: one daemon for each test, and a client of it.
//
// When a test ends, the daemon must still serve, and drain with exit status 0, unless the test has stopped it.
#ifndef BWRT_TESTS_E2E_DAEMON_FIXTURE_H_
#define BWRT_TESTS_E2E_DAEMON_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/status.h"
#include "tests/e2e/daemon_process.h"
#include "tests/e2e/scrape.h"

namespace bwrt::e2e {

// True once `condition` holds; false when it has not for kPatience. For states that nothing announces.
bool WaitUntil(const std::function<bool()>& condition);

class DaemonFixture : public testing::Test {
 protected:
  void TearDown() override;

  // Fatal failures: call it through ASSERT_NO_FATAL_FAILURE, or in SetUp.
  void StartDaemon(std::vector<std::string> flags = {});
  // Drains the daemon, if it has not ended; its exit status.
  std::optional<int> StopDaemon();
  // What the last daemon that was stopped had logged.
  const std::string& log() const { return log_; }

  Daemon& daemon() { return *daemon_; }
  client::Client& client() { return *client_; }
  // Another client, with an id of its own.
  std::unique_ptr<client::Client> Connect(const std::string& address);

  // These need a daemon with kMetrics.
  Scrape GetMetrics();
  double QueueDepth() { return GetMetrics().Sum("bwrt_queue_depth"); }
  // No wave runs or waits, and no swap of the default model waits.
  bool IsIdle();

  testing::AssertionResult IsServing();

 private:
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<client::Client> client_;
  std::string log_;
};

// Success if `status` has this code and reason.
testing::AssertionResult Is(const absl::Status& status, absl::StatusCode code, const std::string& reason);

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_DAEMON_FIXTURE_H_
