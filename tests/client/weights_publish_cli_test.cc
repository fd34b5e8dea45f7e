#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "client/digest.h"
#include "tests/client/weights_cli.h"

namespace bwrt::client {
namespace {

using WeightsPublishCliTest = WeightsCliTest;

TEST_F(WeightsPublishCliTest, PushDoesItAll) {
  // A header of ten bytes and six, then two elements.
  const std::string npy = TempFile("b.npy", absl::string_view("\x93NUMPY\x01\x00\x06\x00{}    12345678", 24));
  const Outcome plain = Do({"push", "m", "--tensor", "w:f32:2x3=random:5", "--npy", "b=" + npy});
  EXPECT_TRUE(absl::StartsWith(plain.out, "m: version 0 -> 1: 2 tensors, 48 B in ")) << plain.out;
  EXPECT_TRUE(absl::StrContains(plain.out, ", committed in "));
  EXPECT_EQ(Do({"read", "m", "w"}).out, random5_);
  EXPECT_EQ(Do({"read", "m", "b"}).out, "12345678");

  const Json json = Do({"push", "m", "--id", "u", "--remove", "b", "--policy", "when-idle", "--json"}).json();
  EXPECT_EQ(Keys(json),
            (std::set<std::string>{"update_id", "model", "version", "previous_version", "bytes", "tensors",
                                   "stage_seconds", "stage_bytes_per_second", "precommit_seconds", "commit_seconds"}));
  EXPECT_EQ(json["update_id"], "u");
  EXPECT_EQ(json["version"], 2);
  EXPECT_EQ(json["previous_version"], 1);
  EXPECT_EQ(json["tensors"], 0);
  EXPECT_TRUE(json["commit_seconds"].is_number());
  EXPECT_EQ(Ask({"read", "m", "b"}).status, 1);
}

TEST_F(WeightsPublishCliTest, PushThatFailsAborts) {
  Outcome outcome = Ask({"push", kClosed, "--id", "u", "--tensor", "w:f32:2=random:1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(absl::StrContains(outcome.err, "SWAP_WINDOW_CLOSED")) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "update u has been aborted")) << outcome.err;
  EXPECT_EQ(Do({"show", "u", "--json"}).json()["info"]["state"], "ABORTED");

  outcome = Ask({"push", kClosed, "--id", "v", "--tensor", "w:f32:2=random:1", "--keep", "--json"});
  EXPECT_EQ(outcome.status, 1);
  const Json error = outcome.json()["error"];
  EXPECT_EQ(error["reason"], "SWAP_WINDOW_CLOSED");
  EXPECT_TRUE(absl::StrContains(std::string(error["message"]), "update v is kept"));
  EXPECT_EQ(Do({"show", "v", "--json"}).json()["info"]["state"], "PREPARED");
  Do({"commit", "v", "--policy", "wait"});
}

TEST_F(WeightsPublishCliTest, PushOnAnOldBaseIsRefused) {
  PublishTwo();
  const Outcome outcome = Ask({"push", "m", "--base-version", "1", "--tensor", "w:f32:2=random:1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, "ABORTED BASE_CHANGED")) << outcome.err;
}

TEST_F(WeightsPublishCliTest, EachHostStagesItsRank) {
  const std::string whole = "abcdefghijklmnopqrstuvwxyz0123456789ABCD";  // Five rows of eight bytes.
  const std::vector<std::string> files = {TempFile("rank0", whole.substr(0, 16)),
                                          TempFile("rank1", whole.substr(16, 16)), TempFile("rank2", whole.substr(32))};
  Do({"begin", "m", "--id", "u", "--tensor", "w:f32:5x2", "--ranks", "3"});
  for (const int rank : {2, 0, 1}) {
    const std::string tensor = "w:f32:5x2=" + files[static_cast<size_t>(rank)];
    const Json json =
        Do({"stage", "u", "--tensor", tensor, "--ranks", "3", "--rank", std::to_string(rank), "--json"}).json();
    EXPECT_EQ(json["bytes"], rank == 2 ? 8 : 16);
    EXPECT_EQ(daemon_.staged().back().rank, static_cast<uint32_t>(rank));
  }
  Do({"precommit", "u"});
  Do({"commit", "u"});
  EXPECT_EQ(Do({"read", "m", "w"}).out, whole);
}

TEST_F(WeightsPublishCliTest, OneHostStagesAllRanks) {
  const std::string expected = *RandomMatrix({.seed = 5, .wave = 0, .role = OperandStream::kW}, F32, 7, 2);
  Do({"push", "m", "--tensor", "w:f32:7x2=random:5", "--ranks", "3"});
  EXPECT_EQ(Do({"read", "m", "w"}).out, expected);
  ASSERT_EQ(daemon_.staged().size(), 3u);
  for (uint32_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(daemon_.staged()[rank].rank, rank);
    EXPECT_EQ(daemon_.staged()[rank].bytes, rank == 0 ? 24u : 16u);
  }
  Do({"begin", "m", "--id", "u"});
  Do({"stage", "u", "--tensor", "w:f32:7x2=random:5", "--ranks", "2", "--digest", "sha256"});
  Do({"precommit", "u"});
  // Of random elements each rank has its own part, too.
  Do({"begin", "m", "--id", "v", "--tensor", "w:f32:7x2=random:5", "--ranks", "2"});
  for (const char* rank : {"0", "1"}) {
    Do({"stage", "v", "--tensor", "w:f32:7x2=random:5", "--ranks", "2", "--rank", rank});
  }
  Do({"precommit", "v"});
}

TEST_F(WeightsPublishCliTest, RanksThatCanNotBe) {
  const std::string file = TempFile("ranks.bin", "12345678");
  const auto says = [&](const std::vector<std::string>& arguments, absl::string_view text) {
    const Outcome outcome = Ask(arguments);
    EXPECT_EQ(outcome.status, 2) << testing::PrintToString(arguments);
    EXPECT_TRUE(absl::StrContains(outcome.err, text)) << outcome.err;
  };
  const std::string tensor = "w:f32:2x1=" + file;
  says({"stage", "u", "--tensor", tensor, "--rank", "0"}, "--ranks");
  says({"stage", "u", "--tensor", tensor, "--ranks", "2", "--rank", "2"}, "--rank 2: ranks begin at 0 and end below");
  says({"stage", "u", "--tensor", tensor, "--ranks", "2", "--rank", "0"}, "holds 8 bytes, the tensor's shape needs 4");
  says({"stage", "u", "--tensor", tensor, "--ranks", "3"}, "has 2 rows, too few for --ranks 3");
  says({"stage", "u", "--tensor", tensor, "--ranks", "0"}, "--ranks");
  says({"stage", "u", "--npy", "w=" + file, "--ranks", "2"}, "a .npy file is one shard");
  says({"push", "m", "--tensor", tensor, "--rank", "0"}, "--rank");
}

TEST_F(WeightsPublishCliTest, Load) {
  const Outcome plain = Do({"load", "m", "model.safetensors", "--label", "l"});
  EXPECT_TRUE(absl::StartsWith(plain.out, "m: version 0 -> 1: 2 tensors, 16 B in ")) << plain.out;
  EXPECT_EQ(Do({"read", "m", "a"}).out, "contents");

  Json json = Do({"load", "m", "model.safetensors", "--prefix", "layer0/", "--only", "b", "--json"}).json();
  EXPECT_EQ(json["version"], 2);
  EXPECT_EQ(json["tensors"], 1);
  EXPECT_EQ(json["bytes"], 8);
  EXPECT_EQ(Do({"read", "m", "layer0/b"}).out, "contents");

  json = Do({"load", "m", "model.safetensors", "--id", "u", "--no-commit", "--json"}).json();
  EXPECT_TRUE(json["version"].is_null());
  EXPECT_TRUE(json["commit_seconds"].is_null());
  EXPECT_TRUE(json["precommit_seconds"].is_number());
  EXPECT_EQ(Do({"show", "u", "--json"}).json()["info"]["state"], "PREPARED");

  const Outcome missing = Ask({"load", "m", "nothing", "--id", "v"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_TRUE(absl::StrContains(missing.err, "FILE_NOT_FOUND")) << missing.err;
  EXPECT_TRUE(absl::StrContains(missing.err, "update v has been aborted")) << missing.err;
}

TEST_F(WeightsPublishCliTest, LoadIntoAnOpenUpdate) {
  Do({"begin", "m", "--id", "u"});
  EXPECT_EQ(Ask({"load", "other", "model.safetensors", "--update", "u"}).status, 2);
  const Outcome plain = Do({"load", "m", "model.safetensors", "--update", "u", "--only", "a"});
  EXPECT_TRUE(absl::StartsWith(plain.out, "u: staged: 1 tensors, 8 B in ")) << plain.out;
  EXPECT_EQ(Do({"show", "u", "--json"}).json()["info"]["state"], "OPEN");
  const Json json = Do({"load", "m", "model.safetensors", "--update", "u", "--only", "b", "--json"}).json();
  EXPECT_TRUE(json["precommit_seconds"].is_null());
  // What fails is not this command's to abort.
  EXPECT_EQ(Ask({"load", "m", "nothing", "--update", "u"}).status, 1);
  EXPECT_EQ(Do({"show", "u", "--json"}).json()["info"]["tensors"], "2");
}

TEST_F(WeightsPublishCliTest, Rollback) {
  PublishTwo();
  EXPECT_TRUE(absl::StartsWith(Do({"rollback", "m", "--to", "1", "--policy", "wait"}).out,
                               "m: version 2 -> 3, the content of 1, after "));
  EXPECT_EQ(Do({"read", "m", "w"}).out, random5_);
  const Json json = Do({"rollback", "m", "--label", "two", "--new-label", "again", "--json"}).json();
  EXPECT_EQ(json["restored_from"], "2");
  EXPECT_EQ(json["swap"]["version"], "4");
  EXPECT_EQ(Ask({"rollback", "m", "--to", "9"}).status, 1);
  const std::string list = Do({"list", "m"}).out;
  EXPECT_TRUE(absl::StrContains(list, "\nKEPT  LABEL")) << list;
  EXPECT_TRUE(absl::StrContains(list, "\n4     again")) << list;
}

TEST_F(WeightsPublishCliTest, Read) {
  // More than one answer of the fake daemon holds.
  const std::string expected = *RandomMatrix({.seed = 5, .wave = 0, .role = OperandStream::kW}, F32, 1, 700);
  Do({"push", "m", "--tensor", "w:f32:700=random:5"});
  EXPECT_EQ(Do({"read", "m", "w"}).out, expected);
  EXPECT_EQ(Do({"read", "m", "w", "--offset", "5", "--bytes", "1500"}).out, expected.substr(5, 1500));
  EXPECT_EQ(Do({"read", "m", "w", "--offset", "2790", "--bytes", "100"}).out, expected.substr(2790));
  EXPECT_EQ(Do({"read", "m", "w", "--offset", "2800"}).out, "");
  EXPECT_EQ(Ask({"read", "m", "w", "--offset", "2801"}).status, 1);

  const std::string path = testing::TempDir() + "read.bin";
  const Json json = Do({"read", "m", "w", "--out", path, "--offset", "4", "--json"}).json();
  EXPECT_EQ(*ReadFile(path), expected.substr(4));
  EXPECT_EQ(Keys(json), (std::set<std::string>{"model", "update_id", "tensor", "version", "dtype", "shape",
                                               "total_bytes", "offset", "bytes", "sha256"}));
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["dtype"], "f32");
  EXPECT_EQ(json["shape"], Json({700}));
  EXPECT_EQ(json["total_bytes"], 2800);
  EXPECT_EQ(json["bytes"], 2796);
  EXPECT_EQ("sha256:" + std::string(json["sha256"]), DigestOf(DigestKind::kSha256, expected.substr(4)));
  EXPECT_EQ(Ask({"read", "m", "w", "--out", "no/such/folder/file"}).status, 2);
}

TEST_F(WeightsPublishCliTest, ReadOfAnUpdate) {
  Do({"begin", "m", "--id", "u", "--tensor", "v:f32:2", "--tensor", "w:f32:2x3"});
  Do({"stage", "u", "--tensor", "w:f32:2x3=random:5"});
  EXPECT_EQ(Do({"read", "m", "w", "--update", "u"}).out, random5_);
  EXPECT_EQ(Do({"read", "m", "w", "--update", "u", "--json"}).json()["version"], 0);
  EXPECT_EQ(Ask({"read", "m", "v", "--update", "u"}).status, 1);
}

TEST_F(WeightsPublishCliTest, Delete) {
  PublishTwo();
  EXPECT_EQ(Ask({"delete", "m", "--version", "1"}).status, 1);
  EXPECT_EQ(Do({"delete", "m", "--version", "2", "--json"}).json()["freed_bytes"], "24");
  EXPECT_EQ(Ask({"delete", "m"}).status, 1);
  Do({"push", "m", "--tensor", "w:f32:2x3=random:5"});
  EXPECT_TRUE(absl::StartsWith(Do({"delete", "m"}).out, "m: deleted; 24 B are free"));
}

TEST_F(WeightsPublishCliTest, ProgressIsForTerminals) {
  // Do checks that nothing is written to stderr where it is none.
  Do({"push", "m", "--tensor", "w:f32:2=random:1"});
  const std::string path = testing::TempDir() + "terminal.bin";
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"push", "m", "--tensor", "w:f32:2=random:1"},
                                             {"load", "m", "model.safetensors"},
                                             {"read", "m", "w", "--out", path}}) {
    const Outcome outcome = Ask(command, /*terminal=*/true);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_TRUE(absl::StrContains(outcome.err, "##] ")) << testing::PrintToString(command) << outcome.err;
    EXPECT_TRUE(outcome.err.ends_with('\r')) << "the line is not left clean";
    EXPECT_FALSE(absl::StrContains(outcome.out, '\r'));
  }
  // Bytes that go to the terminal are not mixed with a bar.
  EXPECT_EQ(Ask({"read", "m", "w"}, /*terminal=*/true).err, "");
}

}  // namespace
}  // namespace bwrt::client
