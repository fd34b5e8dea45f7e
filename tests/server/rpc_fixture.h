// RpcFixture: the asynchronous calls against a real server and real clients on a Unix socket, so that tests can try the
// orders in which cancellation, answers and shutdown meet. The proto services stand in for any service: what they mean
// is not tested here.
#ifndef BWRT_TESTS_SERVER_RPC_FIXTURE_H_
#define BWRT_TESTS_SERVER_RPC_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "server/grpc_metrics.h"
#include "server/health_service.h"
#include "server/rpc/bidi_call.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/rpc/unary_call.h"

namespace bwrt::server {

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

inline constexpr int kMaxMessageBytes = 1 << 20;
// Only a broken test waits that long.
inline constexpr std::chrono::seconds kPatience(20);

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
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
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

// A server wired as the daemon's is.
class RpcFixture : public testing::Test {
 protected:
  RpcFixture() {
    // The test's own directory can be too long for a socket's path.
    std::string pattern = std::filesystem::temp_directory_path() / "bwrtXXXXXX";
    directory_ = mkdtemp(pattern.data());
    address_ = "unix:" + directory_ + "/s";
  }
  ~RpcFixture() override {
    Shutdown(std::chrono::milliseconds(0));
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

}  // namespace bwrt::server

#endif  // BWRT_TESTS_SERVER_RPC_FIXTURE_H_
