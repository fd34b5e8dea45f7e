#include "tests/client/weights_cli.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

TEST(WeightsCliUsage, HelpNamesEveryCommand) {
  const Outcome help = Bwrtctl({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* command : {"list", "set", "push", "load", "read", "rollback", "delete", "begin", "stage",
                              "precommit", "commit", "abort", "updates", "show"}) {
    EXPECT_TRUE(absl::StrContains(help.out, absl::StrCat("\n  ", command, " "))) << command;
    const Outcome own = Bwrtctl({command, "--help"});
    EXPECT_EQ(own.status, 0) << command;
    EXPECT_TRUE(absl::StrContains(own.out, "Usage: bwrtctl weights ")) << own.out;
  }
  EXPECT_TRUE(absl::StrContains(help.out, "Exit status: 0 done"));
}

TEST(WeightsCliUsage, MistakesAreTwo) {
  const std::string file = TempFile("eight.bin", "12345678");
  const std::vector<std::vector<std::string>> mistakes = {
      {"begin"},
      {"begin", "m", "--tensor", "nonsense"},
      {"begin", "m", "--tensor", "w:f32:3=" + file},
      {"begin", "m", "--ttl", "soon"},
      {"begin", "m", "--base", "-1"},
      {"stage"},
      {"stage", "u"},
      {"stage", "u", "--tensor", "w:f32:2"},
      {"stage", "u", "--tensor", "w:f32:2=no/such/file"},
      {"stage", "u", "--tensor", "w:i8:2=random:1"},
      {"stage", "u", "--tensor", "w:f32:2=random:1", "--tensor", "w:f32:3=random:1"},
      {"stage", "u", "--npy", "w"},
      {"stage", "u", "--npy", "=" + file},
      {"stage", "u", "--npy", "w=no/such/file"},
      {"stage", "u", "--npy", "w=" + file, "--digest", "md5"},
      {"precommit"},
      {"precommit", "u", "v"},
      {"commit"},
      {"commit", "u", "--policy", "never"},
      {"commit", "u", "--wait-timeout", "-1s"},
      {"abort"},
      {"updates", "u"},
      {"show"},
      {"show", "u", "--max-missing", "many"},
      {"rollback", "m"},
      {"rollback", "m", "--to", "1", "--label", "l"},
      {"rollback", "--to", "1"},
      {"read", "m"},
      {"read", "m", "w", "--bytes", "0"},
      {"read", "m", "w", "--offset", "-1"},
      {"delete"},
      {"load", "m"},
      {"load", "m", "p", "--update", "u", "--label", "l"},
      {"load", "m", "p", "--update", "u", "--policy", "wait"},
      {"load", "m", "p", "--update", "u", "--no-commit"},
      {"load", "m", "p", "--no-commit", "--hold-after", "1s"},
      {"push", "m"},
      {"push", "m", "--tensor", "w:f32:2"},
      {"push", "--tensor", "w:f32:2=random:1"},
  };
  for (const auto& arguments : mistakes) {
    const Outcome outcome = Bwrtctl(arguments);
    EXPECT_EQ(outcome.status, 2) << testing::PrintToString(arguments) << outcome.err;
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(Bwrtctl({"commit", "--json"}).json()["error"]["code"], "INVALID_ARGUMENT");
}

TEST(WeightsCliUsage, NobodyThereIsThree) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"begin", "m"},
                                             {"stage", "u", "--tensor", "w:f32:2=random:1"},
                                             {"push", "m", "--tensor", "w:f32:2=random:1"},
                                             {"load", "m", "p"},
                                             {"precommit", "u"},
                                             {"commit", "u"},
                                             {"abort", "u"},
                                             {"updates"},
                                             {"show", "u"},
                                             {"rollback", "m", "--to", "1"},
                                             {"read", "m", "w"},
                                             {"delete", "m"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--server=unix:none.sock");
    EXPECT_EQ(Bwrtctl(arguments).status, 3) << testing::PrintToString(command);
  }
}

TEST_F(WeightsCliTest, StepByStep) {
  const Outcome begun = Do({"begin", "m", "--label", "l", "--base", "0", "--ttl", "1m30s", "--prepared-ttl", "1h",
                            "--tensor", "w:f32:2x3", "--open"});
  EXPECT_EQ(begun.out, "u1\n");

  Outcome shown = Do({"show", "u1"});
  EXPECT_TRUE(absl::StrContains(shown.out, "in 1m30s")) << shown.out;
  EXPECT_TRUE(absl::StrContains(shown.out, "[0, 24)")) << shown.out;

  const std::string file = TempFile("step.bin", "12345678");
  const Outcome staged = Do({"stage", "u1", "--tensor", "w:f32:2x3=random:5", "--tensor", "v:f32:2=" + file});
  EXPECT_TRUE(absl::StartsWith(staged.out, "u1: staged 32 B in ")) << staged.out;
  EXPECT_TRUE(absl::StrContains(staged.out, "has 32 B of 32 B")) << staged.out;

  EXPECT_TRUE(absl::StartsWith(Do({"precommit", "u1"}).out, "u1: prepared: verified in 250.00 ms"));
  EXPECT_TRUE(absl::StrContains(Do({"commit", "u1"}).out, "m: version 0 -> 1\ncommitted after "));
  EXPECT_TRUE(absl::StrContains(Do({"commit", "u1"}).out, "committed before, after "));
  EXPECT_EQ(Do({"read", "m", "w"}).out, random5_);
  EXPECT_EQ(Do({"read", "m", "v"}).out, "12345678");
}

TEST_F(WeightsCliTest, StepByStepInJson) {
  Json json = Do({"begin", "m", "--id", "u", "--in-place", "--remove", "a", "--remove", "b", "--json"}).json();
  EXPECT_EQ(json["update_id"], "u");
  EXPECT_EQ(json["state"], "OPEN");
  EXPECT_EQ(json["apply_mode"], "IN_PLACE");

  json = Do({"stage", "u", "--tensor", "w:f32:2x3=random:5", "--digest", "sha256", "--json"}).json();
  EXPECT_EQ(Keys(json), (std::set<std::string>{"update_id", "state", "bytes", "chunks", "retries", "stage_seconds",
                                               "stage_bytes_per_second", "update_received_bytes", "update_bytes"}));
  EXPECT_EQ(json["bytes"], 24);
  EXPECT_EQ(json["update_received_bytes"], 24);

  json = Do({"show", "u", "--json"}).json();
  EXPECT_EQ(json["info"]["received_bytes"], "24");
  EXPECT_EQ(json["missing_shards"], "0");
  EXPECT_EQ(Do({"precommit", "u", "--json"}).json()["info"]["state"], "PREPARED");
  json = Do({"commit", "u", "--policy", "WAIT", "--wait-timeout", "10s", "--hold-after", "1s", "--json"}).json();
  EXPECT_EQ(json["updates"][0]["model"], "m");
  EXPECT_EQ(json["updates"][0]["version"], "1");
  EXPECT_EQ(json["repeated"], false);
  json = Do({"updates", "--json"}).json();
  ASSERT_EQ(json["updates"].size(), 1u);
  EXPECT_EQ(json["updates"][0]["state"], "COMMITTED");
}

TEST_F(WeightsCliTest, CommitsSeveralModelsTogether) {
  for (const std::string id : {"u", "v"}) {
    Do({"begin", "model-" + id, "--id", id});
    Do({"stage", id, "--tensor", "w:f32:2=random:1"});
  }
  Do({"precommit", "u"});
  // One that is not prepared keeps both back.
  EXPECT_EQ(Ask({"commit", "u", "v"}).status, 1);
  EXPECT_EQ(Do({"show", "u", "--json"}).json()["info"]["state"], "PREPARED");
  Do({"precommit", "v"});
  EXPECT_TRUE(
      absl::StrContains(Do({"commit", "u", "v"}).out, "model-u: version 0 -> 1\nmodel-v: version 0 -> 1\ncommitted"));
}

TEST_F(WeightsCliTest, AbortAndUpdates) {
  Do({"begin", "m", "--id", "u", "--tensor", "w:f32:2"});
  Do({"begin", "m", "--id", "v"});
  EXPECT_EQ(Do({"abort", "u"}).out, "u: aborted\n");
  EXPECT_EQ(Do({"abort", "v", "--json"}).json()["info"]["state"], "ABORTED");
  const std::string out = Do({"updates"}).out;
  EXPECT_LT(out.find("\nv "), out.find("\nu ")) << out;
  EXPECT_TRUE(absl::StrContains(out, "aborted"));
  const Outcome unknown = Ask({"abort", "none"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_TRUE(absl::StrContains(unknown.err, "NOT_FOUND UPDATE_NOT_FOUND")) << unknown.err;
}

TEST_F(WeightsCliTest, StageResumes) {
  Do({"begin", "m", "--id", "u"});
  // More than three chunks.
  const std::string tensor = "w:f32:1000000=random:3";
  daemon_.BreakStages(/*streams=*/1, /*chunks=*/2);
  const Json json = Do({"stage", "u", "--tensor", tensor, "--json"}).json();
  EXPECT_EQ(json["retries"], 1);
  EXPECT_EQ(json["update_received_bytes"], 4'000'000);
  EXPECT_EQ(daemon_.staged().size(), 4u);
  // Again, there is nothing to send.
  EXPECT_EQ(Do({"stage", "u", "--tensor", tensor, "--resume", "--json"}).json()["chunks"], 0);
  Do({"precommit", "u"});
}

TEST_F(WeightsCliTest, PrecommitNamesEveryViolation) {
  Do({"begin", "m", "--id", "u", "--tensor", "v:f32:2", "--tensor", "w:f32:2"});
  Outcome outcome = Ask({"precommit", "u"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, "UPDATE_INCOMPLETE")) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  tensors[v].shards[0]")) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  tensors[w].shards[0]")) << outcome.err;
  outcome = Ask({"precommit", "u", "--json"});
  EXPECT_EQ(outcome.json()["error"]["violations"].size(), 2u);
  outcome = Ask({"begin", kRefuses});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, "\n  ttl=1: must be 2")) << outcome.err;
}

}  // namespace
}  // namespace bwrt::client
