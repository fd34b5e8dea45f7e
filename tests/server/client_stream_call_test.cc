#include "server/rpc/client_stream_call.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/rpc_fixture.h"
#include "tests/support/manual_clock.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using v1::StageWeightsRequest;
using v1::StageWeightsResponse;
using Stage = ClientStream<StageWeightsRequest, StageWeightsResponse>;
using Came = Stage::Came;

class ClientStreamTest : public RpcFixture {
 protected:
  ~ClientStreamTest() override { Shutdown(0ms); }

  void Serve(Stage::Handler handler, bool with_metrics = true) {
    Start(with_metrics);
    ServeClientStream(loop_.get(), weights_.get(), &Weights::AsyncService::RequestStageWeights, {&clock_, 60s},
                      std::move(handler));
    stub_ = Weights::NewStub(NewChannel());
  }
  static StageWeightsRequest Named(const std::string& id) {
    StageWeightsRequest request;
    request.set_update_id(id);
    return request;
  }

  // One client's stream.
  struct Client {
    explicit Client(Weights::Stub& stub) : stream(stub.StageWeights(&context, &response)) {}
    grpc::Status End() {
      stream->WritesDone();
      return stream->Finish();
    }
    grpc::ClientContext context;
    StageWeightsResponse response;
    std::unique_ptr<grpc::ClientWriter<StageWeightsRequest>> stream;
  };

  runtime::ManualClock clock_;
  std::unique_ptr<Weights::Stub> stub_;
};

// Counts the requests.
absl::Status Count(Stage& stream, StageWeightsResponse* response) {
  Came came = stream.Read();
  for (; came == Came::kRequest; came = stream.Read()) {
    response->set_chunks(response->chunks() + 1);
    response->set_bytes(response->bytes() + stream.request().update_id().size());
  }
  return came == Came::kEnd ? absl::OkStatus() : absl::DeadlineExceededError("idle");
}

TEST_F(ClientStreamTest, RequestsAreReadInOrderAndAnsweredOnce) {
  Serve(Count);
  for (int round = 0; round < 3; ++round) {
    Client client(*stub_);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(client.stream->Write(Named(std::string(1000, 'x'))));
    ASSERT_TRUE(client.End().ok());
    EXPECT_EQ(client.response.chunks(), 100u);
    EXPECT_EQ(client.response.bytes(), 100'000u);
  }
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handled_total", "StageWeights", "OK") == 3; }));
  EXPECT_TRUE(Eventually([&] { return clock_.alarms() == 0; })) << "nothing is left behind";
}

TEST_F(ClientStreamTest, WithoutInterceptorsToo) {
  Serve(Count, /*with_metrics=*/false);
  Client client(*stub_);
  ASSERT_TRUE(client.stream->Write(Named("a")));
  ASSERT_TRUE(client.End().ok());
  EXPECT_EQ(client.response.chunks(), 1u);
}

TEST_F(ClientStreamTest, AnErrorReachesAClientThatIsStillWriting) {
  Serve([](Stage& stream, StageWeightsResponse*) -> absl::Status {
    EXPECT_EQ(stream.Read(), Came::kRequest);
    return absl::ResourceExhaustedError("full");
  });
  Client client(*stub_);
  while (client.stream->Write(Named(std::string(10'000, 'x')))) {
  }
  const grpc::Status status = client.stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "full");
}

TEST_F(ClientStreamTest, AClientThatSendsNothingIsToldSo) {
  Box<std::string> read;
  Serve([&](Stage& stream, StageWeightsResponse* response) {
    EXPECT_EQ(stream.Read(), Came::kRequest);
    read.Put(stream.request().update_id());
    return Count(stream, response);
  });
  Client client(*stub_);
  ASSERT_TRUE(client.stream->Write(Named("a")));
  EXPECT_EQ(read.Take(), "a");
  // Whether the thread has come to wait again or does so only now, it has waited long enough in the end.
  auto status = std::async(std::launch::async, [&] { return client.stream->Finish(); });
  while (status.wait_for(1ms) != std::future_status::ready) clock_.Advance(10s);
  EXPECT_EQ(status.get().error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(
      Eventually([&] { return Counter("grpc_server_handled_total", "StageWeights", "DEADLINE_EXCEEDED") == 1; }));
}

TEST_F(ClientStreamTest, SoIsOneThatNeverSentAnything) {
  Serve(Count);
  Client client(*stub_);
  clock_.AwaitAlarms(1);
  clock_.Advance(59s);
  ASSERT_TRUE(client.stream->Write(Named("a"))) << "just in time";
  clock_.Advance(1s);
  auto status = std::async(std::launch::async, [&] { return client.stream->Finish(); });
  while (status.wait_for(1ms) != std::future_status::ready) clock_.Advance(10s);
  EXPECT_EQ(status.get().error_code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(ClientStreamTest, WorkIsNoIdleness) {
  Box<std::string> read;
  Box<bool> go_on;
  Serve([&](Stage& stream, StageWeightsResponse* response) -> absl::Status {
    while (stream.Read() == Came::kRequest) {
      response->set_chunks(response->chunks() + 1);
      read.Put(stream.request().update_id());
      go_on.Take();
    }
    return absl::OkStatus();
  });
  Client client(*stub_);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(client.stream->Write(Named("a")));
    read.Take();
    clock_.Advance(1000s);  // All of it spent on the request.
    go_on.Put(true);
  }
  ASSERT_TRUE(client.End().ok());
  EXPECT_EQ(client.response.chunks(), 5u);
}

TEST_F(ClientStreamTest, AClientThatVanishesEndsTheStream) {
  Box<Came> ends;
  Serve([&](Stage& stream, StageWeightsResponse*) {
    Came came = stream.Read();
    while (came == Came::kRequest) came = stream.Read();
    ends.Put(came);
    return absl::OkStatus();
  });
  {
    Client client(*stub_);
    ASSERT_TRUE(client.stream->Write(Named("a")));
    client.context.TryCancel();
    EXPECT_EQ(client.stream->Finish().error_code(), grpc::CANCELLED);
  }
  EXPECT_EQ(ends.Take(), Came::kEnd);
}

TEST_F(ClientStreamTest, NobodyWaitsBehindAStreamThatBlocks) {
  Box<bool> go_on;
  Serve([&](Stage& stream, StageWeightsResponse* response) {
    go_on.Take();
    return Count(stream, response);
  });
  constexpr int kStreams = 8;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(*stub_));
    ASSERT_TRUE(clients.back()->stream->Write(Named("a")));
  }
  auto waves = Execution::NewStub(NewChannel());
  for (int i = 0; i < 10; ++i) {
    grpc::ClientContext context;
    WaveResult result;
    EXPECT_TRUE(waves->SubmitWave(&context, {}, &result).ok());
  }
  for (int i = 0; i < kStreams; ++i) go_on.Put(true);
  for (const auto& client : clients) {
    EXPECT_TRUE(client->End().ok());
    EXPECT_EQ(client->response.chunks(), 1u);
  }
}

TEST_F(ClientStreamTest, ShutdownEndsWhatIsOpen) {
  std::atomic<int> ended{0};
  Serve([&](Stage& stream, StageWeightsResponse* response) {
    const absl::Status status = Count(stream, response);
    ++ended;
    return status;
  });
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(*stub_));
    ASSERT_TRUE(clients.back()->stream->Write(Named("a")));
  }
  clock_.AwaitAlarms(4);
  Shutdown(0ms);
  EXPECT_EQ(ended, 4) << "no thread outlives the loop";
  EXPECT_EQ(clock_.alarms(), 0u);
  for (const auto& client : clients) EXPECT_FALSE(client->stream->Finish().ok());
}

// Idleness, requests, cancellation and shutdown, in whatever order they come.
TEST_F(ClientStreamTest, EndsRace) {
  Serve(Count);
  std::atomic<bool> stop{false};
  std::thread time([&] {
    while (!stop) clock_.Advance(30s);
  });
  std::vector<std::thread> clients;
  std::atomic<int> ended{0};
  for (int t = 0; t < 3; ++t) {
    clients.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        Client client(*stub_);
        for (int writes = 0; writes < i % 4; ++writes) client.stream->Write(Named("a"));
        if ((i + t) % 3 == 0) client.context.TryCancel();
        if ((i + t) % 3 == 1) client.stream->WritesDone();
        const auto code = client.stream->Finish().error_code();
        EXPECT_TRUE(code == grpc::OK || code == grpc::DEADLINE_EXCEEDED || code == grpc::CANCELLED) << code;
        ++ended;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(ended, 300);
  stop = true;
  time.join();
  Shutdown(0ms);
  EXPECT_EQ(clock_.alarms(), 0u);
}

}  // namespace
}  // namespace bwrt::server
