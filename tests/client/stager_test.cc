#include "client/stager.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/file.h"
#include "client/status.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

std::string Bytes(size_t count, char first) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(first + 7 * i);
  return bytes;
}

v1::TensorManifest Manifest(const std::string& name, size_t bytes) {
  v1::TensorManifest manifest;
  manifest.set_name(name);
  manifest.set_dtype(U8);
  manifest.add_shape(static_cast<int64_t>(bytes));
  return manifest;
}

class StagerTest : public testing::Test {
 protected:
  StagerTest() : client_(*Client::Connect(daemon_.address())) {
    options_.chunk_bytes = 10;
    options_.retry_delay = absl::Nanoseconds(1);
  }

  // With tensors "v" of 25 bytes and "w" of 40.
  void Begin() {
    v1::BeginUpdateRequest request;
    request.set_update_id("u");
    *request.add_tensors() = Manifest("v", v_.size());
    *request.add_tensors() = Manifest("w", w_.size());
    ASSERT_TRUE(client_->BeginUpdate(request).ok());
  }

  Stager MakeStager() {
    Stager stager(*client_, "u", options_);
    stager.Add("v", 0, FromMemory(v_));
    stager.Add("w", 0, FromMemory(w_));
    return stager;
  }

  std::string ReadBack(const std::string& tensor) {
    v1::ReadTensorRequest request;
    request.set_update_id("u");
    request.set_tensor(tensor);
    request.set_bytes(1000);
    const auto response = client_->ReadTensor(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->data() : "";
  }

  // "tensor offset bytes" of each chunk that the daemon took.
  std::vector<std::string> Taken() {
    std::vector<std::string> taken;
    for (const StagedChunk& chunk : daemon_.staged()) {
      taken.push_back(absl::StrCat(chunk.tensor, " ", chunk.offset, " ", chunk.bytes));
    }
    return taken;
  }

  const std::string v_ = Bytes(25, 'v');
  const std::string w_ = Bytes(40, 'w');
  const std::vector<std::string> all_ = {"v 0 10", "v 10 10", "v 20 5", "w 0 10", "w 10 10", "w 20 10", "w 30 10"};
  StagerOptions options_;
  FakeDaemon daemon_;
  std::unique_ptr<Client> client_;
};

TEST_F(StagerTest, BringsEveryShardInChunks) {
  Begin();
  std::vector<std::pair<uint64_t, uint64_t>> progress;
  options_.on_progress = [&progress](uint64_t done, uint64_t total) { progress.push_back({done, total}); };
  const auto result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Taken(), all_);
  EXPECT_EQ(result->chunks, 7u);
  EXPECT_EQ(result->bytes, 65u);
  EXPECT_EQ(result->retries, 0);
  EXPECT_EQ(result->info.received_bytes(), 65u);
  EXPECT_EQ(ReadBack("v"), v_);
  EXPECT_EQ(ReadBack("w"), w_);
  ASSERT_EQ(progress.size(), 8u);
  EXPECT_EQ(progress[0], std::make_pair(uint64_t{0}, uint64_t{65}));
  EXPECT_EQ(progress[3], std::make_pair(uint64_t{25}, uint64_t{65}));
  EXPECT_EQ(progress[7], std::make_pair(uint64_t{65}, uint64_t{65}));
}

TEST_F(StagerTest, SendsOnlyWhatABrokenStreamLost) {
  Begin();
  daemon_.BreakStages(/*streams=*/2, /*chunks=*/2);
  const auto result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->retries, 2);
  // Each chunk was taken once.
  EXPECT_EQ(Taken(), all_);
  EXPECT_EQ(ReadBack("w"), w_);
}

TEST_F(StagerTest, ResumesAStreamThatWasEndedForItsIdleness) {
  Begin();
  daemon_.BreakStages(/*streams=*/2, /*chunks=*/3, /*idle=*/true);
  const auto result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->retries, 2);
  EXPECT_EQ(Taken(), all_);
}

TEST_F(StagerTest, GivesUpWhenRetriesBringNothing) {
  Begin();
  options_.max_retries = 2;
  daemon_.BreakStages(/*streams=*/100, /*chunks=*/0);
  const auto result = MakeStager().Run();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Taken().empty());
  // Three streams broke, and the other 97 are still to come.
  daemon_.BreakStages(0, 0);
  EXPECT_TRUE(MakeStager().Run().ok());
}

TEST_F(StagerTest, RetriesThatBringSomethingAreNotCounted) {
  Begin();
  options_.max_retries = 1;
  daemon_.BreakStages(/*streams=*/6, /*chunks=*/1);
  const auto result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->retries, 6);
  EXPECT_EQ(Taken(), all_);
}

TEST_F(StagerTest, AConflictStops) {
  Begin();
  ASSERT_TRUE(MakeStager().Run().ok());
  Stager other(*client_, "u", options_);
  const std::string bytes = Bytes(40, 'x');
  other.Add("w", 0, FromMemory(bytes));
  const auto result = other.Run();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailsOf(result.status()).reason, "CHUNK_CONFLICT");
  EXPECT_EQ(Taken(), all_);
}

TEST_F(StagerTest, AnUnknownUpdateStops) {
  const auto result = MakeStager().Run();
  EXPECT_EQ(DetailsOf(result.status()).reason, "UPDATE_NOT_FOUND");
}

TEST_F(StagerTest, OnlyMissingSkipsWhatIsThere) {
  Begin();
  options_.max_retries = 0;
  daemon_.BreakStages(/*streams=*/1, /*chunks=*/4);
  EXPECT_FALSE(MakeStager().Run().ok());
  EXPECT_EQ(Taken().size(), 4u);
  options_.only_missing = true;
  auto result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->bytes, 30u);
  EXPECT_EQ(Taken(), all_);
  result = MakeStager().Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks, 0u);
  EXPECT_EQ(result->info.received_bytes(), 65u);
}

TEST_F(StagerTest, FindsMoreHolesThanOneAnswerLists) {
  const std::string bytes = Bytes(1001, 'h');
  v1::BeginUpdateRequest begin;
  begin.set_update_id("u");
  *begin.add_tensors() = Manifest("h", bytes.size());
  ASSERT_TRUE(client_->BeginUpdate(begin).ok());
  // Every second run of five bytes.
  const auto stream = client_->StageWeights();
  v1::StageWeightsRequest request;
  request.set_update_id("u");
  request.mutable_chunk()->set_tensor("h");
  for (size_t offset = 5; offset < bytes.size(); offset += 10) {
    request.mutable_chunk()->set_offset(offset);
    request.mutable_chunk()->set_data(bytes.substr(offset, 5));
    ASSERT_TRUE(stream->Write(request));
  }
  ASSERT_TRUE(stream->Finish().ok());
  options_.only_missing = true;
  Stager stager(*client_, "u", options_);
  stager.Add("h", 0, FromMemory(bytes));
  const auto result = stager.Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks, 101u);
  EXPECT_EQ(result->bytes, 501u);
  EXPECT_EQ(ReadBack("h").size(), 1000u);  // The most that the fake reads at a time.
  EXPECT_EQ(client_->GetUpdate("u")->missing_shards(), 0u);
}

TEST_F(StagerTest, DeclaresBeforeItSends) {
  v1::BeginUpdateRequest begin;
  begin.set_update_id("u");
  ASSERT_TRUE(client_->BeginUpdate(begin).ok());
  // The first stream of chunks breaks before it brings one: what was declared must not look complete.
  daemon_.BreakStages(/*streams=*/1, /*chunks=*/0);
  const std::string path = testing::TempDir() + "shards.bin";
  ASSERT_TRUE(WriteFile(path, v_ + w_).ok());
  Stager stager(*client_, "u", options_);
  v1::TensorManifest manifest = Manifest("x", v_.size() + w_.size());
  std::shared_ptr<const ByteSource> first = *FromFile(path, 0, v_.size());
  std::shared_ptr<const ByteSource> second = *FromFile(path, v_.size());
  *manifest.add_shards() = *DescribeShard(*first, 0, DigestKind::kXxh3);
  *manifest.add_shards() = *DescribeShard(*second, 1, DigestKind::kSha256);
  stager.Declare(manifest);
  stager.Add("x", 1, second);
  stager.Add("x", 0, first);
  const auto result = stager.Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(ReadBack("x"), v_ + w_);
  EXPECT_TRUE(client_->Precommit("u").ok());
}

TEST_F(StagerTest, NothingToBringIsNoError) {
  const auto result = Stager(*client_, "u", options_).Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->bytes, 0u);
}

TEST_F(StagerTest, ASourceThatFailsEndsTheRun) {
  Begin();
  const std::string path = testing::TempDir() + "shrinks.bin";
  ASSERT_TRUE(WriteFile(path, v_).ok());
  Stager stager(*client_, "u", options_);
  stager.Add("v", 0, *FromFile(path));
  ASSERT_TRUE(WriteFile(path, "short").ok());
  EXPECT_EQ(stager.Run().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StagerTest, AHandleCancelsIt) {
  Begin();
  CallHandle handle;
  handle.Cancel();
  options_.handle = &handle;
  EXPECT_EQ(MakeStager().Run().status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace bwrt::client
