// Streams that stage nothing: they are ended, and until then they keep nobody from looking.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::DetailsOf;
using client::FormatError;
using testing::HasSubstr;

constexpr int kTransfers = 32;  // BulkCalls::kMaxCalls.

class StageIdleTest : public UpdatesFixture {
 protected:
  // A stream of an update that stays open, and idle after what it has sent.
  struct Open {
    explicit Open(v1::Weights::Stub& stub) : stream(stub.StageWeights(&context, &response)) {}
    ~Open() {
      context.TryCancel();
      End().IgnoreError();
    }
    // Waits for the daemon to end it.
    absl::Status End() {
      if (!ended) ended = client::FromGrpcStatus(stream->Finish());
      return *ended;
    }
    grpc::ClientContext context;
    v1::StageWeightsResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::StageWeightsRequest>> stream;
    std::optional<absl::Status> ended;
  };

  // As many as there can be, each of which has staged a row of "u".
  std::vector<std::unique_ptr<Open>> OpenAll() {
    std::vector<std::unique_ptr<Open>> all;
    for (int i = 0; i < kTransfers; ++i) {
      all.push_back(std::make_unique<Open>(weights().raw()));
      EXPECT_TRUE(all.back()->stream->Write(ChunkOf("u", "w", static_cast<uint64_t>(i) * kRowBytes, Rows(1, 1))));
    }
    return all;
  }
};

TEST_F(StageIdleTest, AnIdleStreamEndsAndWhatItStagedIsThere) {
  ASSERT_NO_FATAL_FAILURE(Start({"--stage-idle-timeout=200ms"}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 4)})).ok());
  Open idle(weights().raw());
  ASSERT_TRUE(idle.stream->Write(ChunkOf("u", "w", kRowBytes, Ramp(4).substr(kRowBytes, 2 * kRowBytes))));
  const absl::Status status = idle.End();
  EXPECT_TRUE(Is(status, StatusCode::kDeadlineExceeded, "STAGE_IDLE")) << FormatError(status);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no chunk came for 0.2s, the limit of --stage-idle-timeout"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("GetUpdate"));

  const auto update = weights().Get("u");
  ASSERT_TRUE(update.ok());
  EXPECT_EQ(update->info().state(), v1::OPEN);
  EXPECT_EQ(update->info().received_bytes(), 2 * kRowBytes);
  for (const v1::ByteRange& range : update->missing(0).missing()) {
    const std::string piece = Ramp(4).substr(range.begin(), range.end() - range.begin());
    ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", range.begin(), piece)}).ok());
  }
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), Ramp(4));
}

TEST_F(StageIdleTest, AStreamThatNamesNoUpdateEndsToo) {
  ASSERT_NO_FATAL_FAILURE(Start({"--stage-idle-timeout=100ms"}));
  Open idle(weights().raw());
  EXPECT_TRUE(Is(idle.End(), StatusCode::kDeadlineExceeded, "STAGE_IDLE"));
}

TEST_F(StageIdleTest, IdleStreamsKeepOthersFromStagingOnlyForSoLong) {
  ASSERT_NO_FATAL_FAILURE(Start({"--stage-idle-timeout=500ms"}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", kTransfers)})).ok());
  const auto idle = OpenAll();
  // On a busy machine the next stream might otherwise take the place of one of these.
  EXPECT_TRUE(WaitUntil([&] { return weights().Get("u")->info().received_bytes() == kTransfers * kRowBytes; }));
  EXPECT_TRUE(WaitUntil([&] { return weights().Stage({ChunkOf("u", "w", 0, Rows(1, 1))}).ok(); }));
  for (const auto& open : idle) EXPECT_TRUE(Is(open->End(), StatusCode::kDeadlineExceeded, "STAGE_IDLE"));
}

TEST_F(StageIdleTest, WhileAllStreamsAreTakenUpdatesCanBeLookedAt) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", kTransfers + 1)})).ok());
  {
    const auto idle = OpenAll();
    EXPECT_TRUE(WaitUntil([&] { return weights().Get("u")->info().received_bytes() == kTransfers * kRowBytes; }));
    const absl::Status refused = weights().Stage({ChunkOf("u", "w", 0, Rows(1, 1))}).status();
    EXPECT_TRUE(Is(refused, StatusCode::kResourceExhausted, "TOO_MANY_STREAMS")) << FormatError(refused);
    EXPECT_TRUE(DetailsOf(refused).retry_delay.has_value());
    v1::LoadFileRequest load;
    load.set_update_id("u");
    load.set_path("x.safetensors");
    EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kResourceExhausted, "TOO_MANY_STREAMS"))
        << "files are transfers, too";

    const auto listed = weights().List();
    ASSERT_TRUE(listed.ok()) << FormatError(listed.status());
    ASSERT_EQ(listed->updates_size(), 1);
    EXPECT_EQ(listed->updates(0).update_id(), "u");
    EXPECT_EQ(listed->updates(0).received_bytes(), kTransfers * kRowBytes);
    const auto update = weights().Get("u");
    ASSERT_TRUE(update.ok()) << FormatError(update.status());
    EXPECT_EQ(update->missing_shards(), 1u);
    EXPECT_EQ(update->missing(0).missing(0).begin(), kTransfers * kRowBytes);
    ASSERT_TRUE(weights().Begin(BeginOf("v", {})).ok());
    ASSERT_TRUE(weights().Abort("v").ok());
    EXPECT_TRUE(Is(weights().Precommit("u").status(), StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  }
  EXPECT_TRUE(WaitUntil([&] { return weights().Stage({ChunkOf("u", "w", 0, Rows(1, 1))}).ok(); }))
      << "they have made room";
}

}  // namespace
}  // namespace bwrt::e2e
