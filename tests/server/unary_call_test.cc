#include "server/rpc/unary_call.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "server/status.h"
#include "tests/server/rpc_fixture.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using UnaryCallTest = RpcFixture;

TEST_F(UnaryCallTest, UnaryAnswers) {
  Start();
  auto stub = Execution::NewStub(NewChannel());
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    SubmitWaveRequest request;
    request.set_wave_id("w" + std::to_string(i));
    WaveResult result;
    ASSERT_TRUE(stub->SubmitWave(&context, request, &result).ok());
    EXPECT_EQ(result.c(), request.wave_id());
  }
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handled_total", "SubmitWave", "OK") == 3; }));
  EXPECT_EQ(Counter("grpc_server_started_total", "SubmitWave"), 3);
  EXPECT_EQ(Counter("grpc_server_handling_seconds", "SubmitWave"), 3);
}

TEST_F(UnaryCallTest, UnaryAnswersFromAnotherThreadOnce) {
  Box<std::shared_ptr<Submit>> calls;
  on_submit_ = [&](auto call) { calls.Put(std::move(call)); };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  auto client = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    WaveResult result;
    grpc::Status status = stub->SubmitWave(&context, {}, &result);
    EXPECT_EQ(result.version(), 7u);
    return status;
  });
  auto call = calls.Take();
  EXPECT_EQ(call->deadline(), std::nullopt);
  EXPECT_EQ(call->peer().rfind("unix:", 0), 0u) << call->peer();
  bool cancelled = false;
  call->OnCancel([&] { cancelled = true; });
  call->response()->set_version(7);
  call->Finish(absl::OkStatus());
  call->Finish(absl::InternalError("ignored"));
  EXPECT_TRUE(client.get().ok());
  call->OnCancel([&] { cancelled = true; });
  Shutdown(kPatience);
  EXPECT_FALSE(cancelled);
}

TEST_F(UnaryCallTest, FinishReleasesTheCancelCallback) {
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
  auto resource = std::make_shared<int>(0);
  call->OnCancel([call, resource] {});  // Even one that holds the call itself.
  EXPECT_EQ(resource.use_count(), 2);
  call->Finish(absl::OkStatus());
  EXPECT_EQ(resource.use_count(), 1);
  EXPECT_TRUE(client.get().ok());
}

TEST_F(UnaryCallTest, DeadlineIsKnownAndCancels) {
  Box<std::shared_ptr<Submit>> calls;
  on_submit_ = [&](auto call) { calls.Put(std::move(call)); };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  const auto start = std::chrono::steady_clock::now();
  auto client = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 500ms);
    WaveResult result;
    return stub->SubmitWave(&context, {}, &result);
  });
  auto call = calls.Take();
  std::promise<void> cancelled;
  call->OnCancel([&] { cancelled.set_value(); });
  ASSERT_TRUE(call->deadline().has_value());
  EXPECT_GT(*call->deadline(), start);
  EXPECT_LT(*call->deadline(), start + 10s);
  EXPECT_EQ(cancelled.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(client.get().error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(call->cancelled());
  bool at_once = false;
  call->OnCancel([&] { at_once = true; });
  EXPECT_TRUE(at_once);
  // An answer that comes too late goes nowhere, and its code is the one that is counted.
  call->Finish(absl::DeadlineExceededError("late"));
  call = nullptr;
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handled_total", "SubmitWave", "DEADLINE_EXCEEDED") == 1; }));
}

TEST_F(UnaryCallTest, CancelledWithoutAnAnswerCountsAsCancelled) {
  Box<std::shared_ptr<Submit>> calls;
  on_submit_ = [&](auto call) { calls.Put(std::move(call)); };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = std::async(std::launch::async, [&] {
    WaveResult result;
    return stub->SubmitWave(&context, {}, &result);
  });
  auto call = calls.Take();
  std::promise<void> cancelled;
  call->OnCancel([&] { cancelled.set_value(); });
  context.TryCancel();
  EXPECT_EQ(cancelled.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(client.get().error_code(), grpc::CANCELLED);
  Shutdown(0ms);
  call = nullptr;  // Too late to send anything: the interceptor dies without having seen a status.
  EXPECT_EQ(Counter("grpc_server_handled_total", "SubmitWave", "CANCELLED"), 1);
  EXPECT_EQ(Counter("grpc_server_handling_seconds", "SubmitWave"), 1);
}

TEST_F(UnaryCallTest, DroppedCallIsAnInternalError) {
  on_submit_ = [](auto) {};
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  WaveResult result;
  EXPECT_EQ(stub->SubmitWave(&context, {}, &result).error_code(), grpc::INTERNAL);
}

TEST_F(UnaryCallTest, AThousandCallsAtOnce) {
  constexpr int kCalls = 1000;
  std::mutex mu;
  std::vector<std::shared_ptr<Submit>> calls;
  on_submit_ = [&](auto call) {
    std::lock_guard lock(mu);
    calls.push_back(std::move(call));
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::CompletionQueue queue;
  struct Pending {
    grpc::ClientContext context;
    WaveResult result;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<WaveResult>> reader;
  };
  std::vector<std::unique_ptr<Pending>> pending;
  for (int i = 0; i < kCalls; ++i) {
    auto& p = *pending.emplace_back(std::make_unique<Pending>());
    SubmitWaveRequest request;
    request.set_m(i);
    p.reader = stub->AsyncSubmitWave(&p.context, request, &queue);
    p.reader->Finish(&p.result, &p.status, &p);
  }
  ASSERT_TRUE(Eventually([&] {
    std::lock_guard lock(mu);
    return calls.size() == kCalls;
  }));
  // All are open together; three threads answer them.
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kCalls; i += 3) {
        calls[i]->response()->set_version(calls[i]->request().m());
        calls[i]->Finish(absl::OkStatus());
        calls[i] = nullptr;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kCalls; ++i) {
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
  }
  for (int i = 0; i < kCalls; ++i) {
    EXPECT_TRUE(pending[i]->status.ok());
    EXPECT_EQ(pending[i]->result.version(), static_cast<uint64_t>(i));
  }
  queue.Shutdown();
}

TEST_F(UnaryCallTest, MessageOverTheLimitIsResourceExhausted) {
  Start();
  auto stub = Execution::NewStub(NewChannel());
  SubmitWaveRequest request;
  request.set_wave_id(std::string(kMaxMessageBytes + 1, 'x'));
  WaveResult result;
  {
    grpc::ClientContext context;
    EXPECT_EQ(stub->SubmitWave(&context, request, &result).error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  grpc::ClientContext context;  // And the server goes on.
  request.set_wave_id("small");
  EXPECT_TRUE(stub->SubmitWave(&context, request, &result).ok());
}

TEST_F(UnaryCallTest, CompressedMessageIsRefused) {
  Start();
  auto stub = Execution::NewStub(NewChannel());
  SubmitWaveRequest request;
  request.set_wave_id(std::string(kMaxMessageBytes / 2, '\0'));
  WaveResult result;
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    EXPECT_EQ(stub->SubmitWave(&context, request, &result).error_code(), grpc::UNIMPLEMENTED);
  }
}

TEST_F(UnaryCallTest, UnknownMethodsCountTogether) {
  Start();
  grpc::GenericStub stub(NewChannel());
  for (const char* path : {"/bwrt.v1.Execution/Nope", "/a/b", "/c/d"}) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    grpc::ByteBuffer response;
    grpc::Status status;
    auto call = stub.PrepareUnaryCall(&context, path, grpc::ByteBuffer(), &queue);
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED) << path;
  }
  EXPECT_TRUE(Eventually([&] { return Counter("grpc_server_handled_total", "unknown", "UNIMPLEMENTED") == 3; }));
}

TEST_F(UnaryCallTest, AHugeErrorArrivesWhole) {
  on_submit_ = [](auto call) {
    google::rpc::BadRequest bad;
    for (int i = 0; i < 10000; ++i) {
      auto* violation = bad.add_field_violations();
      violation->set_field("spec.tile_order[" + std::to_string(i) + "].m");
      violation->set_description("outside the grid, \xc3\xa9t cetera");
    }
    std::string message;
    for (int i = 0; i < 5000; ++i) message += "\xc3\xa9";  // The most expensive kind of text to send.
    absl::Status status = absl::InvalidArgumentError(message);
    AddDetail(&status, bad);
    call->Finish(status);
  };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  WaveResult result;
  const grpc::Status status = stub->SubmitWave(&context, {}, &result);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
  google::rpc::Status rpc;
  ASSERT_TRUE(rpc.ParseFromString(status.error_details()));
  google::rpc::BadRequest bad;
  ASSERT_EQ(rpc.details_size(), 1);
  ASSERT_TRUE(rpc.details(0).UnpackTo(&bad));
  EXPECT_GT(bad.field_violations_size(), 10);
}

}  // namespace
}  // namespace bwrt::server
