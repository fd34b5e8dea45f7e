#include "client/client.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "client/dtype.h"
#include "client/status.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

v1::SubmitWaveRequest Wave(const std::string& model) {
  v1::SubmitWaveRequest request;
  request.set_model(model);
  request.mutable_spec()->set_bm(2);
  request.mutable_spec()->set_bn(2);
  request.mutable_spec()->set_bk(2);
  request.set_m(2);
  request.set_n(2);
  request.set_k(2);
  for (const float value : {1.0f, 2.0f, 3.0f, 4.0f}) {
    AppendElement(F32, value, request.mutable_a()->mutable_inline_());
    AppendElement(F32, value + 4, request.mutable_w()->mutable_inline_());
  }
  return request;
}

class ClientTest : public testing::Test {
 protected:
  ClientTest() : client_(*Client::Connect(daemon_.address())) {}

  // A cancelled call that the daemon has not begun never reaches it: tests wait here before they
  // cancel.
  void WaitUntilHanging() {
    WaitUntil([this] { return daemon_.hanging() > 0; });
  }
  void WaitUntilCancelled() {
    WaitUntil([this] { return daemon_.cancelled() > 0; });
  }

  template <class Condition>
  static void WaitUntil(Condition condition) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (!condition() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_TRUE(condition());
  }

  FakeDaemon daemon_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, RunsAWave) {
  const auto result = client_->SubmitWave(Wave("default"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*DecodeElements(F32, result->c()), (std::vector<double>{19, 22, 43, 50}));
  EXPECT_EQ(result->version(), 1u);
}

TEST_F(ClientTest, MakesEveryUnaryCall) {
  EXPECT_TRUE(client_->ValidateWave(Wave("default")).ok());
  EXPECT_EQ(client_->GetCapabilities()->build().version(), "1.2.3");
  EXPECT_EQ(client_->ListModels()->models(0).name(), "default");
  EXPECT_EQ(client_->GetModel("m")->summary().name(), "m");
  EXPECT_EQ(client_->Sample()->waves(), 3u);
  EXPECT_EQ(client_->CheckHealth()->status(), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(client_->CheckHealth("none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(client_->CancelWave("started")->had_started());
  EXPECT_FALSE(client_->CancelWave(v1::CancelWaveRequest()).ok());
  EXPECT_EQ(client_->SetWeights(v1::SetWeightsRequest())->version(), 7u);
}

TEST_F(ClientTest, MakesEveryCallOfAnUpdate) {
  v1::BeginUpdateRequest begin;
  begin.set_model("m");
  begin.set_update_id("u");
  ASSERT_EQ(client_->BeginUpdate(begin)->state(), v1::OPEN);
  const auto stream = client_->StageWeights();
  v1::StageWeightsRequest request;
  request.set_update_id("u");
  request.mutable_declare()->mutable_tensor()->set_name("w");
  request.mutable_declare()->mutable_tensor()->set_dtype(U8);
  request.mutable_declare()->mutable_tensor()->add_shape(3);
  EXPECT_TRUE(stream->Write(request));
  request.mutable_chunk()->set_tensor("w");
  request.mutable_chunk()->set_data("abc");
  EXPECT_TRUE(stream->Write(request));
  EXPECT_EQ(stream->Finish()->bytes(), 3u);
  EXPECT_EQ(client_->GetUpdate("u")->info().received_bytes(), 3u);
  EXPECT_EQ(client_->ListUpdates()->updates_size(), 1);
  EXPECT_EQ(client_->Precommit("u")->info().state(), v1::PREPARED);
  v1::CommitRequest commit;
  commit.add_update_ids("u");
  EXPECT_EQ(client_->Commit(commit)->updates(0).version(), 1u);
  EXPECT_EQ(client_->Abort("u").status().code(), absl::StatusCode::kFailedPrecondition);
  v1::RollbackRequest rollback;
  rollback.set_model("m");
  rollback.set_version(1);
  EXPECT_EQ(client_->Rollback(rollback)->swap().version(), 2u);
  v1::ReadTensorRequest read;
  read.set_model("m");
  read.set_tensor("w");
  read.set_bytes(2);
  EXPECT_EQ(client_->ReadTensor(read)->data(), "ab");
  v1::DeleteModelRequest remove;
  remove.set_model("m");
  EXPECT_EQ(client_->DeleteModel(remove)->freed_bytes(), 3u);
}

TEST_F(ClientTest, LoadsAFileWithProgress) {
  v1::BeginUpdateRequest begin;
  begin.set_update_id("u");
  ASSERT_TRUE(client_->BeginUpdate(begin).ok());
  v1::LoadFileRequest request;
  request.set_update_id("u");
  request.set_path("model.safetensors");
  const auto load = client_->LoadFile(request);
  EXPECT_FALSE((**load->Next()).done());
  EXPECT_TRUE((**load->Next()).done());
  EXPECT_FALSE(load->Next()->has_value());
}

TEST_F(ClientTest, AStageStreamCanBeLeftOrCancelled) {
  v1::BeginUpdateRequest begin;
  begin.set_update_id("u");
  ASSERT_TRUE(client_->BeginUpdate(begin).ok());
  client_->StageWeights();  // Destroyed at once.
  const auto stream = client_->StageWeights();
  stream->Cancel();
  EXPECT_EQ(stream->Finish().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, ErrorsCarryTheirDetails) {
  const auto result = client_->SubmitWave(Wave(kRefuses));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  const ErrorDetails details = DetailsOf(result.status());
  EXPECT_EQ(details.reason, "INVALID_WAVE");
  ASSERT_EQ(details.field_violations.size(), 2u);
  EXPECT_EQ(details.field_violations[1].field, "m");
}

TEST_F(ClientTest, DeadlineEndsACall) {
  const auto result = client_->SubmitWave(Wave(kHangs), {.timeout = absl::Milliseconds(50)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, DefaultDeadlineEndsACall) {
  auto client = Client::Connect(daemon_.address(), {.default_timeout = absl::Milliseconds(50)});
  ASSERT_TRUE(client.ok());
  EXPECT_EQ((*client)->SubmitWave(Wave(kHangs)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, AWaitForTheWindowLengthensTheDefaultDeadline) {
  v1::SetWeightsRequest request;
  EXPECT_NEAR(client_->SetWeights(request)->waited_seconds(), 30, 2);
  request.set_policy(v1::WAIT_FOR_WINDOW);
  EXPECT_NEAR(client_->SetWeights(request)->waited_seconds(), 60, 2);
  request.mutable_wait_timeout()->set_seconds(100);
  EXPECT_NEAR(client_->SetWeights(request)->waited_seconds(), 130, 2);
  EXPECT_NEAR(client_->SetWeights(request, {.timeout = absl::Seconds(5)})->waited_seconds(), 5, 2);
}

TEST_F(ClientTest, AHandleCancelsFromAnotherThread) {
  CallHandle handle;
  std::thread canceller([&] {
    WaitUntilHanging();
    handle.Cancel();
  });
  const auto result = client_->SubmitWave(Wave(kHangs), {.handle = &handle});
  canceller.join();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  WaitUntilCancelled();
}

TEST_F(ClientTest, AHandleCancelledBeforehandIsSticky) {
  CallHandle handle;
  handle.Cancel();
  EXPECT_EQ(client_->SubmitWave(Wave(kHangs), {.handle = &handle}).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, StreamsPairBySequence) {
  const auto stream = client_->StreamWaves();
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) {
      v1::StreamWavesRequest request;
      request.set_sequence(100 + i);
      *request.mutable_wave() = Wave(i == 7 ? kRefuses : "default");
      EXPECT_TRUE(stream->Write(request));
    }
    EXPECT_TRUE(stream->WritesDone());
  });
  std::set<uint64_t> sequences;
  while (const auto response = stream->Read()) {
    sequences.insert(response->sequence());
    EXPECT_EQ(response->has_error(), response->sequence() == 107);
    if (response->has_error()) {
      EXPECT_EQ(DetailsOf(FromRpcStatus(response->error())).field_violations.size(), 2u);
    }
  }
  writer.join();
  EXPECT_EQ(sequences.size(), 20u);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ClientTest, AStreamCanBeCancelled) {
  const auto stream = client_->StreamWaves();
  v1::StreamWavesRequest request;
  *request.mutable_wave() = Wave(kHangs);
  EXPECT_TRUE(stream->Write(request));
  WaitUntilHanging();
  stream->Cancel();
  EXPECT_FALSE(stream->Read().has_value());
  EXPECT_EQ(stream->Finish().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, DroppingAStreamCancelsIt) {
  {
    const auto stream = client_->StreamWaves();
    v1::StreamWavesRequest request;
    *request.mutable_wave() = Wave(kHangs);
    EXPECT_TRUE(stream->Write(request));
    WaitUntilHanging();
  }
  WaitUntilCancelled();
}

TEST_F(ClientTest, AWatchEndsInOrder) {
  const auto watch = client_->WatchModel("m");
  EXPECT_EQ((*watch->Next())->kind(), v1::ModelEvent::SNAPSHOT);
  EXPECT_EQ((*watch->Next())->kind(), v1::ModelEvent::VERSION);
  for (int i = 0; i < 2; ++i) {
    const auto end = watch->Next();
    ASSERT_TRUE(end.ok());
    EXPECT_FALSE(end->has_value());
  }
}

TEST_F(ClientTest, AWatchReportsItsError) {
  const auto watch = client_->WatchModel(kDrains);
  EXPECT_TRUE(watch->Next().ok());
  EXPECT_TRUE(watch->Next().ok());
  EXPECT_EQ(DetailsOf(watch->Next().status()).reason, "DRAINING");
  EXPECT_EQ(watch->Next().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, CancellingAWatchEndsItInOrder) {
  const auto watch = client_->WatchModel(kHangs);
  EXPECT_TRUE(watch->Next().ok());
  EXPECT_TRUE(watch->Next().ok());
  std::thread canceller([&] {
    WaitUntilHanging();
    watch->Cancel();
  });
  const auto end = watch->Next();
  canceller.join();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value());
}

TEST_F(ClientTest, DroppingAWatchCancelsIt) {
  {
    const auto watch = client_->WatchModel(kHangs);
    WaitUntilHanging();
  }
  WaitUntilCancelled();
}

TEST_F(ClientTest, WatchesSamples) {
  const auto watch = client_->WatchSamples();
  EXPECT_EQ((*watch->Next())->waves(), 3u);
}

TEST_F(ClientTest, ClientsHaveTheirOwnIds) {
  const auto other = *Client::Connect(daemon_.address());
  EXPECT_EQ(client_->client_id().size(), 32u);
  EXPECT_NE(client_->client_id(), other->client_id());
  EXPECT_EQ((*Client::Connect(daemon_.address(), {.client_id = "mine"}))->client_id(), "mine");
}

TEST_F(ClientTest, IsThreadSafe) {
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) EXPECT_TRUE(client_->SubmitWave(Wave("default")).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Connect, FailsAtOnceWhereNobodyListens) {
  const absl::Time start = absl::Now();
  const auto client = Client::Connect("unix:none.sock");
  EXPECT_TRUE(IsUnreachable(client.status())) << client.status();
  EXPECT_TRUE(absl::StrContains(client.status().message(), "none.sock"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
}

TEST(Connect, RefusesWhatIsNoAddress) {
  EXPECT_EQ(Client::Connect("nonsense").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Client, ReportsADaemonThatWentAway) {
  auto daemon = std::make_unique<FakeDaemon>();
  const auto client = *Client::Connect(daemon->address());
  daemon.reset();
  EXPECT_TRUE(IsUnreachable(client->GetCapabilities().status()));
}

}  // namespace
}  // namespace bwrt::client
