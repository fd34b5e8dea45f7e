#include "server/rpc/completion_loop.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/rpc_fixture.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using CompletionLoopTest = RpcFixture;

TEST_F(CompletionLoopTest, ShutdownWithCallsOpenCancelsThem) {
  Box<std::shared_ptr<Submit>> submits;
  Box<std::shared_ptr<Watch>> watches;
  Box<std::shared_ptr<Stream>> streams;
  Box<std::shared_ptr<StreamWavesRequest>> reads;
  std::atomic<int> cancelled{0};
  std::atomic<int> done{0};
  on_submit_ = [&](auto call) {
    call->OnCancel([&] { ++cancelled; });
    submits.Put(std::move(call));
  };
  on_watch_ = [&](auto stream) {
    stream->OnCancel([&] { ++cancelled; });
    stream->Write({});
    watches.Put(std::move(stream));
  };
  on_stream_ = [&](auto stream) {
    stream->OnCancel([&] { ++cancelled; });
    stream->ReadNext();
    streams.Put(stream);
    return std::make_shared<ManualReader>(stream, &reads, &done);
  };
  Start();
  auto channel = NewChannel();
  auto execution = Execution::NewStub(channel);
  auto weights = Weights::NewStub(channel);
  auto submitted = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    WaveResult result;
    return execution->SubmitWave(&context, {}, &result);
  });
  grpc::ClientContext watch_context;
  auto watcher = weights->WatchModel(&watch_context, {});
  grpc::ClientContext stream_context;
  auto client = execution->StreamWaves(&stream_context);
  auto submit = submits.Take();
  auto watch = watches.Take();
  auto stream = streams.Take();
  Shutdown(10ms);
  EXPECT_EQ(cancelled, 3);
  EXPECT_FALSE(submitted.get().ok());
  client->Finish();
  ModelEvent event;
  while (watcher->Read(&event)) {
  }
  EXPECT_FALSE(watcher->Finish().ok());
  // The handlers outlive the queue, and even the server; what they do now must be harmless.
  loop_.reset();
  server_.reset();
  submit->Finish(absl::OkStatus());
  EXPECT_FALSE(watch->Write({}));
  watch = nullptr;
  EXPECT_FALSE(stream->ReadNext());
  EXPECT_FALSE(stream->TryWrite({}));
  stream->Finish(absl::OkStatus());
}

TEST_F(CompletionLoopTest, ShutdownWaitsForAnswersWithinTheGrace) {
  Box<std::shared_ptr<Submit>> calls;
  on_submit_ = [&](auto call) { calls.Put(std::move(call)); };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  auto client = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    WaveResult result;
    return stub->SubmitWave(&context, {}, &result);
  });
  auto call = calls.Take();
  std::thread worker([&] {
    std::this_thread::sleep_for(50ms);
    call->Finish(absl::OkStatus());
    call = nullptr;
  });
  Shutdown(kPatience);
  EXPECT_TRUE(client.get().ok());
  worker.join();
}

TEST_F(CompletionLoopTest, ShutdownFindsACallThatTheLoopHasNotSeen) {
  // gRPC starts an operation of its own when the loop takes a new call out of the queue, and aborts if the queue
  // has been shut down by then.
  std::atomic<int> handled{0};
  std::promise<void> release;
  auto released = release.get_future().share();
  on_submit_ = [&](auto call) {
    ++handled;
    released.wait();
    call->Finish(absl::OkStatus());
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  std::vector<std::thread> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back([&] {
      grpc::ClientContext context;
      WaveResult result;
      EXPECT_FALSE(stub->SubmitWave(&context, {}, &result).ok());
    });
  }
  ASSERT_TRUE(Eventually([&] { return handled == 1; }));
  std::this_thread::sleep_for(50ms);  // The other call waits in the queue.
  std::thread releaser([&] {
    std::this_thread::sleep_for(200ms);
    release.set_value();
  });
  Shutdown(0ms);
  releaser.join();
  for (auto& client : clients) client.join();
  EXPECT_EQ(handled, 2);
}

TEST_F(CompletionLoopTest, AnswersRaceWithShutdown) {
  // Workers answer, write and drop while clients cancel and the server goes down.
  for (int round = 0; round < 10; ++round) {
    Box<std::shared_ptr<Submit>> submits;
    Box<std::shared_ptr<Watch>> watches;
    on_submit_ = [&](auto call) { submits.Put(std::move(call)); };
    on_watch_ = [&](auto stream) { watches.Put(std::move(stream)); };
    down_ = false;
    Start();
    auto channel = NewChannel();
    constexpr int kClients = 8;
    std::vector<std::thread> clients;
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    for (int i = 0; i < 2 * kClients; ++i) contexts.push_back(std::make_unique<grpc::ClientContext>());
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&, i] {
        WaveResult result;
        Execution::NewStub(channel)->SubmitWave(contexts[i].get(), {}, &result);
      });
      clients.emplace_back([&, i] {
        auto reader = Weights::NewStub(channel)->WatchModel(contexts[kClients + i].get(), {});
        ModelEvent event;
        while (reader->Read(&event)) {
        }
        reader->Finish();
      });
    }
    ASSERT_TRUE(Eventually([&] { return submits.size() == kClients && watches.size() == kClients; }));
    std::thread worker([&] {
      for (int i = 0; i < kClients; ++i) {
        auto submit = submits.Take();
        auto watch = watches.Take();
        for (int w = 0; w < 20; ++w) watch->Write({});
        if (i % 2 == 0) submit->Finish(absl::OkStatus());
        if (i % 3 != 0) watch->Finish(absl::OkStatus());
      }
    });
    std::thread canceller([&] {
      for (auto& context : contexts) context->TryCancel();
    });
    Shutdown(0ms);
    worker.join();
    canceller.join();
    for (auto& client : clients) client.join();
    loop_.reset();
    server_.reset();
  }
}

}  // namespace
}  // namespace bwrt::server
