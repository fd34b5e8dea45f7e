#include "server/decision_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bwrt::server {
namespace {

using Json = nlohmann::json;

class DecisionLogTest : public ::testing::Test {
 protected:
  DecisionLogTest() {
    std::remove(path_.c_str());
    wave_.wave_id = "w17";
    wave_.grid = {64, 256, 128, 128};
    wave_.k = 512;
    wave_.dtype = kernels::DType::kBF16;
    placement_.device = "cuda:0";
    placement_.reason = runtime::Placement::Reason::kFaster;
    placement_.text = "because";
    placement_.predictions = {{"cpu", std::chrono::milliseconds(2), true}, {"cuda:0", std::nullopt, false}};
    placement_.threshold = std::chrono::microseconds(1800);
    timings_.compute = std::chrono::microseconds(100);
    timings_.copy = std::chrono::microseconds(300);
  }

  runtime::WaveEnd End(runtime::WaveOutcome outcome) const {
    return {.model = "llm",
            .device = placement_.device,
            .outcome = outcome,
            .timings = outcome == runtime::WaveOutcome::kOk ? &timings_ : nullptr,
            .readings = nullptr,
            .wave = &wave_,
            .placement = &placement_};
  }

  // What the file holds once the log is closed.
  std::vector<Json> Lines(std::unique_ptr<DecisionLog> log) const {
    log.reset();
    std::vector<Json> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
      lines.push_back(Json::parse(line, nullptr, /*allow_exceptions=*/false));
      EXPECT_TRUE(lines.back().is_object()) << line;
    }
    return lines;
  }

  std::unique_ptr<DecisionLog> Open() const {
    auto log = DecisionLog::Open(path_);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  const std::string path_ = testing::TempDir() + "decisions";
  runtime::Wave wave_;
  runtime::Placement placement_;
  runtime::Timings timings_;
};

TEST_F(DecisionLogTest, ALineForEachWave) {
  auto log = Open();
  log->Write(End(runtime::WaveOutcome::kOk));
  log->Write(End(runtime::WaveOutcome::kFailed));
  const auto lines = Lines(std::move(log));
  ASSERT_EQ(lines.size(), 2u);
  Json expected = {
      {"model", "llm"},
      {"wave_id", "w17"},
      {"m", 64},
      {"n", 256},
      {"k", 512},
      {"dtype", "bf16"},
      {"device", "cuda:0"},
      {"reason", "faster"},
      {"text", "because"},
      {"threshold_seconds", 0.0018},
      {"predicted",
       {{{"device", "cpu"}, {"seconds", 0.002}, {"resident", true}}, {{"device", "cuda:0"}, {"resident", false}}}},
      {"outcome", "ok"},
      {"compute_seconds", 0.0001},
      {"copy_seconds", 0.0003}};
  expected["time"] = lines[0]["time"];
  EXPECT_EQ(lines[0], expected);
  EXPECT_EQ(lines[0]["time"].get<std::string>().size(), std::string("2025-03-01T12:00:00.123456Z").size());
  EXPECT_EQ(lines[1]["outcome"], "failed");
  EXPECT_FALSE(lines[1].contains("compute_seconds"));
}

TEST_F(DecisionLogTest, WithoutAChoiceNothingIsWritten) {
  auto log = Open();
  runtime::WaveEnd end = End(runtime::WaveOutcome::kOk);
  end.placement = nullptr;
  log->Write(end);
  EXPECT_TRUE(Lines(std::move(log)).empty());
}

TEST_F(DecisionLogTest, AppendsToWhatIsThere) {
  auto log = Open();
  log->Write(End(runtime::WaveOutcome::kOk));
  log = nullptr;
  log = Open();
  log->Write(End(runtime::WaveOutcome::kOk));
  EXPECT_EQ(Lines(std::move(log)).size(), 2u);
}

TEST_F(DecisionLogTest, WhatAClientSendsStaysInItsLine) {
  wave_.wave_id = "a\nb\"}\xff";
  auto log = Open();
  log->Write(End(runtime::WaveOutcome::kOk));
  const auto lines = Lines(std::move(log));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["wave_id"], "a\nb\"}\xef\xbf\xbd");
}

// Lines that come faster than they are written are left out, and the next one says how many.
TEST_F(DecisionLogTest, EveryWaveIsWrittenOrCounted) {
  auto log = Open();
  constexpr int kWaves = 30'000;
  for (int i = 0; i < kWaves; ++i) log->Write(End(runtime::WaveOutcome::kOk));
  log->Flush();
  log->Write(End(runtime::WaveOutcome::kOk));
  const auto lines = Lines(std::move(log));
  int64_t left_out = 0;
  for (const Json& line : lines) left_out += line.value("left_out", int64_t{0});
  EXPECT_EQ(static_cast<int64_t>(lines.size()) + left_out, kWaves + 1);
  EXPECT_GE(lines.size(), 10'000u);
}

// Regression: after one failed write nothing was written any more, and nobody was told.
TEST_F(DecisionLogTest, GoesOnAfterAFullDisk) {
  std::signal(SIGXFSZ, SIG_IGN);
  auto log = Open();
  log->Write(End(runtime::WaveOutcome::kOk));
  log->Flush();
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit tight = {std::filesystem::file_size(path_) + 10, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  log->Write(End(runtime::WaveOutcome::kOk));
  log->Write(End(runtime::WaveOutcome::kOk));
  log->Flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  log->Write(End(runtime::WaveOutcome::kFailed));
  log = nullptr;
  std::ifstream file(path_);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].size(), 10u);  // What there was room for.
  const Json last = Json::parse(lines[2], nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(last.value("outcome", ""), "failed");
  EXPECT_EQ(last.value("left_out", 0), 2);
}

TEST_F(DecisionLogTest, AFolderThatIsNotThere) {
  const auto log = DecisionLog::Open(testing::TempDir() + "no/such/file");
  EXPECT_TRUE(absl::IsNotFound(log.status()));
}

}  // namespace
}  // namespace bwrt::server
