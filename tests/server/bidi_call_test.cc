#include "server/rpc/bidi_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/rpc_fixture.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using BidiStreamTest = RpcFixture;

// Answers each request with its sequence, reading on as long as `cap` allows.
class EchoReader : public StreamReader<StreamWavesRequest> {
 public:
  explicit EchoReader(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnRead(std::shared_ptr<StreamWavesRequest> request) override {
    StreamWavesResponse response;
    response.set_sequence(request->sequence());
    kept_.push_back(std::move(request));
    EXPECT_TRUE(stream_->Write(std::move(response)));
    EXPECT_TRUE(stream_->ReadNext());
    EXPECT_FALSE(stream_->ReadNext()) << "one read at a time";
  }
  void OnReadsDone() override {
    for (size_t i = 0; i < kept_.size(); ++i) EXPECT_EQ(kept_[i]->sequence(), i);
    stream_->Finish(absl::OkStatus());
  }

 private:
  const std::shared_ptr<Stream> stream_;  // A cycle that the stream breaks.
  std::vector<std::shared_ptr<StreamWavesRequest>> kept_;
};

TEST_F(BidiStreamTest, BidiEchoes) {
  std::weak_ptr<EchoReader> weak;
  on_stream_ = [&](auto stream) {
    auto reader = std::make_shared<EchoReader>(stream);
    weak = reader;
    stream->ReadNext();
    return reader;
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto stream = stub->StreamWaves(&context);
  std::thread writer([&] {
    for (uint64_t i = 0; i < 500; ++i) {
      StreamWavesRequest request;
      request.set_sequence(i);
      EXPECT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  StreamWavesResponse response;
  uint64_t count = 0;
  while (stream->Read(&response)) EXPECT_EQ(response.sequence(), count++);
  writer.join();
  EXPECT_EQ(count, 500u);
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return weak.expired(); }));
}

TEST_F(BidiStreamTest, BidiReadsOnlyWhatWasAskedFor) {
  Box<std::shared_ptr<Stream>> streams;
  Box<std::shared_ptr<StreamWavesRequest>> reads;
  std::atomic<int> done{0};
  on_stream_ = [&](auto stream) {
    streams.Put(stream);
    return std::make_shared<ManualReader>(stream, &reads, &done);
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = stub->StreamWaves(&context);
  for (uint64_t i = 0; i < 3; ++i) {
    StreamWavesRequest request;
    request.set_sequence(i);
    ASSERT_TRUE(client->Write(request));
  }
  auto stream = streams.Take();
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(reads.size(), 0u);
  ASSERT_TRUE(stream->ReadNext());
  auto first = reads.Take();
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(reads.size(), 0u);
  ASSERT_TRUE(stream->ReadNext());
  EXPECT_EQ(reads.Take()->sequence(), 1u);
  EXPECT_EQ(first->sequence(), 0u);
  ASSERT_TRUE(stream->ReadNext());
  EXPECT_EQ(reads.Take()->sequence(), 2u);
  ASSERT_TRUE(stream->ReadNext());
  client->WritesDone();
  EXPECT_TRUE(Eventually([&] { return done == 1; }));
  EXPECT_FALSE(stream->ReadNext());
  // Half-closed: answers still go out.
  EXPECT_TRUE(stream->Write({}));
  stream->Finish(absl::OkStatus());
  StreamWavesResponse response;
  EXPECT_TRUE(client->Read(&response));
  EXPECT_FALSE(client->Read(&response));
  EXPECT_TRUE(client->Finish().ok());
}

TEST_F(BidiStreamTest, BidiClientVanishes) {
  for (const bool reading : {false, true}) {
    SCOPED_TRACE(reading);
    if (server_ == nullptr) Start();
    Box<std::shared_ptr<Stream>> streams;
    Box<std::shared_ptr<StreamWavesRequest>> reads;
    std::atomic<int> done{0};
    std::promise<void> cancelled;
    on_stream_ = [&](auto stream) {
      stream->OnCancel([&] { cancelled.set_value(); });
      if (reading) stream->ReadNext();
      streams.Put(stream);
      return std::make_shared<ManualReader>(stream, &reads, &done);
    };
    auto stub = Execution::NewStub(NewChannel());
    grpc::ClientContext context;
    auto client = stub->StreamWaves(&context);
    auto stream = streams.Take();
    context.TryCancel();
    EXPECT_EQ(cancelled.get_future().wait_for(kPatience), std::future_status::ready);
    EXPECT_TRUE(Eventually([&] { return done == (reading ? 1 : 0); }));
    EXPECT_TRUE(Eventually([&] { return !stream->ReadNext(); }));
    EXPECT_FALSE(stream->Write({}));
    client->Finish();
    std::weak_ptr<Stream> weak = stream;
    stream = nullptr;
    EXPECT_TRUE(Eventually([&] { return weak.expired(); })) << "the stream kept its reader";
    EXPECT_LE(done, 1);
  }
}

TEST_F(BidiStreamTest, BidiFinishWhileReading) {
  Box<std::shared_ptr<StreamWavesRequest>> reads;
  std::atomic<int> done{0};
  Box<std::shared_ptr<Stream>> streams;
  on_stream_ = [&](auto stream) {
    stream->ReadNext();
    streams.Put(stream);
    return std::make_shared<ManualReader>(stream, &reads, &done);
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = stub->StreamWaves(&context);
  auto stream = streams.Take();
  stream->Finish(absl::UnavailableError("draining"));
  StreamWavesResponse response;
  EXPECT_FALSE(client->Read(&response));
  EXPECT_EQ(client->Finish().error_code(), grpc::UNAVAILABLE);
  std::weak_ptr<Stream> weak = stream;
  stream = nullptr;
  EXPECT_TRUE(Eventually([&] { return weak.expired(); }));
  EXPECT_EQ(reads.size(), 0u);
}

TEST_F(BidiStreamTest, BidiDroppedByItsHandler) {
  on_stream_ = [](auto) { return nullptr; };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = stub->StreamWaves(&context);
  StreamWavesResponse response;
  EXPECT_FALSE(client->Read(&response));
  EXPECT_EQ(client->Finish().error_code(), grpc::INTERNAL);
}

TEST_F(BidiStreamTest, StreamMessageOverTheLimitEndsTheStream) {
  std::promise<void> cancelled;
  on_stream_ = [&](auto stream) {
    auto reader = std::make_shared<EchoReader>(stream);
    stream->OnCancel([&cancelled] { cancelled.set_value(); });
    stream->ReadNext();
    return reader;
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = stub->StreamWaves(&context);
  StreamWavesRequest request;
  request.mutable_wave()->set_wave_id(std::string(kMaxMessageBytes + 1, 'x'));
  client->Write(request);
  client->WritesDone();
  StreamWavesResponse response;
  EXPECT_FALSE(client->Read(&response));
  EXPECT_EQ(client->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace bwrt::server
