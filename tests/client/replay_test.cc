#include "client/replay.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "client/operands.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

class ReplayTest : public testing::Test {
 protected:
  ReplayTest() : client_(*Client::Connect(daemon_.address())), recorded_(*ReadPlan("tests/data/bcache_waves.json")) {}

  // Two small waves; the first lists one tile of two.
  static Plan SmallPlan() {
    return *ParsePlan(R"([
        {"bm": 16, "bn": 16, "bk": 16, "tile_order": [[0, 1]], "swap_window": [0, 1]},
        {"bm": 16, "bn": 16, "bk": 16, "io_extents": [["0", 1, 2]]}])");
  }

  FakeDaemon daemon_;
  std::unique_ptr<Client> client_;
  const Plan recorded_;
};

TEST_F(ReplayTest, VerifiesTheRecordedPlanInEveryType) {
  for (const DType dtype : {F32, F16, BF16}) {
    const auto result = Replay(*client_, recorded_, {.dtype = dtype, .verify = true});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->waves, 18u);
    EXPECT_EQ(result->verified, 18u);
    EXPECT_EQ(result->failed, 0u);
    EXPECT_EQ(result->tiles, 100u);  // 91 listed and 9 that complete the grids.
    EXPECT_GT(result->max_rel_error, 0);
    EXPECT_LT(result->max_rel_error, 1e-6);
    EXPECT_TRUE(result->failures.empty());
  }
}

TEST_F(ReplayTest, RoundedResultsAreWithinTheirTolerance) {
  const auto result = Replay(*client_, SmallPlan(), {.dtype = BF16, .c_dtype = BF16, .k = 64, .verify = true});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->verified, 2u);
  EXPECT_GT(result->max_rel_error, 1e-4);
  EXPECT_LT(result->max_rel_error, 1e-2);
}

TEST_F(ReplayTest, WithoutVerifyingNothingIsVerified) {
  const auto result = Replay(*client_, SmallPlan(), {.k = 16});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->waves, 2u);
  EXPECT_EQ(result->verified, 0u);
  EXPECT_EQ(result->failed, 0u);
  EXPECT_EQ(result->tiles, 3u);
  EXPECT_EQ(result->max_rel_error, 0);
}

TEST_F(ReplayTest, CountsWavesThatTheDaemonRefuses) {
  const auto result = Replay(*client_, SmallPlan(), {.model = kRefuses, .k = 16, .verify = true});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->failed, 2u);
  EXPECT_EQ(result->verified, 0u);
  EXPECT_EQ(result->tiles, 0u);
  ASSERT_EQ(result->failures.size(), 2u);
  EXPECT_EQ(result->failures[0].wave, "waves[0]");
  EXPECT_EQ(result->failures[0].status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ReplayTest, SeesAWrongElement) {
  const auto result = Replay(*client_, SmallPlan(), {.model = kWrong, .k = 16, .verify = true});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->failed, 2u);
  EXPECT_EQ(result->failures[0].status.code(), absl::StatusCode::kDataLoss);
  EXPECT_GT(result->max_rel_error, 1e-5);
}

TEST_F(ReplayTest, SeesAWaveUnderstoodDifferently) {
  const auto result = Replay(*client_, SmallPlan(), {.model = kConfused, .k = 16});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->failed, 2u);
  EXPECT_TRUE(absl::StrContains(result->failures[0].status.message(), "swap_end 2 for 1"))
      << result->failures[0].status;
}

TEST_F(ReplayTest, WaitsForAFullQueue) {
  const auto result = Replay(*client_, SmallPlan(), {.model = kFull, .k = 16, .verify = true});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->verified, 2u);
}

TEST_F(ReplayTest, EveryWaveHasADeadline) {
  const auto result = Replay(*client_, SmallPlan(), {.model = kHangs, .k = 16, .timeout = absl::Milliseconds(50)});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->failures[0].status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ReplayTest, TakesWFromATensor) {
  Plan plan = SmallPlan();
  plan.waves.erase(plan.waves.begin());
  auto result = Replay(*client_, plan, {.k = 16, .verify = true, .tensor = "w", .tensor_seed = 5});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->verified, 1u);
  result = Replay(*client_, plan, {.k = 16, .verify = true, .tensor = "w", .tensor_seed = 6});
  EXPECT_EQ(result->failed, 1u);
}

TEST_F(ReplayTest, StopsWhenTheDaemonIsGone) {
  auto daemon = std::make_unique<FakeDaemon>();
  const auto client = *Client::Connect(daemon->address());
  daemon.reset();
  EXPECT_EQ(Replay(*client, recorded_, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReplayTest, ReportsProgress) {
  std::vector<uint64_t> seen;
  ASSERT_TRUE(
      Replay(*client_, SmallPlan(), {.k = 16, .on_progress = [&seen](uint64_t done) { seen.push_back(done); }}).ok());
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2}));
}

TEST_F(ReplayTest, AnEmptyPlanIsDone) {
  const auto result = Replay(*client_, Plan(), {.verify = true});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->waves, 0u);
}

TEST_F(ReplayTest, AWaveBeyondOneMessageFailsAlone) {
  const auto plan = ParsePlan(R"([{"bm": 2147483647, "bn": 2147483647, "bk": 64}])");
  ASSERT_TRUE(plan.ok());
  const auto result = Replay(*client_, *plan, {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->failures[0].status.code(), absl::StatusCode::kResourceExhausted);
}

TEST(MakeReplayRequest, DrawsOperandsByPosition) {
  const Plan plan = *ParsePlan(R"({"bm": 16, "bn": 32, "tile_order": [[1, 0]]})");
  const auto request = MakeReplayRequest(plan.waves[0], 3, {.dtype = BF16, .k = 48, .seed = 9});
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->m(), 32);
  EXPECT_EQ(request->n(), 32);
  EXPECT_EQ(request->k(), 48);
  EXPECT_EQ(request->spec().dtype(), BF16);
  EXPECT_EQ(request->a().inline_(), *RandomMatrix({.seed = 9, .wave = 3, .role = OperandStream::kA}, BF16, 32, 48));
  EXPECT_EQ(request->w().inline_(), *RandomMatrix({.seed = 9, .wave = 3, .role = OperandStream::kW}, BF16, 48, 32));
}

}  // namespace
}  // namespace bwrt::client
