#include "client/bench_runner.h"

#include <gtest/gtest.h>

#include "client/operands.h"
#include "client/status.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

class BenchRunnerTest : public testing::TestWithParam<bool> {
 protected:
  BenchLoad SmallLoad(const std::string& model, int64_t in_flight) const {
    BenchLoad load = {.address = daemon_.address(), .name = "small", .in_flight = in_flight, .unary = GetParam()};
    load.wave.set_model(model);
    load.wave.set_m(4);
    load.wave.set_n(8);
    load.wave.set_k(16);
    WaveSpec* spec = load.wave.mutable_spec();
    spec->set_bm(16);
    spec->set_bn(32);
    spec->set_bk(64);
    spec->set_dtype(F32);
    load.wave.mutable_a()->set_inline_(*RandomMatrix({1, 0, OperandStream::kA}, F32, 4, 16));
    load.wave.mutable_w()->set_inline_(*RandomMatrix({1, 0, OperandStream::kW}, F32, 16, 8));
    return load;
  }

  FakeDaemon daemon_;
};

TEST_P(BenchRunnerTest, ACaseSaysWhatWasMeasured) {
  int rounds = 0;
  const auto result = RunBenchCase(SmallLoad("", 5),
                                   {.warmup_waves = 2, .rounds = 3, .waves = 20, .on_round = [&rounds] { ++rounds; }});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->name, "small");
  EXPECT_EQ(result->in_flight, 5);
  EXPECT_EQ(result->spec.m, 4);
  EXPECT_EQ(result->spec.n, 8);
  EXPECT_EQ(result->spec.k, 16);
  EXPECT_EQ(result->spec.bm, 16);
  EXPECT_EQ(result->spec.bn, 32);
  EXPECT_EQ(result->spec.bk, 64);
  EXPECT_EQ(result->spec.dtype, F32);
  EXPECT_EQ(rounds, 4);  // The warm-up too.
  EXPECT_EQ(result->waves, 60);
  ASSERT_EQ(result->rounds.size(), 3u);
  double seconds = 0;
  int slower = 0, faster = 0;
  for (const BenchRound& round : result->rounds) {
    EXPECT_EQ(round.waves, 20);
    seconds += round.seconds;
    const double rate = 20 / round.seconds;
    slower += rate <= result->waves_per_second ? 1 : 0;
    faster += rate >= result->waves_per_second ? 1 : 0;
  }
  EXPECT_DOUBLE_EQ(result->seconds, seconds);
  // The median of three.
  EXPECT_EQ(slower, 2);
  EXPECT_EQ(faster, 2);
  EXPECT_DOUBLE_EQ(result->gflops, 2.0 * 4 * 8 * 16 * result->waves_per_second / 1e9);
  EXPECT_GT(result->p50_us, 0);
  EXPECT_GE(result->p99_us, result->p50_us);
  EXPECT_LE(result->p99_us, 1e6 * seconds);
  EXPECT_EQ(result->refused, 0);
}

TEST_P(BenchRunnerTest, RoundsByTime) {
  const auto result = RunBenchCase(SmallLoad("", 2), {.rounds = 2, .seconds = absl::Milliseconds(30)});
  ASSERT_TRUE(result.ok()) << result.status();
  for (const BenchRound& round : result->rounds) {
    EXPECT_GE(round.seconds, 0.03);
    EXPECT_GE(round.waves, 2);
  }
}

TEST_P(BenchRunnerTest, AWaveThatCannotRunIsAnError) {
  const auto result = RunBenchCase(SmallLoad(kRefuses, 2), {.rounds = 1, .waves = 4});
  EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
}

TEST_P(BenchRunnerTest, NobodyThere) {
  BenchLoad load = SmallLoad("", 1);
  load.address = "unix:none.sock";
  EXPECT_TRUE(IsUnreachable(RunBenchCase(load, {}).status()));
}

INSTANTIATE_TEST_SUITE_P(Kinds, BenchRunnerTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Calls" : "Streams"; });

// The two refusals of kFull come over calls only.
TEST(BenchRunnerRefusalTest, RefusedWavesAreCountedAndSentAgain) {
  FakeDaemon daemon;
  BenchLoad load = {.address = daemon.address(), .name = "full", .in_flight = 4, .unary = true};
  load.wave.set_model(kFull);
  load.wave.set_m(1);
  load.wave.set_n(1);
  load.wave.set_k(8);
  load.wave.mutable_spec()->set_bm(16);
  load.wave.mutable_spec()->set_bn(16);
  load.wave.mutable_spec()->set_dtype(F32);
  load.wave.mutable_a()->set_inline_(*RandomMatrix({1, 0, OperandStream::kA}, F32, 1, 8));
  load.wave.mutable_w()->set_inline_(*RandomMatrix({1, 0, OperandStream::kW}, F32, 8, 1));
  const auto result = RunBenchCase(load, {.warmup_waves = 0, .rounds = 1, .waves = 10});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->waves, 10);
  EXPECT_EQ(result->refused, 2);
}

}  // namespace
}  // namespace bwrt::client
