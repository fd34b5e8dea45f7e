// Which updates are committed and rolled back, together and against each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using testing::HasSubstr;
using CommitTest = UpdatesFixture;

// ---- committing

TEST_F(CommitTest, OnlyWhatIsPreparedIsCommitted) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(Is(weights().Commit({"never"}).status(), StatusCode::kNotFound, "UPDATE_NOT_FOUND"));
  EXPECT_EQ(weights().Commit(std::vector<std::string>()).status().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(weights().Begin(BeginOf("open", {Matrix("w", 1)})).ok());
  EXPECT_TRUE(Is(weights().Commit({"open"}).status(), StatusCode::kFailedPrecondition, "UPDATE_STATE"));
  EXPECT_TRUE(Is(weights().Begin(BeginOf("open", {})).status(), StatusCode::kAlreadyExists, "UPDATE_EXISTS"));
  ASSERT_NO_FATAL_FAILURE(Prepare("aborted", Ramp(1)));
  EXPECT_EQ(weights().Commit({"aborted", "aborted"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(weights().Commit({"aborted", "open"}).status().code(), StatusCode::kInvalidArgument) << "of one model";
  ASSERT_EQ(weights().Abort("aborted")->info().state(), v1::ABORTED);
  EXPECT_TRUE(Is(weights().Commit({"aborted"}).status(), StatusCode::kFailedPrecondition, "UPDATE_STATE"));
  EXPECT_TRUE(weights().Abort("aborted").ok()) << "again: nothing to do";
  EXPECT_TRUE(Is(weights().Stage({ChunkOf("aborted", "w", 0, Ramp(1))}).status(), StatusCode::kFailedPrecondition,
                 "UPDATE_STATE"));
  EXPECT_EQ(Summary().version(), 0u);
}

TEST_F(CommitTest, AnUpdateThatNobodyNamesExpires) {
  ASSERT_NO_FATAL_FAILURE(Start({kMetrics}));
  for (const std::string id : {"open", "prepared"}) {
    v1::BeginUpdateRequest begin = BeginOf(id, {Matrix("w", 16)});
    begin.mutable_ttl()->set_seconds(1);
    if (id == "prepared") begin.mutable_prepared_ttl()->set_seconds(1);
    const auto begun = weights().Begin(begin);
    ASSERT_TRUE(begun.ok()) << FormatError(begun.status());
    EXPECT_TRUE(begun->has_expires_in());
  }
  ASSERT_TRUE(weights().Stage({ChunkOf("prepared", "w", 0, Ramp(16))}).ok());
  ASSERT_TRUE(weights().Precommit("prepared").ok());
  // The clock that ends them is the system's.
  for (const char* id : {"open", "prepared"}) {
    EXPECT_TRUE(WaitUntil([&] { return ListedState(id) == v1::EXPIRED; })) << id;
    EXPECT_TRUE(Is(weights().Commit({id}).status(), StatusCode::kFailedPrecondition, "UPDATE_STATE"));
  }
  EXPECT_TRUE(WaitUntil([&] { return GetMetrics().Sum("bwrt_weight_bytes") == 0; })) << "all is given back";
}

TEST_F(CommitTest, ARepeatedCommitHasTheFirstOutcome) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(Update("u", Ramp(1)), 1u);
  EXPECT_EQ(Update("later", Ramp(2)), 2u);
  const auto again = weights().Commit({"u"});
  ASSERT_TRUE(again.ok()) << FormatError(again.status());
  EXPECT_TRUE(again->repeated());
  EXPECT_EQ(again->updates(0).version(), 1u);
  EXPECT_EQ(again->updates(0).previous_version(), 0u);
  EXPECT_EQ(Summary().version(), 2u);
  EXPECT_TRUE(Is(weights().Abort("u").status(), StatusCode::kFailedPrecondition, "UPDATE_STATE"));
  EXPECT_EQ(weights().Get("u")->info().version(), 1u);
}

TEST_F(CommitTest, CommitsOfOneUpdateAtOnce) {
  constexpr int kRounds = 25;
  constexpr int kCallers = 4;
  ASSERT_NO_FATAL_FAILURE(Start());
  for (int round = 1; round <= kRounds; ++round) {
    const std::string id = absl::StrCat("u", round);
    ASSERT_NO_FATAL_FAILURE(Prepare(id, Ramp(1)));
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([&] {
        const auto done = weights().Commit({id});
        ASSERT_TRUE(done.ok()) << FormatError(done.status());
        EXPECT_EQ(done->updates(0).version(), static_cast<uint64_t>(round));
      });
    }
    for (std::thread& caller : callers) caller.join();
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(Summary().version(), static_cast<uint64_t>(kRounds));
}

TEST_F(CommitTest, TheLoserOfARaceIsTold) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(Prepare("winner", Ramp(1)));
  ASSERT_NO_FATAL_FAILURE(Prepare("loser", Ramp(2)));
  ASSERT_TRUE(weights().Begin(BeginOf("unprepared", {Matrix("w", 1)})).ok());
  ASSERT_TRUE(weights().Commit({"winner"}).ok());
  EXPECT_TRUE(Is(weights().Commit({"loser"}).status(), StatusCode::kAborted, "BASE_CHANGED"));
  EXPECT_TRUE(WaitUntil([&] { return State("loser") == v1::BASE_CHANGED; }));
  EXPECT_TRUE(WaitUntil([&] { return State("unprepared") == v1::BASE_CHANGED; }));
  EXPECT_TRUE(
      Is(weights().Stage({ChunkOf("unprepared", "w", 0, Ramp(1))}).status(), StatusCode::kAborted, "BASE_CHANGED"));
  EXPECT_TRUE(Is(weights().Precommit("unprepared").status(), StatusCode::kAborted, "BASE_CHANGED"));
  v1::BeginUpdateRequest stale = BeginOf("stale", {Matrix("w", 1)});
  stale.set_base_version(0);
  EXPECT_TRUE(Is(weights().Begin(stale).status(), StatusCode::kAborted, "BASE_CHANGED"));
  stale.set_model("elsewhere");
  EXPECT_TRUE(weights().Begin(stale).ok()) << "which does not exist yet";
  stale.set_update_id("further");
  stale.set_model("nowhere");
  stale.set_base_version(1);
  EXPECT_EQ(weights().Begin(stale).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Content("w"), Ramp(1));
}

TEST_F(CommitTest, AGroupIsCommittedWholeOrNotAtAll) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (const char* model : {"a", "b"}) ASSERT_EQ(Update(absl::StrCat("first-", model), Rows(1, 1), model), 1u);
  ASSERT_NO_FATAL_FAILURE(Prepare("ga", Rows(1, 2), "a"));
  ASSERT_NO_FATAL_FAILURE(Prepare("gb", Rows(1, 3), "b"));
  ASSERT_NO_FATAL_FAILURE(RunWave("b", /*leaves_open=*/false));
  EXPECT_TRUE(Is(weights().Commit({"ga", "gb"}).status(), StatusCode::kFailedPrecondition, "SWAP_WINDOW_CLOSED"));
  for (const char* model : {"a", "b"}) EXPECT_EQ(Content("w", model), Rows(1, 1)) << model;
  for (const char* id : {"ga", "gb"}) EXPECT_EQ(State(id), v1::PREPARED) << id;
  ASSERT_NO_FATAL_FAILURE(RunWave("b", /*leaves_open=*/true));
  const auto done = weights().Commit({"gb", "ga"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  ASSERT_EQ(done->updates_size(), 2);
  EXPECT_EQ(done->updates(0).model(), "b");
  EXPECT_EQ(done->updates(1).model(), "a");
  EXPECT_EQ(Content("w", "a"), Rows(1, 2));
  EXPECT_EQ(Content("w", "b"), Rows(1, 3));
  EXPECT_TRUE(weights().Commit({"ga", "gb"})->repeated());
  EXPECT_TRUE(Is(weights().Commit({"ga"}).status(), StatusCode::kFailedPrecondition, "COMMITTED_APART"));
  EXPECT_TRUE(Is(weights().Commit({"ga", "first-b"}).status(), StatusCode::kFailedPrecondition, "COMMITTED_APART"));
}

TEST_F(CommitTest, AGroupWithALoserChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(Prepare("a", Rows(1, 1), "a"));
  ASSERT_NO_FATAL_FAILURE(Prepare("b", Rows(1, 1), "b"));
  ASSERT_EQ(Update("faster", Rows(1, 2), "b"), 1u);
  EXPECT_TRUE(Is(weights().Commit({"a", "b"}).status(), StatusCode::kAborted, "BASE_CHANGED"));
  EXPECT_EQ(State("a"), v1::PREPARED);
  ASSERT_TRUE(weights().Commit({"a"}).ok());
  EXPECT_EQ(Summary("a").version(), 1u);
}

// ---- rolling back

TEST_F(CommitTest, RollingBack) {
  ASSERT_NO_FATAL_FAILURE(Start({"--keep-versions=2"}));
  for (int i = 1; i <= 4; ++i)
    ASSERT_EQ(Update(absl::StrCat("v", i), Rows(1, static_cast<float>(i))), static_cast<uint64_t>(i));
  v1::RollbackRequest request;
  const absl::Status nowhere = weights().Rollback(request).status();
  EXPECT_EQ(nowhere.code(), StatusCode::kInvalidArgument);
  request.set_version(1);
  const absl::Status gone = weights().Rollback(request).status();
  EXPECT_TRUE(Is(gone, StatusCode::kNotFound, "VERSION_NOT_KEPT"));
  EXPECT_THAT(std::string(gone.message()), HasSubstr("3 (v3), 2 (v2)"));
  request.set_label("v1");
  EXPECT_TRUE(Is(weights().Rollback(request).status(), StatusCode::kNotFound, "VERSION_NOT_KEPT"));
  request.set_version(2);
  const auto by_number = weights().Rollback(request);
  ASSERT_TRUE(by_number.ok()) << FormatError(by_number.status());
  EXPECT_EQ(by_number->swap().version(), 5u);
  EXPECT_EQ(by_number->swap().previous_version(), 4u);
  EXPECT_EQ(by_number->restored_from(), 2u);
  EXPECT_EQ(Content("w"), Rows(1, 2));
  EXPECT_EQ(Summary().label(), "v2");
  EXPECT_EQ(Summary().restored_from(), 2u);
  request.set_label("v4");
  request.set_new_label("back");
  const auto by_label = weights().Rollback(request);
  ASSERT_TRUE(by_label.ok()) << FormatError(by_label.status());
  EXPECT_EQ(by_label->swap().version(), 6u);
  EXPECT_EQ(by_label->restored_from(), 4u);
  EXPECT_EQ(Content("w"), Rows(1, 4));
  EXPECT_EQ(Summary().label(), "back");
  request.set_model("nowhere");
  EXPECT_EQ(weights().Rollback(request).status().code(), StatusCode::kNotFound);
}

TEST_F(CommitTest, RollingBackObeysTheWindow) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Update("v1", Rows(1, 1));
  Update("v2", Rows(1, 2));
  ASSERT_NO_FATAL_FAILURE(RunWave("", /*leaves_open=*/false));
  v1::RollbackRequest request;
  request.set_version(1);
  EXPECT_TRUE(Is(weights().Rollback(request).status(), StatusCode::kFailedPrecondition, "SWAP_WINDOW_CLOSED"));
  EXPECT_EQ(Summary().version(), 2u);
}

}  // namespace
}  // namespace bwrt::e2e
