#include "tests/e2e/daemon_fixture.h"

#include <utility>

#include "absl/time/clock.h"

namespace bwrt::e2e {

bool WaitUntil(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));  // Leaves the processor to what is waited for.
  }
  return true;
}

void DaemonFixture::StartDaemon(std::vector<std::string> flags) {
  auto daemon = Daemon::Start(std::move(flags));
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  daemon_ = *std::move(daemon);
  client_ = Connect(daemon_->unix_address().empty() ? daemon_->tcp_address() : daemon_->unix_address());
  ASSERT_NE(client_, nullptr);
}

std::optional<int> DaemonFixture::StopDaemon() {
  client_.reset();
  const auto status = daemon_->Stop();
  log_ = daemon_->log();
  if (HasFailure()) GTEST_LOG_(INFO) << "the daemon's log:\n" << log_;
  daemon_.reset();
  return status;
}

void DaemonFixture::TearDown() {
  if (daemon_ == nullptr) return;
  if (client_ != nullptr) {
    EXPECT_TRUE(IsServing());
  }
  EXPECT_EQ(StopDaemon(), 0);
}

std::unique_ptr<client::Client> DaemonFixture::Connect(const std::string& address) {
  auto client = client::Client::Connect(address, {.default_timeout = kPatience, .connect_timeout = kPatience});
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

Scrape DaemonFixture::GetMetrics() {
  auto scrape = Scrape::Get(daemon_->metrics_address());
  EXPECT_TRUE(scrape.ok()) << scrape.status();
  return scrape.ok() ? *std::move(scrape) : Scrape();
}

bool DaemonFixture::IsIdle() {
  const Scrape metrics = GetMetrics();
  const auto model = client_->GetModel("");
  return model.ok() && metrics.Sum("bwrt_waves_in_flight") == 0 && metrics.Sum("bwrt_queue_depth") == 0 &&
         model->window().waiting_swaps() == 0 &&
         (model->window().claims().empty() || !model->window().claims(0).in_flight());
}

testing::AssertionResult DaemonFixture::IsServing() {
  const auto health = client_->CheckHealth();
  if (!health.ok()) return testing::AssertionFailure() << client::FormatError(health.status());
  if (health->status() == grpc::health::v1::HealthCheckResponse::SERVING) return testing::AssertionSuccess();
  return testing::AssertionFailure() << health->ShortDebugString();
}

testing::AssertionResult Is(const absl::Status& status, absl::StatusCode code, const std::string& reason) {
  if (status.code() == code && client::DetailsOf(status).reason == reason) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "want " << absl::StatusCodeToString(code) << " " << reason << ", got "
                                     << client::FormatError(status);
}

}  // namespace bwrt::e2e
