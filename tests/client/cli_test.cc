#include "client/cli.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/file.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

using Json = nlohmann::json;

struct Outcome {
  int status;
  std::string out;
  std::string err;

  // The one JSON object of the output.
  Json json() const {
    Json parsed = Json::parse(out, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(parsed.is_object()) << out;
    return parsed;
  }
};

Outcome Bwrtctl(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"bwrtctl"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  const int status = RunCli(static_cast<int>(argv.size()), argv.data(), out, err, /*terminal=*/false);
  return {status, out.str(), err.str()};
}

std::string TempFile(const std::string& name, absl::string_view content) {
  std::string path = testing::TempDir() + name;
  EXPECT_TRUE(WriteFile(path, content).ok());
  return path;
}

constexpr char kPlan[] = R"([{"bm": 16, "bn": 16, "bk": 16, "tile_order": [[0, 1]]}])";

class CliTest : public testing::Test {
 protected:
  // With the server named.
  Outcome Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--server=" + daemon_.address());
    return Bwrtctl(arguments);
  }

  FakeDaemon daemon_;
};

TEST(CliUsage, HelpIsNoError) {
  const Outcome outcome = Bwrtctl({"--help"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(absl::StrContains(outcome.out, "replay"));
  EXPECT_EQ(Bwrtctl({"submit", "--help"}).status, 0);
  EXPECT_EQ(Bwrtctl({"weights", "set", "--help"}).status, 0);
}

TEST(CliUsage, MistakesAreTwo) {
  const std::vector<std::vector<std::string>> mistakes = {
      {},
      {"nonsense"},
      {"status", "extra"},
      {"--nonsense", "status"},
      {"status", "caps"},
      {"weights"},
      {"weights", "nonsense"},
      {"weights", "set", "m"},
      {"weights", "set", "--tensor", "w:f32:2=random:1"},
      {"weights", "set", "m", "--tensor", "nonsense"},
      {"weights", "set", "m", "--tensor", "w:f32:2=no/such/file"},
      {"weights", "set", "m", "--tensor", "w:f32:2=random:1", "--policy", "never"},
      {"weights", "set", "m", "--tensor", "w:f32:2=random:1", "--wait-timeout", "soon"},
      {"weights", "set", "m", "--tensor", "w:f32:2=random:1", "--wait-timeout", "-1s"},
      {"replay"},
      {"replay", "no/such/file"},
      {"replay", "tests/data/bcache_waves.json", "--dtype", "f64"},
      {"replay", "tests/data/bcache_waves.json", "--k", "many"},
      {"replay", "tests/data/bcache_waves.json", "--in-flight", "0"},
      {"replay", "tests/data/bcache_waves.json", "--verify", "--tensor", "w"},
      {"validate"},
      {"validate", "no/such/file"},
      {"submit", "--m", "99999999999999999999"},
      {"submit", "--bm", "2147483648"},
      {"submit", "--cluster", "2"},
      {"submit", "--tiles", "0;0"},
      {"submit", "--coverage", "SOME"},
      {"submit", "--verify", "--tensor", "w"},
      {"submit", "--file", "no/such/file"},
      {"submit", "--file", "no/such/file", "--m", "2"},
      {"submit", "--m", "1000000000", "--k", "1000000000"},
      {"sample", "--count", "3"},
      {"bench", "--tile", "128"},
      {"bench", "--in-flight", "0"},
      {"bench", "--in-flight", "1,x"},
      {"bench", "--rounds", "0"},
      {"bench", "--waves", "5", "--seconds", "1"},
      {"bench", "--preset", "huge"},
      {"bench", "--spec", "no/such/file"},
      {"--server=nonsense", "status"},
  };
  for (const auto& arguments : mistakes) {
    const Outcome outcome = Bwrtctl(arguments);
    EXPECT_EQ(outcome.status, 2) << testing::PrintToString(arguments) << outcome.err;
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(CliUsage, MistakesAreJsonToo) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--json", "nonsense"}, {"replay", "x", "--json"}}) {
    const Outcome outcome = Bwrtctl(arguments);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_TRUE(outcome.json()["error"]["message"].is_string());
  }
}

TEST(CliUsage, APlansMistakesAreShownLineByLine) {
  const std::string file =
      TempFile("huge.json", R"([{"bm": 1, "pack_order": [2147483648], "io_extents": [["0", 0, 1e9]]}])");
  Outcome outcome = Bwrtctl({"replay", file});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  waves[0].pack_order[0]=2147483648: ")) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  waves[0].io_extents[0].end_pid=")) << outcome.err;
  outcome = Bwrtctl({"validate", file, "--json"});
  EXPECT_EQ(outcome.status, 2);
  const Json json = outcome.json();
  const Json& error = json["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  ASSERT_EQ(error["violations"].size(), 2u);
  EXPECT_EQ(error["violations"][0]["field"], "waves[0].pack_order[0]");
  EXPECT_EQ(error["violations"][0]["reason"], "OUT_OF_RANGE");
}

TEST(CliUsage, NobodyThereIsThree) {
  const std::string server = "--server=unix:none.sock";
  const std::string plan = TempFile("plan.json", kPlan);
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"status"},
                                             {"caps"},
                                             {"submit"},
                                             {"replay", plan},
                                             {"validate", plan},
                                             {"weights", "list"},
                                             {"weights", "set", "m", "--tensor", "w:f32:2=random:1"},
                                             {"watch"},
                                             {"sample"},
                                             {"sample", "--watch"},
                                             {"bench"}}) {
    std::vector<std::string> arguments = {server, "--json"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const Outcome outcome = Bwrtctl(arguments);
    EXPECT_EQ(outcome.status, 3) << testing::PrintToString(command);
    EXPECT_EQ(outcome.json()["error"]["code"], "UNAVAILABLE");
    EXPECT_FALSE(outcome.err.empty());
  }
}

TEST_F(CliTest, ServerAndJsonMayFollowTheCommand) {
  const Outcome outcome = Bwrtctl({"weights", "list", "--json", "--server", daemon_.address()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["models"][0]["name"], "default");
}

TEST_F(CliTest, Status) {
  Outcome outcome = Ask({"status"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.out, "SERVING"));
  EXPECT_TRUE(absl::StrContains(outcome.out, "its L3 of 32 MiB, shared by as many tiles as run at once: 2\n"));
  EXPECT_TRUE(absl::StrContains(outcome.out, "cpu: hardware counters: none: no such event\n"));
  outcome = Ask({"--json", "status"});
  const Json json = outcome.json();
  EXPECT_EQ(json["health"], "SERVING");
  EXPECT_EQ(json["build"]["version"], "1.2.3");
  EXPECT_EQ(json["models"][0]["name"], "default");
  EXPECT_EQ(json["sample"]["device"], "cpu");
}

TEST_F(CliTest, ModelsNameTheWavesThatCloseThem) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"status"}, {"weights", "list"}}) {
    const Outcome outcome = Ask(command);
    EXPECT_TRUE(absl::StrContains(outcome.out, "  closed by wave 17 (step-3) window [4,8) clock [2,3]\n"))
        << outcome.out;
    EXPECT_TRUE(absl::StrContains(outcome.out, "  and by wave 18 window [4,8) clock [2,3]\n")) << outcome.out;
  }
}

TEST_F(CliTest, AModelThatHasLostItsVersionsSaysSo) {
  const Outcome outcome = Ask({"weights", "list", kLost});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.out, "lost: up to 7 damaged")) << outcome.out;
  EXPECT_TRUE(absl::StrContains(outcome.out, "\nlost: a restart found its versions, up to 7, damaged")) << outcome.out;
  EXPECT_TRUE(absl::StrContains(outcome.out, "publish it anew, as version 8\n")) << outcome.out;
  EXPECT_EQ(Ask({"weights", "list", kLost, "--json"}).json()["summary"]["lost"], true);
  EXPECT_FALSE(absl::StrContains(Ask({"weights", "list", "m"}).out, "lost"));
}

TEST_F(CliTest, Caps) {
  EXPECT_TRUE(absl::StrContains(Ask({"caps"}).out, "sha256:00"));
  EXPECT_EQ(Ask({"caps", "--json"}).json()["whitelist_digest"], "sha256:00");
}

TEST_F(CliTest, Submit) {
  const std::vector<std::string> shape = {"submit", "--m", "20",   "--n", "30",   "--k", "16",
                                          "--bm",   "16",  "--bn", "16",  "--bk", "16",  "--verify"};
  Outcome outcome = Ask(shape);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.out, "verified: 4 tiles")) << outcome.out;
  EXPECT_TRUE(absl::StrContains(outcome.out, "swap window [0, 4)")) << outcome.out;
  std::vector<std::string> arguments = shape;
  const std::string out = testing::TempDir() + "c.bin";
  arguments.insert(arguments.end(), {"--json", "--beta", "-1", "--bias", "--activation", "relu", "--transposed",
                                     "--dtype", "bf16", "--out", out});
  outcome = Ask(arguments);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json json = outcome.json();
  EXPECT_EQ(json["c"]["rows"], 20);
  EXPECT_EQ(json["c"]["bytes"], 20 * 30 * 4);
  EXPECT_EQ(json["c"]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(json["c"]["first"].size(), 4u);
  EXPECT_EQ(json["verify"]["verified"], true);
  EXPECT_EQ(json["version"], "1");
  EXPECT_EQ(ReadFile(out)->size(), 20u * 30 * 4);
}

TEST_F(CliTest, SubmitPartOfATensorsWave) {
  const Outcome outcome = Ask({"submit", "--m",  "32",         "--n",      "32",       "--k",           "16", "--bm",
                               "16",     "--bn", "16",         "--tensor", "w",        "--tensor-seed", "5",  "--tiles",
                               "0,1",    "1,1",  "--coverage", "partial",  "--verify", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["tokens"]["tile_tokens"], "2");
  EXPECT_EQ(outcome.json()["tokens"]["swap_end"], "2");
}

TEST_F(CliTest, SubmitAFileWithoutOperands) {
  const std::string file = TempFile("wave.json", R"({"m": "16", "n": 16, "k": 16,
      "spec": {"bm": 16, "bn": 16, "bk": 16, "swap_end": 1, "dtype": "BF16"}})");
  const Outcome outcome = Ask({"submit", "--file", file, "--verify", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["effective"]["dtype"], "BF16");
}

TEST_F(CliTest, SubmitRefusesFilesThatAreNoWave) {
  EXPECT_EQ(Ask({"submit", "--file", TempFile("plan.json", kPlan)}).status, 2);
  EXPECT_EQ(Ask({"submit", "--file", TempFile("x.json", R"({"nonsense": 1})")}).status, 2);
  EXPECT_EQ(Ask({"submit", "--file", TempFile("y.json", R"({"m": "x"})")}).status, 2);
  EXPECT_EQ(Ask({"submit", "--file", TempFile("z.json", "{")}).status, 2);
}

TEST_F(CliTest, ARefusalIsOneWithEveryViolation) {
  Outcome outcome = Ask({"submit", "--model", kRefuses});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(absl::StrContains(outcome.err, "INVALID_ARGUMENT INVALID_WAVE")) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  spec.bk=1: must be 2\n  m=1: must be 2\n")) << outcome.err;
  outcome = Ask({"submit", "--model", kRefuses, "--json"});
  EXPECT_EQ(outcome.status, 1);
  const Json json = outcome.json();
  EXPECT_EQ(json["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(json["error"]["reason"], "INVALID_WAVE");
  ASSERT_EQ(json["error"]["violations"].size(), 2u);
  EXPECT_EQ(json["error"]["violations"][1]["field"], "m");
}

TEST_F(CliTest, ADrainingDaemonIsOne) {
  const Outcome outcome = Ask({"submit", "--model", kDrains, "--json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json()["error"]["reason"], "DRAINING");
}

TEST_F(CliTest, AWrongResultIsOne) {
  EXPECT_EQ(Ask({"submit", "--model", kWrong, "--k", "16", "--verify"}).status, 1);
  EXPECT_EQ(Ask({"submit", "--model", kWrong, "--k", "16"}).status, 0);
}

TEST_F(CliTest, ADeadlineIsOne) {
  const Outcome outcome = Ask({"submit", "--model", kHangs, "--timeout", "50ms", "--json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json()["error"]["code"], "DEADLINE_EXCEEDED");
}

TEST_F(CliTest, ReplayPrintsExactlyItsKeys) {
  const Outcome outcome = Ask(
      {"--json", "replay", "tests/data/bcache_waves.json", "--k", "32", "--dtype", "bf16", "--seed", "3", "--verify"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const Json json = outcome.json();
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) {
    keys.insert(key);
    EXPECT_TRUE(value.is_number()) << key;
  }
  EXPECT_EQ(keys, (std::set<std::string>{"waves", "verified", "failed", "tiles", "max_rel_error", "seconds"}));
  EXPECT_EQ(json["waves"], 18);
  EXPECT_EQ(json["verified"], 18);
  EXPECT_EQ(json["failed"], 0);
}

TEST_F(CliTest, ReplayThatFailsIsOne) {
  const std::string plan = TempFile("plan.json", kPlan);
  const Outcome outcome = Ask({"--json", "replay", plan, "--k", "16", "--model", kWrong, "--verify"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json()["failed"], 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, "waves[0]: DATA_LOSS")) << outcome.err;
}

TEST_F(CliTest, ValidateAPlanAndARequest) {
  const std::string plan = TempFile("plan.json", kPlan);
  Outcome outcome = Ask({"validate", plan, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["valid"], 1);
  outcome = Ask({"validate", plan, "--json", "--model", kRefuses});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json()["invalid"], 1);
  EXPECT_EQ(outcome.json()["results"][0]["error"]["violations"].size(), 2u);
  const std::string request = TempFile("wave.json", R"({"m": 1, "spec": {"swap_begin": 3}})");
  outcome = Ask({"validate", request, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["tokens"]["swap_begin"], "3");
  EXPECT_EQ(Ask({"validate", request, "--model", kRefuses}).status, 1);
}

TEST_F(CliTest, Weights) {
  EXPECT_TRUE(absl::StrContains(Ask({"weights", "list"}).out, "default"));
  EXPECT_EQ(Ask({"weights", "list", "m", "--json"}).json()["summary"]["name"], "m");
  const Outcome outcome =
      Ask({"weights", "set", "m", "--tensor", "w:f32:2x2=random:1", "--tensor", "v:bf16:3=random:2", "--label", "l",
           "--policy", "wait", "--wait-timeout", "30s", "--hold-after", "1s", "--base-version", "6", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["version"], "7");
  EXPECT_EQ(Ask({"weights", "set", kRefuses, "--tensor", "w:f32:2=random:1"}).status, 1);
}

TEST_F(CliTest, WatchPrintsOneObjectALine) {
  Outcome outcome = Ask({"watch", "m", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
  outcome = Ask({"watch", kHangs, "--count", "1", "--json"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.json()["kind"], "SNAPSHOT");
  EXPECT_EQ(Ask({"watch", kDrains}).status, 1);
}

TEST_F(CliTest, Sample) {
  EXPECT_TRUE(absl::StrContains(Ask({"sample"}).out, "advice: wgmma_active: use larger tiles"));
  EXPECT_EQ(Ask({"sample", "--json"}).json()["readings"]["wgmma_active"]["source"], "KERNEL");
  const std::string text = Ask({"sample"}).out;
  EXPECT_TRUE(std::regex_search(text, std::regex("l2_hit +25\\.0 % +model"))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("l2_hit +75\\.0 % +hardware"))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("wgmma_active +50\\.0 % +kernel"))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("wgmma_active +62\\.5 % +hardware"))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("dram_throughput +12\\.5 % +hardware"))) << text;
  EXPECT_FALSE(absl::StrContains(text, "sm_active")) << "what is absent is not printed";
  EXPECT_FALSE(absl::StrContains(text, "llc_hit")) << "what is absent is not printed";
  const Outcome outcome = Ask({"sample", "--watch", "--interval", "100ms", "--count", "2", "--json"});
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
}

}  // namespace
}  // namespace bwrt::client
