// Tuning through a real daemon: on the CPU device, and on a fake GPU, where it chooses algorithms too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kFakePlugin[] = "--cuda-plugin=tests/e2e/libbwrt_fake_cuda.so";
constexpr char kShapes[] = "# of the tests\n64x96x128\n32x32x64:bf16:transposed\n";

v1::TuneRequest RequestFor(int64_t m, int64_t n, int64_t k, DType dtype = F32) {
  v1::TuneRequest request;
  v1::TuneProblem* problem = request.add_problems();
  problem->set_m(m);
  problem->set_n(n);
  problem->set_k(k);
  problem->set_dtype(dtype);
  request.mutable_budget()->set_seconds(30);
  return request;
}

class TuneTest : public DaemonFixture {
 protected:
  std::string state() const { return "--state-dir=" + directory_ / "state"; }
  std::string table() const { return directory_ / "state/tuning.json"; }
  std::string AtStart(const std::string& shapes = kShapes) {
    WriteAll(directory_ / "shapes", shapes);
    return "--tune-at-start=" + directory_ / "shapes";
  }

  absl::StatusOr<std::vector<v1::TuneResult>> Tune(const v1::TuneRequest& request) {
    const auto watch = client().Tune(request);
    std::vector<v1::TuneResult> results;
    while (true) {
      auto event = watch->Next();
      if (!event.ok()) return event.status();
      if (!event->has_value()) return results;
      if ((*event)->has_result()) results.push_back((*event)->result());
    }
  }

  Directory directory_;
};

TEST_F(TuneTest, TheCpuTimesTheWhitelist) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  v1::TuneRequest request = RequestFor(64, 96, 128);
  *request.add_problems() = RequestFor(8, 256, 64, F8_E4M3).problems(0);
  const auto results = Tune(request);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(2));
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok());
  for (size_t i = 0; i < 2; ++i) {
    const v1::TuneResult& result = (*results)[i];
    EXPECT_EQ(result.problem(), i);
    ASSERT_EQ(result.timed_size(), caps->tile_whitelist_size());
    double least = result.timed(0).median_seconds();
    for (int t = 0; t < result.timed_size(); ++t) {
      EXPECT_EQ(result.timed(t).shape().SerializeAsString(), caps->tile_whitelist(t).SerializeAsString());
      EXPECT_GT(result.timed(t).median_seconds(), 0);
      EXPECT_THAT(result.timed(t).kernel(), StartsWith("libxsmm"));
      EXPECT_EQ(result.timed(t).repeats(), 5);
      EXPECT_EQ(result.timed(t).algorithm(), "") << "a processor has no choice of algorithms";
      least = std::min(least, result.timed(t).median_seconds());
    }
    EXPECT_EQ(result.winner().median_seconds(), least);
    EXPECT_EQ(result.first().shape().bm(), caps->tile_whitelist(0).bm());
    EXPECT_FALSE(result.kept());
  }
}

TEST_F(TuneTest, ItIsKeptInTheStateDirectory) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({state()}));
  v1::TuneRequest request = RequestFor(64, 96, 128);
  ASSERT_TRUE(Tune(request).ok());
  EXPECT_THAT(ReadAll(table()), HasSubstr("64x96x128:f32 sha256:"));
  EXPECT_EQ(StopDaemon(), 0);
  ASSERT_NO_FATAL_FAILURE(StartDaemon({state()}));
  request.set_only_missing(true);
  const auto kept = Tune(request);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_TRUE((*kept)[0].kept());
  EXPECT_EQ(StopDaemon(), 0);

  WriteAll(table(), "{\"format\": 1, \"devices\": \"hostile\"}");
  ASSERT_NO_FATAL_FAILURE(StartDaemon({state()}));
  EXPECT_THAT(ReadAll(table() + ".damaged"), HasSubstr("hostile"));
  EXPECT_EQ(ReadAll(table()), "");
  const auto again = Tune(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE((*again)[0].kept());
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("the tuning table is damaged"));
}

TEST_F(TuneTest, AtStartOnlyWhatIsMissing) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({state(), AtStart()}));
  EXPECT_TRUE(IsServing());
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("\"shape\":\"64x96x128:f32\""));
  EXPECT_THAT(log(), HasSubstr("\"shape\":\"32x32x64:bf16:transposed\""));
  EXPECT_THAT(log(), Not(HasSubstr("\"kept\":true")));
  EXPECT_LT(log().find("\"message\":\"tuned\""), log().find("\"message\":\"serving\""));
  ASSERT_NO_FATAL_FAILURE(StartDaemon({state(), AtStart(absl::StrCat(kShapes, "16x16x16:f16\n"))}));
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("\"kept\":true"));
  EXPECT_THAT(log(), HasSubstr("\"kept\":false"));
}

TEST_F(TuneTest, AtStartWhatIsWrongWithTheFileIsSaid) {
  const std::string listen = "--listen=unix:" + directory_ / "s";
  const Ended none = RunDaemon({listen, "--device=cpu", "--tune-at-start=" + directory_ / "none"});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(none.err, HasSubstr("can't be read"));
  const Ended bad = RunDaemon({listen, "--device=cpu", AtStart("64x96\n")});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.err, HasSubstr("line 1: shape \\\"64x96\\\": needs three dimensions"));
  const Ended ragged = RunDaemon({listen, "--device=cpu", AtStart("64x96x7\n")});
  EXPECT_EQ(ragged.status, 1);
  EXPECT_THAT(ragged.err, HasSubstr("problems[0].k=7: must be a multiple of 8 for f32"));
}

TEST_F(TuneTest, WhatIsWrongIsSaidAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  EXPECT_TRUE(Is(Tune({}).status(), absl::StatusCode::kInvalidArgument, "PROBLEM_COUNT"));
  EXPECT_TRUE(Is(Tune(RequestFor(1, 1, 7)).status(), absl::StatusCode::kInvalidArgument, "K_GRANULARITY"));
  EXPECT_TRUE(
      Is(Tune(RequestFor(1 << 20, 1 << 20, 1 << 20)).status(), absl::StatusCode::kResourceExhausted, "WAVE_TOO_LARGE"));
  v1::TuneRequest elsewhere = RequestFor(1, 1, 16);
  elsewhere.set_device("cuda:3");
  EXPECT_TRUE(Is(Tune(elsewhere).status(), absl::StatusCode::kNotFound, "DEVICE_NOT_FOUND"));
}

TEST_F(TuneTest, OneAtATimeAndWavesGoOn) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  v1::TuneRequest request = RequestFor(1024, 1024, 1024, BF16);
  for (int i = 0; i < 63; ++i) *request.add_problems() = request.problems(0);
  const auto watch = client().Tune(request);
  // It has begun.
  const auto event = watch->Next();
  ASSERT_TRUE(event.ok()) << event.status();
  ASSERT_TRUE(event->has_value());
  EXPECT_TRUE(Is(Tune(RequestFor(16, 16, 16)).status(), absl::StatusCode::kFailedPrecondition, "TUNING_IN_PROGRESS"));
  const v1::SubmitWaveRequest wave = MakeWave(128, 128, 64);
  const auto result = client().SubmitWave(wave);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(IsRight(wave, *result));
  watch->Cancel();
  EXPECT_TRUE(WaitUntil([&] { return Tune(RequestFor(16, 16, 16)).ok(); })) << "it is over soon";
}

TEST_F(TuneTest, ADrainEndsIt) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--grace-period=1s"}));
  v1::TuneRequest request = RequestFor(2048, 2048, 2048, F32);
  for (int i = 0; i < 63; ++i) *request.add_problems() = request.problems(0);
  const auto watch = client().Tune(request);
  ASSERT_TRUE(watch->Next().ok());
  EXPECT_EQ(StopDaemon(), 0);
}

TEST_F(TuneTest, AFakeGpuTunesItsAlgorithmsAndComesBackTuned) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=cuda", kFakePlugin, state()}));
  const auto results = Tune(RequestFor(20, 24, 16, BF16));
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(1));
  const v1::TimedTile& winner = (*results)[0].winner();
  EXPECT_THAT(winner.algorithm(), StartsWith("cublaslt-66-"));
  EXPECT_THAT(winner.kernel(), StartsWith("cublaslt-66-"));
  EXPECT_GT(winner.first_choice_seconds(), 0);
  EXPECT_EQ((*results)[0].rejected_size(), 0);
  EXPECT_THAT(ReadAll(table()), HasSubstr("\"1 2 0 0 0 0 20 24 16 "));
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), Not(HasSubstr("dropped a tuned algorithm")));

  // What this cuBLASLt does not know is dropped, and said.
  std::string text = ReadAll(table());
  const size_t at = text.find("\"1 2 0 0 0 0 20 24 16 ");
  ASSERT_NE(at, std::string::npos);
  const size_t id = text.find(" 66 ", at);
  ASSERT_NE(id, std::string::npos);
  text.replace(id, 4, " 99 ");
  WriteAll(table(), text);
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=cuda", kFakePlugin, state()}));
  const v1::SubmitWaveRequest wave = MakeWave(20, 24, 16, BF16);
  const auto result = client().SubmitWave(wave);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(IsRight(wave, *result));
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("cuda:0 dropped a tuned algorithm"));
}

TEST_F(TuneTest, AGpuTakesF8Too) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=cuda", kFakePlugin}));
  const auto tuned = Tune(RequestFor(16, 16, 32, F8_E4M3));
  EXPECT_TRUE(tuned.ok()) << tuned.status();
  const v1::SubmitWaveRequest wave = MakeWave(16, 16, 32, F8_E4M3);
  const auto result = client().SubmitWave(wave);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->effective().device(), "cuda:0");
  EXPECT_TRUE(IsRight(wave, *result));
}

TEST_F(TuneTest, ALossInTheMiddleIsSaid) {
  const std::string loss = directory_ / "loss";
  setenv("BWRT_FAKE_CUDA_LOSS", loss.c_str(), 1);
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=cuda", kFakePlugin}));
  WriteAll(loss, "");
  const absl::Status status = Tune(RequestFor(20, 24, 16, BF16)).status();
  EXPECT_TRUE(Is(status, absl::StatusCode::kUnavailable, "DEVICE_LOST"));
  EXPECT_EQ(StopDaemon(), 0) << "it does not serve any more";
  unsetenv("BWRT_FAKE_CUDA_LOSS");
}

}  // namespace
}  // namespace bwrt::e2e
