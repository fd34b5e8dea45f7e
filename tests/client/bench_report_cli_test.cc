// bwrtctl bench report, as a user calls it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/bench_artifact.h"
#include "client/cli.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

using Json = nlohmann::json;

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

Outcome Report(std::vector<std::string> arguments) {
  std::vector<const char*> argv = {"bwrtctl", "bench", "report"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  const int status = RunCli(static_cast<int>(argv.size()), argv.data(), out, err, /*terminal=*/false);
  return {status, out.str(), err.str()};
}

// In a directory of the test's own.
class BenchReportTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }

  std::string Path(absl::string_view name) const { return absl::StrCat(directory_, "/", name); }

  // Of one case, at two numbers of waves in flight.
  std::string Artifact(absl::string_view name, double rate, int64_t n = 128) {
    BenchArtifact artifact;
    artifact.machine.cores = 2;
    for (const int64_t in_flight : {1, 64}) {
      artifact.cases.push_back({.name = "small",
                                .spec = {.m = 128, .n = n, .k = 128, .bm = 128, .bn = 128, .bk = 64, .dtype = F32},
                                .in_flight = in_flight,
                                .waves = 100,
                                .seconds = 1,
                                .waves_per_second = rate * static_cast<double>(in_flight),
                                .p50_us = 1500});
    }
    EXPECT_TRUE(WriteFile(Path(name), EncodeBenchArtifact(artifact)).ok());
    return Path(name);
  }

  bool IsPng(absl::string_view name) const {
    return absl::StartsWith(ReadFile(Path(name)).value_or(""), "\x89PNG\r\n\x1a\n");
  }

  std::string directory_;
};

TEST_F(BenchReportTest, PrintsSpeedUpsAndDraws) {
  const Outcome outcome = Report({Artifact("a.json", 100), Artifact("b.json", 150), "--out", Path("new/pictures")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.out, "small  1          100.0      1.50 ms  -      150.0      1.50x"))
      << outcome.out;
  EXPECT_TRUE(absl::StrContains(outcome.out, "\nB / A: 1.50x (geometric mean")) << outcome.out;
  EXPECT_TRUE(IsPng("new/pictures/scaling.png"));
  EXPECT_TRUE(IsPng("new/pictures/speedup.png"));
}

TEST_F(BenchReportTest, OfOneArtifactThereIsNoSpeedUp) {
  const Outcome outcome = Report({Artifact("a.json", 100), "--out", directory_, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["artifacts"], Json({"a"}));
  EXPECT_EQ(json["cases"].size(), 2u);
  EXPECT_EQ(json["plots"], Json({{"scaling", Path("scaling.png")}}));
  EXPECT_TRUE(IsPng("scaling.png"));
  EXPECT_FALSE(std::filesystem::exists(Path("speedup.png")));
}

TEST_F(BenchReportTest, JsonHasEveryRate) {
  // Two files of one name are told apart by their paths.
  std::filesystem::create_directory(Path("x"));
  const std::vector<std::string> paths = {Artifact("a.json", 100), Artifact("x/a.json", 25)};
  const Outcome outcome = Report({paths[0], paths[1], "--no-plots", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["artifacts"], Json(paths));
  EXPECT_EQ(json["cases"][1]["in_flight"], 64);
  EXPECT_EQ(json["cases"][1]["waves_per_second"], Json({6400.0, 1600.0}));
  EXPECT_EQ(json["cases"][1]["speedup"], Json({1.0, 0.25}));
  EXPECT_EQ(json["geomean_speedup"], Json({1.0, 0.25}));
  EXPECT_TRUE(json["plots"].empty());
}

// The numbers are there before the pictures, and without them.
TEST_F(BenchReportTest, WithoutGnuplotTheTableStillComes) {
  const std::string a = Artifact("a.json", 100), b = Artifact("b.json", 150);
  const std::string path = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  setenv("PATH", directory_.c_str(), 1);
  const Outcome text = Report({a, b, "--out", directory_});
  const Outcome json = Report({a, b, "--out", directory_, "--json"});
  const Outcome none = Report({a, b, "--out", directory_, "--no-plots"});
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(text.status, 1);
  EXPECT_TRUE(absl::StrContains(text.out, "B / A: 1.50x")) << text.out;
  EXPECT_TRUE(absl::StrContains(text.err, "gnuplot-nox")) << text.err;
  EXPECT_EQ(json.status, 1);
  EXPECT_EQ(Json::parse(json.out)["cases"].size(), 2u);
  EXPECT_EQ(Json::parse(json.out)["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(none.status, 0);
}

TEST_F(BenchReportTest, MistakesAreTwo) {
  const std::string a = Artifact("a.json", 100);
  EXPECT_EQ(Report({}).status, 2);
  EXPECT_EQ(Report({a, Path("none.json")}).status, 2);
  ASSERT_TRUE(WriteFile(Path("old.json"), R"({"format": "bwrt-bench", "version": 0})").ok());
  const Outcome old = Report({a, Path("old.json")});
  EXPECT_EQ(old.status, 2);
  EXPECT_TRUE(absl::StrContains(old.err, "old.json: version=0: this bwrtctl reads version 1")) << old.err;
  const Outcome other = Report({a, Artifact("b.json", 100, 256)});
  EXPECT_EQ(other.status, 2);
  EXPECT_TRUE(absl::StrContains(other.err, "n=256")) << other.err;
  EXPECT_EQ(Report({a, "--out", a}).status, 2);
}

}  // namespace
}  // namespace bwrt::client
