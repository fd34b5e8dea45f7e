// Updates, rollbacks, files and the state directory, as a publisher of weights meets them.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"
#include "tests/e2e/weights_stub.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::DetailsOf;
using client::FormatError;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr int64_t kColumns = 64;
constexpr size_t kRowBytes = kColumns * sizeof(float);

// `rows` rows of a matrix in which every element is `value`.
std::string Rows(int64_t rows, float value) {
  std::string bytes(static_cast<size_t>(rows) * kRowBytes, '\0');
  for (size_t at = 0; at < bytes.size(); at += sizeof(float)) std::memcpy(&bytes[at], &value, sizeof(value));
  return bytes;
}

// Rows that differ.
std::string Ramp(int64_t rows) {
  std::string bytes;
  for (int64_t row = 0; row < rows; ++row) bytes += Rows(1, static_cast<float>(row));
  return bytes;
}

v1::TensorManifest Matrix(const std::string& name, int64_t rows) {
  v1::TensorManifest tensor;
  tensor.set_name(name);
  tensor.set_dtype(F32);
  tensor.add_shape(rows);
  tensor.add_shape(kColumns);
  return tensor;
}

// As many floats as `rows` rows of a matrix have, but with no layouts of their own that would need room, too.
v1::TensorManifest Vector(const std::string& name, int64_t rows) {
  v1::TensorManifest tensor = Matrix(name, 1);
  tensor.clear_shape();
  tensor.add_shape(rows * kColumns);
  return tensor;
}

v1::BeginUpdateRequest BeginOf(const std::string& id, std::vector<v1::TensorManifest> tensors,
                               const std::string& model = "") {
  v1::BeginUpdateRequest request;
  request.set_update_id(id);
  request.set_model(model);
  request.set_label(id);
  for (v1::TensorManifest& tensor : tensors) *request.add_tensors() = std::move(tensor);
  return request;
}

v1::StageWeightsRequest ShardOf(const std::string& id, const std::string& tensor, uint32_t rank,
                                const std::string& data) {
  v1::StageWeightsRequest request = ChunkOf(id, tensor, 0, data);
  request.mutable_chunk()->set_rank(rank);
  return request;
}

v1::ReadTensorRequest ReadOf(const std::string& tensor, const std::string& model = "") {
  v1::ReadTensorRequest request;
  request.set_model(model);
  request.set_tensor(tensor);
  return request;
}

std::vector<std::string> Reasons(const absl::Status& status) {
  std::vector<std::string> reasons;
  for (const auto& violation : DetailsOf(status).field_violations) reasons.push_back(violation.reason);
  return reasons;
}

std::set<std::string> FilesIn(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

class UpdatesTest : public DaemonFixture {
 protected:
  void Start(std::vector<std::string> flags = {}) {
    flags.emplace_back(kLenient);
    ASSERT_NO_FATAL_FAILURE(StartDaemon(std::move(flags)));
    stub_ = std::make_unique<WeightsStub>(daemon().unix_address());
  }
  void Stop() {
    stub_.reset();
    EXPECT_EQ(StopDaemon(), 0);
  }
  void TearDown() override {
    stub_.reset();
    DaemonFixture::TearDown();
  }

  WeightsStub& weights() { return *stub_; }

  // A prepared update of "w".
  void Prepare(const std::string& id, const std::string& bytes, const std::string& model = "",
               v1::ApplyMode mode = v1::SHADOW) {
    PrepareAs(Matrix("w", static_cast<int64_t>(bytes.size() / kRowBytes)), id, bytes, model, mode);
  }
  void PrepareAs(const v1::TensorManifest& tensor, const std::string& id, const std::string& bytes,
                 const std::string& model = "", v1::ApplyMode mode = v1::SHADOW) {
    v1::BeginUpdateRequest begin = BeginOf(id, {tensor}, model);
    begin.set_apply_mode(mode);
    const auto begun = weights().Begin(begin);
    ASSERT_TRUE(begun.ok()) << FormatError(begun.status());
    const auto staged = weights().Stage({ChunkOf(id, tensor.name(), 0, bytes)});
    ASSERT_TRUE(staged.ok()) << FormatError(staged.status());
    const auto prepared = weights().Precommit(id);
    ASSERT_TRUE(prepared.ok()) << FormatError(prepared.status());
    EXPECT_EQ(prepared->info().state(), v1::PREPARED);
  }
  // Prepares and commits it; the new version.
  uint64_t Update(const std::string& id, const std::string& bytes, const std::string& model = "") {
    Prepare(id, bytes, model);
    const auto done = weights().Commit({id});
    EXPECT_TRUE(done.ok()) << FormatError(done.status());
    return done.ok() ? done->updates(0).version() : 0;
  }

  std::string Content(const std::string& tensor, const std::string& model = "") {
    const auto read = weights().Read(ReadOf(tensor, model));
    EXPECT_TRUE(read.ok()) << FormatError(read.status());
    return read.ok() ? read->data() : "";
  }
  v1::ModelSummary Summary(const std::string& model = "") {
    const auto found = weights().GetModel(model);
    EXPECT_TRUE(found.ok()) << FormatError(found.status());
    return found.ok() ? found->summary() : v1::ModelSummary();
  }
  v1::UpdateState State(const std::string& id) {
    const auto found = weights().Get(id);
    EXPECT_TRUE(found.ok()) << FormatError(found.status());
    return found.ok() ? found->info().state() : v1::UPDATE_STATE_UNSPECIFIED;
  }
  // Without naming it: that would put off its end.
  v1::UpdateState ListedState(const std::string& id) {
    const auto all = weights().List();
    if (!all.ok()) return v1::UPDATE_STATE_UNSPECIFIED;
    for (const v1::UpdateInfo& info : all->updates()) {
      if (info.update_id() == id) return info.state();
    }
    return v1::UPDATE_STATE_UNSPECIFIED;
  }
  // A wave on the model that leaves its window closed, or open.
  void RunWave(const std::string& model, bool leaves_open) {
    v1::SubmitWaveRequest wave = MakeWave(256, 384, 64);
    wave.set_model(model);
    SetWindow(&wave, 0, leaves_open ? 6 : 1);
    const auto result = client().SubmitWave(wave);
    ASSERT_TRUE(result.ok()) << FormatError(result.status());
  }

 private:
  std::unique_ptr<WeightsStub> stub_;
};

// ---- staging

TEST_F(UpdatesTest, ChunksInAnyOrderOverTwoStreams) {
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

TEST_F(UpdatesTest, ABrokenStreamIsResumed) {
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

TEST_F(UpdatesTest, AWrongDigestDropsThatShard) {
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

TEST_F(UpdatesTest, WrongSizes) {
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

TEST_F(UpdatesTest, AChunkSentAgain) {
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

TEST_F(UpdatesTest, OpenAndClosedManifests) {
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

TEST_F(UpdatesTest, TensorsAreReplacedAddedKeptAndRemoved) {
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

TEST_F(UpdatesTest, ShardsAreJoined) {
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

TEST_F(UpdatesTest, NpyShards) {
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

TEST_F(UpdatesTest, AnNpyFileSaysWhatItHolds) {
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

// ---- committing

TEST_F(UpdatesTest, OnlyWhatIsPreparedIsCommitted) {
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

TEST_F(UpdatesTest, AnUpdateThatNobodyNamesExpires) {
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

TEST_F(UpdatesTest, ARepeatedCommitHasTheFirstOutcome) {
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

TEST_F(UpdatesTest, CommitsOfOneUpdateAtOnce) {
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

TEST_F(UpdatesTest, TheLoserOfARaceIsTold) {
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

TEST_F(UpdatesTest, AGroupIsCommittedWholeOrNotAtAll) {
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

TEST_F(UpdatesTest, AGroupWithALoserChangesNothing) {
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

TEST_F(UpdatesTest, RollingBack) {
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

TEST_F(UpdatesTest, RollingBackObeysTheWindow) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Update("v1", Rows(1, 1));
  Update("v2", Rows(1, 2));
  ASSERT_NO_FATAL_FAILURE(RunWave("", /*leaves_open=*/false));
  v1::RollbackRequest request;
  request.set_version(1);
  EXPECT_TRUE(Is(weights().Rollback(request).status(), StatusCode::kFailedPrecondition, "SWAP_WINDOW_CLOSED"));
  EXPECT_EQ(Summary().version(), 2u);
}

// ---- files

std::string Safetensors(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(length.data(), &size, sizeof(size));
  return length + header + data;
}

TEST_F(UpdatesTest, FilesBeneathTheRoot) {
  const Directory root;
  std::filesystem::create_directory(root / "m");
  WriteAll(root / "m/model.safetensors",
           Safetensors(absl::StrCat(R"({"x":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]},)",
                                    R"("y":{"dtype":"F32","shape":[1,64],"data_offsets":[512,768]}})"),
                       Rows(2, 7) + Rows(1, 8)));
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  load.set_path("m");
  load.set_name_prefix("layer0/");
  const auto progress = weights().Load(load);
  ASSERT_TRUE(progress.ok()) << FormatError(progress.status());
  EXPECT_TRUE(progress->back().done());
  EXPECT_EQ(progress->back().tensors(), 2u);
  EXPECT_EQ(progress->back().bytes(), 768u);
  EXPECT_EQ(progress->back().total_bytes(), 768u);
  load.set_path("m/model.safetensors");
  load.set_name_prefix("");
  load.add_tensors("y");
  ASSERT_TRUE(weights().Load(load).ok());
  load.set_tensors(0, "z");
  EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kInvalidArgument, "UNKNOWN_TENSOR"));
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("layer0/x"), Rows(2, 7));
  EXPECT_EQ(Content("layer0/y"), Rows(1, 8));
  EXPECT_EQ(Content("y"), Rows(1, 8));
  EXPECT_EQ(Summary().tensors(), 3u);
}

TEST_F(UpdatesTest, NoFileBeyondTheRoot) {
  const Directory outside;
  WriteAll(outside / "secret.safetensors", Safetensors("{}", ""));
  const Directory root;
  std::filesystem::create_symlink(outside / "secret.safetensors", root / "link.safetensors");
  std::filesystem::create_directory_symlink(outside.path(), root / "dir");
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  const std::string name = std::filesystem::path(outside.path()).filename();
  for (const std::string& path :
       {std::string("../secret.safetensors"), absl::StrCat("../", name, "/secret.safetensors"),
        outside / "secret.safetensors", std::string("/etc/passwd"), std::string("m/../../secret.safetensors"),
        std::string("./../x.safetensors"), std::string(".."), std::string("a\0b.safetensors", 15), std::string("//")}) {
    load.set_path(path);
    EXPECT_EQ(weights().Load(load).status().code(), StatusCode::kInvalidArgument) << path;
  }
  for (const char* path : {"link.safetensors", "dir/secret.safetensors", "dir"}) {
    load.set_path(path);
    const absl::Status refused = weights().Load(load).status();
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition) << path;
    EXPECT_THAT(std::string(refused.message()), testing::Not(HasSubstr(outside.path())));
  }
  load.set_path("none.safetensors");
  EXPECT_EQ(weights().Load(load).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Get("u")->info().tensors(), 0u);
}

TEST_F(UpdatesTest, HostileSafetensors) {
  const Directory root;
  std::string length(8, '\0');
  length[7] = 0x10;  // 2^60.
  WriteAll(root / "huge.safetensors", length + "{}");
  WriteAll(root / "short.safetensors", "abc");
  WriteAll(root / "beyond.safetensors",
           Safetensors(R"({"x":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]}})", Rows(1, 7)));
  WriteAll(root / "deep.safetensors", Safetensors(std::string(1 << 20, '['), ""));
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  const int64_t before = daemon().PeakMemory();
  v1::LoadFileRequest load;
  load.set_update_id("u");
  for (const char* path : {"huge", "short", "beyond", "deep"}) {
    load.set_path(absl::StrCat(path, ".safetensors"));
    EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kInvalidArgument, "SAFETENSORS_HEADER")) << path;
  }
  EXPECT_LT(daemon().PeakMemory() - before, 64 << 20);
  EXPECT_EQ(State("u"), v1::OPEN);
}

TEST_F(UpdatesTest, NoFilesWithoutARoot) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  load.set_path("x.safetensors");
  EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kFailedPrecondition, "NO_WEIGHTS_ROOT"));
}

// ---- memory

TEST_F(UpdatesTest, RoomIsReservedFirstAndGivenBack) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB.
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", kMetrics}));
  EXPECT_TRUE(Is(weights().Begin(BeginOf("big", {Vector("w", 8 * 1024)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  EXPECT_EQ(weights().List()->updates_size(), 0);
  ASSERT_TRUE(weights().Begin(BeginOf("one", {Vector("w", kMost)})).ok());
  EXPECT_TRUE(Is(weights().Begin(BeginOf("two", {Vector("w", kMost)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), kMost * static_cast<double>(kRowBytes));
  ASSERT_TRUE(weights().Stage({ChunkOf("one", "w", 0, Ramp(kMost))}).ok());
  ASSERT_TRUE(weights().Abort("one").ok());
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), 0);
  for (int i = 0; i < 5; ++i) {  // Nothing leaks.
    const std::string id = absl::StrCat("again", i);
    ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), id, Ramp(kMost)));
    ASSERT_TRUE(weights().Abort(id).ok());
  }
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), 0);
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "last", Ramp(kMost)));
  EXPECT_TRUE(weights().Commit({"last"}).ok());
}

TEST_F(UpdatesTest, InPlaceNeedsAStateDirectory) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::BeginUpdateRequest begin = BeginOf("u", {Matrix("w", 1)});
  begin.set_apply_mode(v1::IN_PLACE);
  EXPECT_TRUE(Is(weights().Begin(begin).status(), StatusCode::kFailedPrecondition, "NO_STATE_DIR"));
}

TEST_F(UpdatesTest, InPlaceWhereBothDoNotFit) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB.
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", "--keep-versions=0", "--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "first", Ramp(kMost)));
  ASSERT_TRUE(weights().Commit({"first"}).ok());
  EXPECT_TRUE(Is(weights().Begin(BeginOf("beside", {Vector("w", kMost)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "u", Rows(kMost, 5), "", v1::IN_PLACE));
  EXPECT_EQ(Content("w"), Ramp(kMost)) << "until the commit";
  const auto done = weights().Commit({"u"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  EXPECT_GT(done->pause_seconds(), 0);
  EXPECT_EQ(done->updates(0).version(), 2u);
  EXPECT_FALSE(Summary().loading());
  EXPECT_EQ(Content("w"), Rows(kMost, 5));
}

TEST_F(UpdatesTest, InPlaceWithoutRoomForLayouts) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB, and as much again for the layout that waves want.
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", "--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(Prepare("u", Rows(kMost, 5), "", v1::IN_PLACE));
  const auto done = weights().Commit({"u"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  EXPECT_EQ(Content("w"), Rows(kMost, 5));
}

TEST_F(UpdatesTest, WavesSeeWhatWasCopiedInPlace) {
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  const v1::SubmitWaveRequest first = MakeWave(128, kColumns, 128, F32, 1);
  const v1::SubmitWaveRequest second = MakeWave(128, kColumns, 128, F32, 2);
  ASSERT_EQ(Update("first", first.w().inline_()), 1u);
  auto result = client().SubmitWave(WithStored(first, "w"));
  ASSERT_TRUE(result.ok()) << FormatError(result.status());
  EXPECT_TRUE(IsRight(first, *result));
  ASSERT_NO_FATAL_FAILURE(Prepare("second", second.w().inline_(), "", v1::IN_PLACE));
  ASSERT_TRUE(weights().Commit({"second"}).ok());
  result = client().SubmitWave(WithStored(second, "w"));
  ASSERT_TRUE(result.ok()) << FormatError(result.status());
  EXPECT_EQ(result->version(), 2u);
  EXPECT_TRUE(IsRight(second, *result));
}

// ---- reading and deleting

TEST_F(UpdatesTest, ReadingSlices) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(4);
  ASSERT_EQ(Update("u", bytes, "m"), 1u);
  v1::ReadTensorRequest read = ReadOf("w", "m");
  read.set_offset(100);
  read.set_bytes(300);
  const auto slice = weights().Read(read);
  ASSERT_TRUE(slice.ok()) << FormatError(slice.status());
  EXPECT_EQ(slice->data(), bytes.substr(100, 300));
  EXPECT_EQ(slice->version(), 1u);
  EXPECT_EQ(slice->dtype(), F32);
  EXPECT_THAT(slice->shape(), ElementsAre(4, 64));
  EXPECT_EQ(slice->total_bytes(), bytes.size());
  EXPECT_EQ(slice->offset(), 100u);
  read.set_offset(bytes.size() - 10);
  EXPECT_EQ(weights().Read(read)->data(), bytes.substr(bytes.size() - 10)) << "fewer at the end";
  read.set_offset(bytes.size());
  EXPECT_EQ(weights().Read(read)->data(), "");
  for (const uint64_t beyond : {uint64_t{bytes.size() + 1}, uint64_t{1} << 63, ~uint64_t{0}}) {
    read.set_offset(beyond);
    EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument) << beyond;
  }
  read.set_offset(0);
  read.set_bytes((16 << 20) + 1);
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument);
  read.set_bytes(0);
  read.set_update_id("u");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument) << "model and update";
  EXPECT_EQ(weights().Read(ReadOf("none", "m")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Read(ReadOf("w", "none")).status().code(), StatusCode::kNotFound);
}

TEST_F(UpdatesTest, ReadingUpdates) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(4);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 4)})).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", kRowBytes, bytes.substr(kRowBytes))}).ok());
  v1::ReadTensorRequest read = ReadOf("w");
  read.set_update_id("u");
  EXPECT_TRUE(Is(weights().Read(read).status(), StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, bytes.substr(0, kRowBytes))}).ok());
  EXPECT_EQ(weights().Read(read)->data(), bytes);
  EXPECT_EQ(weights().Read(read)->version(), 0u);
  read.set_tensor("none");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.set_tensor("w");
  read.set_rank(7);
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.clear_rank();
  ASSERT_TRUE(weights().Precommit("u").ok());
  read.set_offset(10);
  read.set_bytes(20);
  EXPECT_EQ(weights().Read(read)->data(), bytes.substr(10, 20));
  read.set_tensor("none");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.set_update_id("never");
  EXPECT_TRUE(Is(weights().Read(read).status(), StatusCode::kNotFound, "UPDATE_NOT_FOUND"));
}

TEST_F(UpdatesTest, DeletingModels) {
  const Directory state;
  const std::vector<std::string> flags = {"--state-dir=" + state.path()};
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  ASSERT_EQ(Update("u", Ramp(4), "m"), 1u);
  ASSERT_NO_FATAL_FAILURE(Prepare("next", Ramp(2), "m"));
  v1::DeleteModelRequest request;
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kInvalidArgument);
  request.set_model("default");
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kInvalidArgument);
  request.set_model("none");
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kNotFound);
  request.set_model("m");
  request.set_version(7);
  EXPECT_TRUE(Is(weights().DeleteModel(request).status(), StatusCode::kFailedPrecondition, "VERSION_MISMATCH"));
  EXPECT_EQ(Summary("m").version(), 1u) << "still there";
  request.set_version(1);
  const auto deleted = weights().DeleteModel(request);
  ASSERT_TRUE(deleted.ok()) << FormatError(deleted.status());
  EXPECT_EQ(deleted->freed_bytes(), Ramp(4).size());
  EXPECT_EQ(weights().GetModel("m").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(WaitUntil([&] { return State("next") == v1::ABORTED; }));
  Stop();
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(weights().GetModel("m").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Get("next").status().code(), StatusCode::kNotFound);
}

// ---- the state directory

TEST_F(UpdatesTest, ARestartChangesNothing) {
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

TEST_F(UpdatesTest, OneDaemonAStateDirectory) {
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  const Ended second = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("another process uses the state directory"));
  EXPECT_EQ(Update("u", Ramp(1)), 1u);
}

TEST_F(UpdatesTest, ANewerFormatIsLeftAlone) {
  const Directory state;
  WriteAll(state / "FORMAT", "bwrt state 2\n");
  const Ended refused = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("bwrt state 2"));
  EXPECT_THAT(FilesIn(state.path()), ElementsAre("FORMAT"));
  EXPECT_EQ(ReadAll(state / "FORMAT"), "bwrt state 2\n");
}

TEST_F(UpdatesTest, ADirectoryThatHoldsSomethingElseIsLeftAlone) {
  const Directory state;
  WriteAll(state / "thesis.txt", "x");
  const Ended refused = RunDaemon({"--listen=127.0.0.1:0", "--state-dir=" + state.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(FilesIn(state.path()), ElementsAre("thesis.txt"));
}

TEST_F(UpdatesTest, DamagedWeightsFallBack) {
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

}  // namespace
}  // namespace bwrt::e2e
