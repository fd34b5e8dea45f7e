// What outlives the daemon in its state directory, and what happens when that is not as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using testing::ElementsAre;
using testing::HasSubstr;
using StateDirectoryTest = UpdatesFixture;

TEST_F(StateDirectoryTest, ARestartChangesNothing) {
  const Directory state;
  const std::vector<std::string> flags = {"--state-dir=" + state.path()};
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  ASSERT_EQ(Update("v1", Rows(4, 1)), 1u);
  ASSERT_EQ(Update("v2", Ramp(4)), 2u);
  EXPECT_TRUE(Summary().durable());
  ASSERT_NO_FATAL_FAILURE(Prepare("shadow", Rows(2, 3)));
  ASSERT_NO_FATAL_FAILURE(Prepare("in-place", Rows(2, 4), "other", v1::IN_PLACE));
  ASSERT_TRUE(weights().Begin(BeginOf("unprepared", {Matrix("w", 1)})).ok());
  Stop();

  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(Summary().version(), 2u);
  EXPECT_EQ(Summary().label(), "v2");
  EXPECT_TRUE(Summary().durable());
  EXPECT_EQ(Content("w"), Ramp(4));
  EXPECT_TRUE(Is(weights().Get("unprepared").status(), StatusCode::kNotFound, "UPDATE_NOT_FOUND"));
  const auto again = weights().Commit({"v2"});
  ASSERT_TRUE(again.ok()) << FormatError(again.status());
  EXPECT_TRUE(again->repeated());
  EXPECT_EQ(again->updates(0).version(), 2u);
  for (const char* id : {"shadow", "in-place"}) {
    const auto update = weights().Get(id);
    ASSERT_TRUE(update.ok()) << FormatError(update.status());
    EXPECT_EQ(update->info().state(), v1::PREPARED);
    EXPECT_EQ(update->info().label(), id);
    EXPECT_EQ(update->info().bytes(), 2 * kRowBytes);
    EXPECT_EQ(update->info().received_bytes(), 2 * kRowBytes);
    const auto done = weights().Commit({id});
    ASSERT_TRUE(done.ok()) << FormatError(done.status());
  }
  for (const auto& [id, version] : {std::pair("v1", 1u), std::pair("v2", 2u), std::pair("shadow", 3u)}) {
    const auto outcome = weights().Commit({id});
    ASSERT_TRUE(outcome.ok()) << id << ": " << FormatError(outcome.status());
    EXPECT_EQ(outcome->updates(0).version(), version);
  }
  EXPECT_EQ(Summary().version(), 3u);
  EXPECT_EQ(Content("w"), Rows(2, 3));
  EXPECT_EQ(Content("w", "other"), Rows(2, 4));
  v1::RollbackRequest back;
  back.set_version(2);
  ASSERT_TRUE(weights().Rollback(back).ok()) << "to what the other daemon committed";
  EXPECT_EQ(Content("w"), Ramp(4));
  Stop();

  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(Summary().version(), 4u);
  EXPECT_EQ(Summary().restored_from(), 2u);
  EXPECT_EQ(Content("w"), Ramp(4));
  EXPECT_EQ(Content("w", "other"), Rows(2, 4));
}

TEST_F(StateDirectoryTest, OneDaemonAStateDirectory) {
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  const Ended second = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("another process uses the state directory"));
  EXPECT_EQ(Update("u", Ramp(1)), 1u);
}

TEST_F(StateDirectoryTest, ANewerFormatIsLeftAlone) {
  const Directory state;
  WriteAll(state / "FORMAT", "bwrt state 2\n");
  const Ended refused = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("bwrt state 2"));
  EXPECT_THAT(FilesIn(state.path()), ElementsAre("FORMAT"));
  EXPECT_EQ(ReadAll(state / "FORMAT"), "bwrt state 2\n");
}

TEST_F(StateDirectoryTest, ADirectoryThatHoldsSomethingElseIsLeftAlone) {
  const Directory state;
  WriteAll(state / "thesis.txt", "x");
  const Ended refused = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(FilesIn(state.path()), ElementsAre("thesis.txt"));
}

TEST_F(StateDirectoryTest, DamagedWeightsFallBack) {
  const Directory state;
  const std::vector<std::string> flags = {"--state-dir=" + state.path()};
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  ASSERT_EQ(Update("v1", Rows(4, 1)), 1u);
  const std::set<std::string> before = FilesIn(state / "blobs");
  ASSERT_EQ(Update("v2", Rows(4, 2)), 2u);
  std::vector<std::string> added;
  for (const std::string& name : FilesIn(state / "blobs")) {
    if (!before.contains(name)) added.push_back(name);
  }
  ASSERT_EQ(added.size(), 1u);
  Stop();
  const std::string blob = absl::StrCat(state / "blobs", "/", added[0]);
  std::string bytes = ReadAll(blob);
  bytes[bytes.size() / 2] ^= 1;
  std::filesystem::permissions(blob, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  WriteAll(blob, bytes);

  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(Summary().version(), 1u);
  EXPECT_EQ(Summary().label(), "v1");
  EXPECT_EQ(Content("w"), Rows(4, 1));
  EXPECT_EQ(Update("v3", Rows(4, 3)), 3u) << "a number is not used again";
  Stop();
  EXPECT_THAT(log(), HasSubstr("falls back to version 1"));
  EXPECT_THAT(log(), HasSubstr(added[0]));

  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(Summary().version(), 3u);
  EXPECT_EQ(Content("w"), Rows(4, 3));
}

TEST_F(StateDirectoryTest, AModelThatLostAllItsVersionsSaysSoAndKeepsItsNumbers) {
  const Directory state;
  const std::vector<std::string> flags = {"--state-dir=" + state.path()};
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  ASSERT_EQ(Update("v1", Rows(4, 1), "m"), 1u);
  ASSERT_EQ(Update("v2", Rows(4, 2), "m"), 2u);
  EXPECT_EQ(Summary("m").last_version(), 2u);
  EXPECT_FALSE(Summary("m").lost());
  Stop();
  for (const std::string& name : FilesIn(state / "manifests")) {
    std::filesystem::remove(absl::StrCat(state / "manifests", "/", name));
  }
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_TRUE(Summary("m").lost());
  EXPECT_EQ(Summary("m").version(), 0u);
  EXPECT_EQ(Summary("m").last_version(), 2u);
  EXPECT_EQ(Update("v3", Rows(4, 3), "m"), 3u);
  EXPECT_FALSE(Summary("m").lost());
  EXPECT_EQ(Content("w", "m"), Rows(4, 3));
  Stop();
  EXPECT_THAT(log(), HasSubstr("has no version left that is whole"));
}

}  // namespace
}  // namespace bwrt::e2e
