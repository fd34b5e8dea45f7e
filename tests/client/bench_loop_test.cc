#include "client/bench_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "client/status.h"
#include "google/rpc/error_details.pb.h"

namespace bwrt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

absl::Status QueueFull(milliseconds delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay.count() * 1'000'000));
  google::rpc::Status status;
  status.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
  status.set_message("queue full");
  status.add_details()->PackFrom(info);
  return FromRpcStatus(status);
}

// A daemon that answers one wave after the other, each `per_wave` after the last, by a clock of its own.
class FakeCarrier : public WaveCarrier {
 public:
  void Send(uint64_t id) override {
    EXPECT_TRUE(outstanding_.insert(id).second) << "wave " << id << " is sent twice";
    sent_when_idle += outstanding_.size() == 1 ? 1 : 0;
    most = std::max(most, outstanding_.size());
    sent_at.push_back(time);
    queue_.push_back(id);
  }

  absl::Status Receive(Time deadline, std::vector<Answer>* answers) override {
    if (broken) return absl::UnavailableError("gone");
    if (silent || queue_.empty()) {
      EXPECT_NE(deadline, Time::max());
      time = std::max(time, deadline);
      return absl::OkStatus();
    }
    time += per_wave;
    const uint64_t id = queue_.front();
    queue_.pop_front();
    outstanding_.erase(id);
    ++answered;
    const auto other = outcomes.find(answered);
    answers->push_back({id, other == outcomes.end() ? absl::OkStatus() : other->second});
    return absl::OkStatus();
  }

  absl::StatusOr<LoopResult> Run(const LoopPlan& plan) {
    return RunLoop(*this, plan, [this] { return time; });
  }

  milliseconds per_wave{1};
  bool silent = false;
  bool broken = false;
  std::map<int, absl::Status> outcomes;  // Of the n-th answer, where it is not OK.

  Time time{seconds(1)};
  size_t most = 0;         // Outstanding at once.
  int sent_when_idle = 0;  // Waves sent while none was outstanding.
  int answered = 0;
  std::vector<Time> sent_at;

 private:
  std::set<uint64_t> outstanding_;
  std::deque<uint64_t> queue_;
};

TEST(BenchLoopTest, KeepsAsManyInFlightAsAskedFor) {
  FakeCarrier carrier;
  const auto result = carrier.Run({.in_flight = 8, .sync_every = 0, .waves = 100});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->waves, 100);
  EXPECT_EQ(result->latencies_us.size(), 100u);
  EXPECT_EQ(carrier.sent_at.size(), 100u);
  EXPECT_EQ(carrier.most, 8u);
  EXPECT_EQ(carrier.sent_when_idle, 1);
  // One a millisecond; each waits for the seven before it.
  EXPECT_DOUBLE_EQ(result->seconds, 0.1);
  EXPECT_FLOAT_EQ(result->latencies_us[0], 1000);
  EXPECT_FLOAT_EQ(result->latencies_us[50], 8000);
  EXPECT_EQ(result->refused, 0);
}

TEST(BenchLoopTest, FewerWavesThanMayBeInFlight) {
  FakeCarrier carrier;
  const auto result = carrier.Run({.in_flight = 8, .waves = 3});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->waves, 3);
  EXPECT_EQ(carrier.most, 3u);
}

TEST(BenchLoopTest, SyncsAfterSoManyWaves) {
  FakeCarrier carrier;
  ASSERT_TRUE(carrier.Run({.in_flight = 4, .sync_every = 10, .waves = 40}).ok());
  EXPECT_EQ(carrier.most, 4u);
  EXPECT_EQ(carrier.sent_when_idle, 4);
  // The eleventh leaves when the tenth has been answered.
  EXPECT_EQ(carrier.sent_at[9] - carrier.sent_at[0], milliseconds(6));
  EXPECT_EQ(carrier.sent_at[10] - carrier.sent_at[0], milliseconds(10));
}

TEST(BenchLoopTest, NeverSyncsBeforeAllThatMayBeInFlightAre) {
  FakeCarrier carrier;
  ASSERT_TRUE(carrier.Run({.in_flight = 100, .sync_every = 64, .waves = 300}).ok());
  EXPECT_EQ(carrier.most, 100u);
  EXPECT_EQ(carrier.sent_when_idle, 3);
}

TEST(BenchLoopTest, EndsWithItsTime) {
  FakeCarrier carrier;
  const auto result = carrier.Run({.in_flight = 2, .sync_every = 0, .time = milliseconds(50)});
  ASSERT_TRUE(result.ok());
  // Two at once, then one for each answer until the fiftieth millisecond.
  EXPECT_EQ(result->waves, 51);
  EXPECT_DOUBLE_EQ(result->seconds, 0.051);
}

TEST(BenchLoopTest, TimeThatIsTooShortStillFillsTheFlight) {
  FakeCarrier carrier;
  carrier.per_wave = seconds(1);
  const auto result = carrier.Run({.in_flight = 16, .time = milliseconds(1)});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->waves, 16);
  EXPECT_EQ(carrier.most, 16u);
}

TEST(BenchLoopTest, ARefusedWaveIsSentAgainAfterItsDelay) {
  FakeCarrier carrier;
  carrier.outcomes[1] = QueueFull(milliseconds(100));
  const auto result = carrier.Run({.in_flight = 1, .waves = 2});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->waves, 2);
  EXPECT_EQ(result->refused, 1);
  ASSERT_EQ(carrier.sent_at.size(), 3u);
  // Refused after one millisecond; a hundred later it goes again, and takes one more.
  EXPECT_EQ(carrier.sent_at[1] - carrier.sent_at[0], milliseconds(101));
  EXPECT_FLOAT_EQ(result->latencies_us[0], 102'000);
  EXPECT_FLOAT_EQ(result->latencies_us[1], 1000);
}

TEST(BenchLoopTest, WhileOneWaitsToBeSentAgainOthersGoOn) {
  FakeCarrier carrier;
  carrier.outcomes[1] = QueueFull(milliseconds(20));
  const auto result = carrier.Run({.in_flight = 2, .sync_every = 0, .waves = 50});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->waves, 50);
  EXPECT_EQ(result->refused, 1);
  EXPECT_LE(carrier.most, 2u);
  // Nothing stood still meanwhile: fifty waves and the refusal.
  EXPECT_DOUBLE_EQ(result->seconds, 0.051);
}

TEST(BenchLoopTest, AnyOtherErrorEndsIt) {
  FakeCarrier refuses;
  refuses.outcomes[5] = absl::InvalidArgumentError("bad wave");
  EXPECT_EQ(refuses.Run({.in_flight = 2, .waves = 50}).status(), absl::InvalidArgumentError("bad wave"));

  // Without a delay it would be refused for ever.
  FakeCarrier too_large;
  too_large.outcomes[2] = absl::ResourceExhaustedError("wave too large");
  EXPECT_EQ(too_large.Run({.waves = 50}).status(), absl::ResourceExhaustedError("wave too large"));

  FakeCarrier gone;
  gone.broken = true;
  EXPECT_EQ(gone.Run({.waves = 50}).status(), absl::UnavailableError("gone"));
}

TEST(BenchLoopTest, DoesNotWaitForEver) {
  FakeCarrier carrier;
  carrier.silent = true;
  const auto result = carrier.Run({.in_flight = 3, .waves = 50, .patience = seconds(5)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status()));
  EXPECT_EQ(carrier.time - carrier.sent_at[0], seconds(5));
}

}  // namespace
}  // namespace bwrt::client
