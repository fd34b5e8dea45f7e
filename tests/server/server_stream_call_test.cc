#include "server/rpc/server_stream_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "tests/server/rpc_fixture.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using ServerStreamTest = RpcFixture;

TEST_F(ServerStreamTest, StreamSendsAllThenTheStatus) {
  on_watch_ = [](auto stream) {
    for (uint64_t i = 0; i < 100; ++i) {
      ModelEvent event;
      event.set_version(i);
      EXPECT_TRUE(stream->Write(std::move(event)));
    }
    stream->Finish(absl::AbortedError("end"));
    EXPECT_FALSE(stream->Write({}));
    EXPECT_FALSE(stream->TryWrite({}));
  };
  Start();
  auto stub = Weights::NewStub(NewChannel());
  grpc::ClientContext context;
  auto reader = stub->WatchModel(&context, {});
  ModelEvent event;
  uint64_t count = 0;
  while (reader->Read(&event)) EXPECT_EQ(event.version(), count++);
  EXPECT_EQ(count, 100u);
  EXPECT_EQ(reader->Finish().error_code(), grpc::ABORTED);
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handled_total", "WatchModel", "ABORTED") == 1; }));
}

TEST_F(ServerStreamTest, ASlowReaderFillsTheQueueAndMakesRoom) {
  Box<std::shared_ptr<Watch>> streams;
  on_watch_ = [&](auto stream) { streams.Put(std::move(stream)); };
  Start();
  auto stub = Weights::NewStub(NewChannel());
  grpc::ClientContext context;
  auto reader = stub->WatchModel(&context, {});
  auto stream = streams.Take();
  ModelEvent big;
  big.set_label(std::string(1 << 20, 'x'));
  int sent = 0;
  ASSERT_TRUE(Eventually([&] {  // gRPC takes some before flow control stops it.
    if (stream->TryWrite(big)) ++sent;
    return stream->pending() == 4;
  }));
  std::this_thread::sleep_for(50ms);
  while (stream->TryWrite(big)) ++sent;
  EXPECT_EQ(stream->pending(), 4u);
  std::promise<void> room;
  std::atomic<bool> once{false};
  stream->OnWritten([&] {
    if (!once.exchange(true)) room.set_value();
  });
  ModelEvent event;
  ASSERT_TRUE(reader->Read(&event));
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(room.get_future().wait_for(kPatience), std::future_status::ready);
  stream->Finish(absl::OkStatus());
  int received = 2;
  while (reader->Read(&event)) ++received;
  EXPECT_EQ(received, sent);
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(ServerStreamTest, AClientThatVanishesMidStreamLeavesNothingBehind) {
  Box<std::shared_ptr<Watch>> streams;
  on_watch_ = [&](auto stream) { streams.Put(std::move(stream)); };
  Start();
  std::promise<void> cancelled;
  auto resource = std::make_shared<int>(0);
  std::weak_ptr<int> watch = resource;
  std::shared_ptr<Watch> stream;
  {
    auto stub = Weights::NewStub(NewChannel());
    grpc::ClientContext context;
    auto reader = stub->WatchModel(&context, {});
    stream = streams.Take();
    // Both callbacks hold the stream, which is a cycle until the end of the RPC breaks it.
    stream->OnCancel([&, stream, resource] { cancelled.set_value(); });
    stream->OnWritten([stream, resource] {});
    ModelEvent big;
    big.set_label(std::string(1 << 20, 'x'));
    for (int i = 0; i < 8; ++i) stream->Write(big);
    context.TryCancel();
  }
  resource = nullptr;
  EXPECT_EQ(cancelled.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(Eventually([&] { return watch.expired() && stream->pending() == 0; }));
  EXPECT_FALSE(stream->Write({}));
  stream = nullptr;  // Without Finish.
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handling_seconds", "WatchModel") == 1; }));
}

}  // namespace
}  // namespace bwrt::server
