// What is staged, in which order, shape and encoding, and what of it is refused.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/digest.h"
#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;
using StagingTest = UpdatesFixture;

// ---- staging

TEST_F(StagingTest, ChunksInAnyOrderOverTwoStreams) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(64);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 64)})).ok());
  std::vector<std::thread> streams;
  for (int64_t odd = 0; odd < 2; ++odd) {
    streams.emplace_back([&, odd] {
      std::vector<v1::StageWeightsRequest> chunks;
      for (int64_t row = 62 + odd; row >= 0; row -= 2) {
        const size_t at = static_cast<size_t>(row) * kRowBytes;
        chunks.push_back(ChunkOf("u", "w", at, bytes.substr(at, kRowBytes)));
      }
      const auto staged = weights().Stage(chunks);
      ASSERT_TRUE(staged.ok()) << FormatError(staged.status());
      EXPECT_EQ(staged->chunks(), 32u);
      EXPECT_EQ(staged->bytes(), 32 * kRowBytes);
    });
  }
  for (std::thread& stream : streams) stream.join();
  EXPECT_EQ(weights().Get("u")->info().received_bytes(), bytes.size());
  ASSERT_TRUE(weights().Precommit("u").ok());
  EXPECT_EQ(Summary().version(), 0u) << "nothing is seen before the commit";
  const auto done = weights().Commit({"u"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  EXPECT_EQ(done->updates(0).version(), 1u);
  EXPECT_EQ(done->updates(0).previous_version(), 0u);
  EXPECT_FALSE(done->repeated());
  EXPECT_EQ(Summary().label(), "u");
  EXPECT_FALSE(Summary().durable());
  EXPECT_EQ(Content("w"), bytes);
}

TEST_F(StagingTest, ABrokenStreamIsResumed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(8);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 8)})).ok());
  {
    grpc::ClientContext context;
    v1::StageWeightsResponse response;
    const auto stream = weights().raw().StageWeights(&context, &response);
    for (const size_t row : {0, 1, 5}) {
      stream->Write(ChunkOf("u", "w", row * kRowBytes, bytes.substr(row * kRowBytes, kRowBytes)));
    }
    ASSERT_TRUE(WaitUntil([&] { return weights().Get("u")->info().received_bytes() == 3 * kRowBytes; }));
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  const auto update = weights().Get("u");
  ASSERT_TRUE(update.ok()) << FormatError(update.status());
  EXPECT_EQ(update->info().state(), v1::OPEN);
  EXPECT_EQ(update->missing_shards(), 1u);
  ASSERT_EQ(update->missing_size(), 1);
  EXPECT_EQ(update->missing(0).tensor(), "w");
  EXPECT_EQ(update->missing(0).bytes(), bytes.size());
  std::vector<v1::StageWeightsRequest> rest;
  for (const v1::ByteRange& range : update->missing(0).missing()) {
    rest.push_back(ChunkOf("u", "w", range.begin(), bytes.substr(range.begin(), range.end() - range.begin())));
  }
  EXPECT_EQ(rest.size(), 2u);
  const auto staged = weights().Stage(rest);
  ASSERT_TRUE(staged.ok()) << FormatError(staged.status());
  EXPECT_EQ(staged->bytes(), 5 * kRowBytes);
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), bytes);
}

TEST_F(StagingTest, AWrongDigestDropsThatShard) {
  constexpr char kDigest[] = "sha256:2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a";  // 1024 'a'.
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest wrong = Matrix("wrong", 4);
  v1::Shard* shard = wrong.add_shards();
  shard->set_bytes(4 * kRowBytes);
  shard->set_digest(kDigest);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {wrong, Matrix("right", 4)})).ok());
  std::string bytes(4 * kRowBytes, 'a');
  bytes[1000] = 'b';
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "wrong", 0, bytes), ChunkOf("u", "right", 0, Ramp(4))}).ok());
  const absl::Status refused = weights().Precommit("u").status();
  EXPECT_TRUE(Is(refused, StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  EXPECT_THAT(Reasons(refused), ElementsAre("DIGEST_MISMATCH"));
  const auto update = weights().Get("u");
  ASSERT_TRUE(update.ok());
  EXPECT_EQ(update->info().state(), v1::OPEN);
  ASSERT_EQ(update->missing_size(), 1) << "the rest stays";
  EXPECT_EQ(update->missing(0).tensor(), "wrong");
  bytes[1000] = 'a';
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "wrong", 0, bytes)}).ok());
  ASSERT_TRUE(weights().Precommit("u").ok());
  EXPECT_TRUE(weights().Precommit("u").ok()) << "again: nothing to do";
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("wrong"), bytes);
  EXPECT_EQ(Content("right"), Ramp(4));
}

TEST_F(StagingTest, AnXxh3DigestIsVerifiedToo) {
  // XXH3, 128 bits, seed 0, big-endian, of 1024 'a': as other implementations write it.
  constexpr char kDigest[] = "xxh3:52628c92ccb242754a5d6b09a9587a1c";
  const std::string right(4 * kRowBytes, 'a');
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest tensor = Matrix("w", 4);
  v1::Shard* shard = tensor.add_shards();
  shard->set_bytes(4 * kRowBytes);
  for (const std::string bad : {"xxh3:", "xxh3:0", "xxh3:ABCDEF0123456789abcdef0123456789", "xxh64:0123456789abcdef"}) {
    shard->set_digest(bad);
    const absl::Status refused = weights().Begin(BeginOf("u", {tensor})).status();
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(Reasons(refused), ElementsAre("DIGEST")) << bad;
  }
  shard->set_digest(kDigest);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {tensor})).ok());
  std::string wrong = right;
  wrong[777] ^= 1;
  // In two chunks, the second first, so that the digest is not made in one go.
  const auto stage = [&](const std::string& bytes) {
    return weights()
        .Stage({ChunkOf("u", "w", 600, bytes.substr(600)), ChunkOf("u", "w", 0, bytes.substr(0, 600))})
        .status();
  };
  ASSERT_TRUE(stage(wrong).ok());
  const absl::Status refused = weights().Precommit("u").status();
  EXPECT_TRUE(Is(refused, StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  EXPECT_THAT(Reasons(refused), ElementsAre("DIGEST_MISMATCH"));
  EXPECT_THAT(FormatError(refused), HasSubstr(kDigest)) << "what was expected";
  ASSERT_TRUE(stage(right).ok());
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), right);
}

TEST_F(StagingTest, ShardsMayHaveDigestsOfDifferentKinds) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest tensor = Matrix("w", 4);
  const std::string bytes = Ramp(4);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    v1::Shard* shard = tensor.add_shards();
    shard->set_rank(rank);
    shard->set_bytes(2 * kRowBytes);
    shard->set_digest(client::DigestOf(rank == 0 ? client::DigestKind::kXxh3 : client::DigestKind::kSha256,
                                       absl::string_view(bytes).substr(rank * 2 * kRowBytes, 2 * kRowBytes)));
  }
  ASSERT_TRUE(weights().Begin(BeginOf("u", {tensor})).ok());
  ASSERT_TRUE(weights()
                  .Stage({ShardOf("u", "w", 0, bytes.substr(0, 2 * kRowBytes)),
                          ShardOf("u", "w", 1, bytes.substr(0, 2 * kRowBytes))})
                  .ok());
  EXPECT_THAT(Reasons(weights().Precommit("u").status()), ElementsAre("DIGEST_MISMATCH"));
  ASSERT_TRUE(weights().Stage({ShardOf("u", "w", 1, bytes.substr(2 * kRowBytes))}).ok());
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), bytes);
}

TEST_F(StagingTest, WrongSizes) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest tensor = Matrix("w", 4);
  tensor.add_shards()->set_bytes(4 * kRowBytes - 1);
  const absl::Status refused = weights().Begin(BeginOf("u", {tensor})).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Reasons(refused), ElementsAre("TENSOR_SIZE"));

  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("v", 4), Matrix("w", 4)})).ok());
  for (const uint64_t offset : {uint64_t{1}, 4 * kRowBytes, 4 * kRowBytes + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_TRUE(Is(weights().Stage({ChunkOf("u", "w", offset, Ramp(4))}).status(), StatusCode::kInvalidArgument,
                   "CHUNK_OUT_OF_RANGE"))
        << offset;
  }
  EXPECT_TRUE(
      Is(weights().Stage({ShardOf("u", "w", 1, Ramp(1))}).status(), StatusCode::kInvalidArgument, "UNKNOWN_SHARD"));
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, Ramp(3))}).ok());
  const absl::Status incomplete = weights().Precommit("u").status();
  EXPECT_TRUE(Is(incomplete, StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  EXPECT_THAT(Reasons(incomplete), UnorderedElementsAre("SHARD_MISSING", "SHARD_SHORT"));
  EXPECT_EQ(State("u"), v1::OPEN);
}

TEST_F(StagingTest, AChunkSentAgain) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(4);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 4)})).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, bytes.substr(0, 600))}).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, bytes.substr(0, 600))}).ok());
  std::string other = bytes.substr(500, 300);
  other[99] ^= 1;  // The last byte of the overlap.
  EXPECT_TRUE(
      Is(weights().Stage({ChunkOf("u", "w", 500, other)}).status(), StatusCode::kInvalidArgument, "CHUNK_CONFLICT"));
  EXPECT_EQ(weights().Get("u")->info().received_bytes(), 600u);
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 500, bytes.substr(500))}).ok());
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), bytes);
}

TEST_F(StagingTest, OpenAndClosedManifests) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(weights().Begin(BeginOf("closed", {Matrix("w", 4)})).ok());
  v1::StageWeightsRequest declare;
  *declare.mutable_declare()->mutable_tensor() = Matrix("late", 2);
  declare.set_update_id("closed");
  EXPECT_TRUE(Is(weights().Stage({declare}).status(), StatusCode::kInvalidArgument, "UNKNOWN_TENSOR"));
  EXPECT_TRUE(Is(weights().Stage({ChunkOf("closed", "late", 0, Ramp(2))}).status(), StatusCode::kInvalidArgument,
                 "UNKNOWN_TENSOR"));
  v1::BeginUpdateRequest open = BeginOf("open", {Matrix("w", 4)});
  open.set_open_manifest(true);
  ASSERT_TRUE(weights().Begin(open).ok());
  EXPECT_TRUE(Is(weights().Stage({ChunkOf("open", "late", 0, Ramp(2))}).status(), StatusCode::kInvalidArgument,
                 "UNKNOWN_TENSOR"))
      << "not before it is declared";
  declare.set_update_id("open");
  ASSERT_TRUE(weights().Stage({declare, ChunkOf("", "late", 0, Ramp(2)), ChunkOf("", "w", 0, Ramp(4))}).ok());
  ASSERT_TRUE(weights().Precommit("open").ok());
  ASSERT_TRUE(weights().Commit({"open"}).ok());
  EXPECT_EQ(Content("late"), Ramp(2));
}

TEST_F(StagingTest, TensorsAreReplacedAddedKeptAndRemoved) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(weights().Begin(BeginOf("first", {Matrix("kept", 1), Matrix("old", 1), Matrix("w", 1)})).ok());
  ASSERT_TRUE(weights()
                  .Stage({ChunkOf("first", "kept", 0, Rows(1, 1)), ChunkOf("first", "old", 0, Rows(1, 2)),
                          ChunkOf("first", "w", 0, Rows(1, 3))})
                  .ok());
  ASSERT_TRUE(weights().Precommit("first").ok());
  ASSERT_TRUE(weights().Commit({"first"}).ok());
  v1::BeginUpdateRequest second = BeginOf("second", {Matrix("new", 2), Matrix("w", 2)});
  second.add_removed("old");
  ASSERT_TRUE(weights().Begin(second).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("second", "new", 0, Rows(2, 4)), ChunkOf("second", "w", 0, Rows(2, 5))}).ok());
  ASSERT_TRUE(weights().Precommit("second").ok());
  ASSERT_TRUE(weights().Commit({"second"}).ok());
  const auto model = weights().GetModel("");
  ASSERT_TRUE(model.ok());
  std::vector<std::string> tensors;
  for (const v1::TensorInfo& tensor : model->tensors())
    tensors.push_back(absl::StrCat(tensor.name(), "@", tensor.version()));
  EXPECT_THAT(tensors, ElementsAre("kept@1", "new@2", "w@2"));
  EXPECT_EQ(Content("kept"), Rows(1, 1));
  EXPECT_EQ(Content("w"), Rows(2, 5));
}

// ---- shards and encodings

TEST_F(StagingTest, ShardsAreJoined) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest tensor = Matrix("w", 6);
  for (const auto& [rank, rows] : {std::pair(2u, 1u), std::pair(0u, 2u), std::pair(1u, 3u)}) {
    v1::Shard* shard = tensor.add_shards();
    shard->set_rank(rank);
    shard->set_bytes(rows * kRowBytes);
  }
  ASSERT_TRUE(weights().Begin(BeginOf("u", {tensor})).ok());
  ASSERT_TRUE(
      weights()
          .Stage({ShardOf("u", "w", 1, Rows(3, 1)), ShardOf("u", "w", 2, Rows(1, 2)), ShardOf("u", "w", 0, Rows(2, 0))})
          .ok());
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), Rows(2, 0) + Rows(3, 1) + Rows(1, 2));
}

std::string Npy(int64_t rows, float value) {
  std::string header = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", 64), }");
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  const auto size = static_cast<char>(header.size());
  return std::string("\x93NUMPY\x01\x00", 8) + std::string({size, '\0'}) + header + Rows(rows, value);
}

TEST_F(StagingTest, NpyShards) {
  ASSERT_NO_FATAL_FAILURE(Start());
  // Of the whole files.
  constexpr const char* kDigests[] = {"sha256:c5904c4c6c3148e5cad80f205bc49e0ecf3bea8d35df1cc44f55e89b122741b2",
                                      "sha256:b5633a00c2076256133f55ed7a1cbc11be11aa8f0df9caea8b5bd71c89b8bde9"};
  const std::string files[] = {Npy(2, 1), Npy(3, 2)};
  v1::TensorManifest tensor = Matrix("w", 5);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    v1::Shard* shard = tensor.add_shards();
    shard->set_rank(rank);
    shard->set_bytes(files[rank].size());
    shard->set_digest(kDigests[rank]);
    shard->set_encoding(v1::NPY);
  }
  ASSERT_TRUE(weights().Begin(BeginOf("u", {tensor})).ok());
  ASSERT_TRUE(weights().Stage({ShardOf("u", "w", 1, files[1]), ShardOf("u", "w", 0, files[0])}).ok());
  v1::ReadTensorRequest verbatim = ReadOf("w");
  verbatim.set_update_id("u");
  verbatim.set_rank(1);
  EXPECT_EQ(weights().Read(verbatim)->data(), files[1]) << "as it was staged";
  const auto prepared = weights().Precommit("u");
  ASSERT_TRUE(prepared.ok()) << FormatError(prepared.status());
  verbatim.clear_rank();
  EXPECT_EQ(weights().Read(verbatim)->data(), Rows(2, 1) + Rows(3, 2)) << "as it will be";
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("w"), Rows(2, 1) + Rows(3, 2));
}

TEST_F(StagingTest, AnNpyFileSaysWhatItHolds) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::TensorManifest tensor;
  tensor.set_name("w");
  tensor.add_shards()->set_bytes(Npy(3, 1).size());
  tensor.mutable_shards(0)->set_encoding(v1::NPY);
  v1::TensorManifest other = Matrix("other", 4);
  *other.add_shards() = tensor.shards(0);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {tensor, other})).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, Npy(3, 1)), ChunkOf("u", "other", 0, Npy(3, 1))}).ok());
  const absl::Status refused = weights().Precommit("u").status();
  EXPECT_TRUE(Is(refused, StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  EXPECT_THAT(Reasons(refused), ElementsAre("TENSOR_SHAPE")) << "three rows where four were announced";
}

}  // namespace
}  // namespace bwrt::e2e
