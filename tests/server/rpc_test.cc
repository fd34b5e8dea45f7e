// The asynchronous calls against a real server and real clients on a Unix socket, in the orders in which
// cancellation, answers and shutdown can meet. The proto services stand in for any service: what they mean is
// not tested here.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "server/grpc_metrics.h"
#include "server/health_service.h"
#include "server/rpc/bidi_call.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/status.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using v1::Execution;
using v1::ModelEvent;
using v1::StreamWavesRequest;
using v1::StreamWavesResponse;
using v1::SubmitWaveRequest;
using v1::WatchModelRequest;
using v1::WaveResult;
using v1::Weights;

using Submit = UnaryCall<SubmitWaveRequest, WaveResult>;
using Watch = ServerStream<WatchModelRequest, ModelEvent>;
using Stream = BidiStream<StreamWavesRequest, StreamWavesResponse>;

constexpr int kMaxMessageBytes = 1 << 20;
// Only a broken test waits that long.
constexpr auto kPatience = 20s;

// Something that one thread hands to another.
template <typename T>
class Box {
 public:
  void Put(T value) {
    std::lock_guard lock(mu_);
    values_.push_back(std::move(value));
    cv_.notify_all();
  }
  T Take() {
    std::unique_lock lock(mu_);
    if (!cv_.wait_for(lock, kPatience, [&] { return !values_.empty(); })) {
      ADD_FAILURE() << "nothing came";
      return T();
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  size_t size() {
    std::lock_guard lock(mu_);
    return values_.size();
  }

 private:
  std::mutex mu_;
  std::condition_variable cv_;
  std::deque<T> values_;
};

template <typename Condition>
bool Eventually(Condition condition) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// A server wired as the daemon's is.
class RpcTest : public testing::Test {
 protected:
  RpcTest() {
    // The test's own directory can be too long for a socket's path.
    std::string pattern = std::filesystem::temp_directory_path() / "bwrtXXXXXX";
    directory_ = mkdtemp(pattern.data());
    address_ = "unix:" + directory_ + "/s";
  }
  ~RpcTest() override {
    Shutdown(0ms);
    loop_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Start(bool with_metrics = true) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    // A few bytes of DEFLATE or GZIP can unfold to any size: the limit above is applied before that.
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    // Server reflection is a synchronous service, and its polling thread may sleep this long (10 s unless set)
    // before it notices a shutdown.
    builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 100);
    execution_ = std::make_unique<Execution::AsyncService>();
    weights_ = std::make_unique<Weights::AsyncService>();
    health_ = std::make_unique<HealthService>(std::vector<std::string>{"bwrt.v1.Execution"}, 2);
    builder.RegisterService(execution_.get());
    builder.RegisterService(weights_.get());
    builder.RegisterService(health_->service());
    if (with_metrics) {
      std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
      interceptors.push_back(metrics_.InterceptorFactory());
      builder.experimental().SetInterceptorCreators(std::move(interceptors));
    }
    loop_ = std::make_unique<CompletionLoop>(builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ServeUnary(loop_.get(), execution_.get(), &Execution::AsyncService::RequestSubmitWave,
               [this](std::shared_ptr<Submit> call) { on_submit_(std::move(call)); });
    ServeServerStream(loop_.get(), weights_.get(), &Weights::AsyncService::RequestWatchModel, {.max_pending = 4},
                      [this](std::shared_ptr<Watch> stream) { on_watch_(std::move(stream)); });
    ServeBidi(loop_.get(), execution_.get(), &Execution::AsyncService::RequestStreamWaves, {.max_pending = 4},
              [this](std::shared_ptr<Stream> stream) { return on_stream_(std::move(stream)); });
    health_->Serve(loop_.get());
    loop_->Start();
  }

  void Shutdown(std::chrono::milliseconds grace) {
    if (server_ == nullptr || std::exchange(down_, true)) return;
    health_->CloseWatches();
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    loop_->Stop();
  }

  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), args);
  }

  double Counter(const std::string& family, const std::string& method, const std::string& code = "") {
    for (const auto& f : registry_.Collect()) {
      if (f.name != family) continue;
      for (const auto& metric : f.metric) {
        bool match = false;
        bool code_match = code.empty();
        for (const auto& label : metric.label) {
          match |= label.name == "grpc_method" && label.value == method;
          code_match |= label.name == "grpc_code" && label.value == code;
        }
        if (!match || !code_match) continue;
        return f.type == prometheus::MetricType::Histogram ? static_cast<double>(metric.histogram.sample_count)
                                                           : metric.counter.value;
      }
    }
    return 0;
  }

  std::string directory_;
  std::string address_;
  prometheus::Registry registry_;
  GrpcMetrics metrics_{&registry_, {"bwrt.v1.Execution", "bwrt.v1.Weights", "grpc.health.v1.Health"}};
  std::unique_ptr<Execution::AsyncService> execution_;
  std::unique_ptr<Weights::AsyncService> weights_;
  std::unique_ptr<HealthService> health_;
  std::unique_ptr<CompletionLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
  bool down_ = false;

  std::function<void(std::shared_ptr<Submit>)> on_submit_ = [](auto call) {
    call->response()->set_c(call->request().wave_id());
    call->Finish(absl::OkStatus());
  };
  std::function<void(std::shared_ptr<Watch>)> on_watch_ = [](auto stream) { stream->Finish(absl::OkStatus()); };
  std::function<std::shared_ptr<StreamReader<StreamWavesRequest>>(std::shared_ptr<Stream>)> on_stream_ =
      [](auto stream) {
        stream->Finish(absl::OkStatus());
        return nullptr;
      };
};

// ---- unary ----

TEST_F(RpcTest, UnaryAnswers) {
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

TEST_F(RpcTest, UnaryAnswersFromAnotherThreadOnce) {
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

TEST_F(RpcTest, FinishReleasesTheCancelCallback) {
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

TEST_F(RpcTest, DeadlineIsKnownAndCancels) {
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

TEST_F(RpcTest, CancelledWithoutAnAnswerCountsAsCancelled) {
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

TEST_F(RpcTest, DroppedCallIsAnInternalError) {
  on_submit_ = [](auto) {};
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  WaveResult result;
  EXPECT_EQ(stub->SubmitWave(&context, {}, &result).error_code(), grpc::INTERNAL);
}

TEST_F(RpcTest, AThousandCallsAtOnce) {
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

TEST_F(RpcTest, MessageOverTheLimitIsResourceExhausted) {
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

TEST_F(RpcTest, CompressedMessageIsRefused) {
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

TEST_F(RpcTest, UnknownMethodsCountTogether) {
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

TEST_F(RpcTest, AHugeErrorArrivesWhole) {
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

// ---- server stream ----

TEST_F(RpcTest, StreamSendsAllThenTheStatus) {
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

TEST_F(RpcTest, ASlowReaderFillsTheQueueAndMakesRoom) {
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

TEST_F(RpcTest, AClientThatVanishesMidStreamLeavesNothingBehind) {
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

// ---- bidi stream ----

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

TEST_F(RpcTest, BidiEchoes) {
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

// Hands what happens to the test.
class ManualReader : public StreamReader<StreamWavesRequest> {
 public:
  ManualReader(std::shared_ptr<Stream> stream, Box<std::shared_ptr<StreamWavesRequest>>* reads, std::atomic<int>* done)
      : stream_(std::move(stream)), reads_(reads), done_(done) {}
  void OnRead(std::shared_ptr<StreamWavesRequest> request) override { reads_->Put(std::move(request)); }
  void OnReadsDone() override { done_->fetch_add(1); }

 private:
  const std::shared_ptr<Stream> stream_;
  Box<std::shared_ptr<StreamWavesRequest>>* const reads_;
  std::atomic<int>* const done_;
};

TEST_F(RpcTest, BidiReadsOnlyWhatWasAskedFor) {
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

TEST_F(RpcTest, BidiClientVanishes) {
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

TEST_F(RpcTest, BidiFinishWhileReading) {
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

TEST_F(RpcTest, BidiDroppedByItsHandler) {
  on_stream_ = [](auto) { return nullptr; };
  Start();
  auto stub = Execution::NewStub(NewChannel());
  grpc::ClientContext context;
  auto client = stub->StreamWaves(&context);
  StreamWavesResponse response;
  EXPECT_FALSE(client->Read(&response));
  EXPECT_EQ(client->Finish().error_code(), grpc::INTERNAL);
}

TEST_F(RpcTest, StreamMessageOverTheLimitEndsTheStream) {
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

// ---- shutdown ----

TEST_F(RpcTest, ShutdownWithCallsOpenCancelsThem) {
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

TEST_F(RpcTest, ShutdownWaitsForAnswersWithinTheGrace) {
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

TEST_F(RpcTest, ShutdownFindsACallThatTheLoopHasNotSeen) {
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

TEST_F(RpcTest, AnswersRaceWithShutdown) {
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

// ---- health ----

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

TEST_F(RpcTest, HealthCheck) {
  Start();
  auto stub = Health::NewStub(NewChannel());
  const auto check = [&](const std::string& name) -> std::pair<grpc::StatusCode, int> {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const auto status = stub->Check(&context, request, &response);
    return {status.error_code(), response.status()};
  };
  using Answer = std::pair<grpc::StatusCode, int>;
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::NOT_SERVING));
  health_->SetServing(true);
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
  EXPECT_EQ(check("bwrt.v1.Execution"), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
  EXPECT_EQ(check("other").first, grpc::StatusCode::NOT_FOUND);
  health_->Set("bwrt.v1.Execution", HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check("bwrt.v1.Execution"), Answer(grpc::StatusCode::OK, HealthCheckResponse::NOT_SERVING));
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
}

TEST_F(RpcTest, HealthWatch) {
  Start();
  auto stub = Health::NewStub(NewChannel());
  grpc::ClientContext context;
  auto reader = stub->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  health_->SetServing(true);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);

  grpc::ClientContext other_context;
  HealthCheckRequest other;
  other.set_service("other");
  auto other_reader = stub->Watch(&other_context, other);
  ASSERT_TRUE(other_reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  health_->Set("other", HealthCheckResponse::SERVING);
  ASSERT_TRUE(other_reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);

  {
    grpc::ClientContext third;  // Two are the limit of this test's service.
    auto refused = stub->Watch(&third, {});
    EXPECT_FALSE(refused->Read(&response));
    EXPECT_EQ(refused->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  other_context.TryCancel();
  other_reader->Finish();
  EXPECT_TRUE(Eventually([&] {  // A watch that ended makes room.
    grpc::ClientContext third;
    auto accepted = stub->Watch(&third, {});
    const bool read = accepted->Read(&response);
    third.TryCancel();
    accepted->Finish();
    return read;
  }));

  // However fast the state changes, the last one arrives.
  for (int i = 0; i < 1000; ++i) health_->SetServing(i % 2 == 0);
  health_->SetServing(false);
  health_->Set("", HealthCheckResponse::UNKNOWN);
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (response.status() != HealthCheckResponse::UNKNOWN);

  health_->CloseWatches();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace bwrt::server
