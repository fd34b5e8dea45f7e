#include "server/grpc_metrics.h"

#include <google/protobuf/descriptor.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>

namespace bwrt::server {
namespace {

using Clock = std::chrono::steady_clock;

// Names of grpc::StatusCode, by value.
constexpr std::array<const char*, 17> kCodeNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// From a wave of a few microseconds to a transfer of a minute.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60};

}  // namespace

// The series of one method.
class GrpcMetrics::Method {
 public:
  Method(std::string path, std::string service, std::string method, prometheus::Family<prometheus::Counter>* started,
         prometheus::Family<prometheus::Counter>* handled, prometheus::Family<prometheus::Histogram>* seconds)
      : path_(std::move(path)),
        labels_{{"grpc_service", std::move(service)}, {"grpc_method", std::move(method)}},
        started_(&started->Add(labels_)),
        seconds_(&seconds->Add(labels_, kSeconds)),
        handled_family_(handled) {
    HandledCounter(grpc::StatusCode::OK);
  }

  std::string_view path() const { return path_; }

  void OnStarted() { started_->Increment(); }

  void OnHandled(grpc::StatusCode code, Clock::duration took) {
    HandledCounter(code)->Increment();
    seconds_->Observe(std::chrono::duration<double>(took).count());
  }

 private:
  // Looked up in the family the first time that a method ends with a code, and remembered. Two threads may
  // both look it up, and find the same one.
  prometheus::Counter* HandledCounter(grpc::StatusCode code) {
    const auto value = static_cast<size_t>(code);
    const size_t index = value < kCodeNames.size() ? value : static_cast<size_t>(grpc::StatusCode::UNKNOWN);
    prometheus::Counter* counter = handled_[index].load(std::memory_order_acquire);
    if (counter == nullptr) {
      prometheus::Labels labels = labels_;
      labels.emplace("grpc_code", kCodeNames[index]);
      counter = &handled_family_->Add(labels);
      handled_[index].store(counter, std::memory_order_release);
    }
    return counter;
  }

  const std::string path_;
  const prometheus::Labels labels_;
  prometheus::Counter* const started_;
  prometheus::Histogram* const seconds_;
  prometheus::Family<prometheus::Counter>* const handled_family_;
  std::array<std::atomic<prometheus::Counter*>, kCodeNames.size()> handled_{};
};

// One RPC; gRPC makes it when the RPC arrives and destroys it with the call. At shutdown gRPC also makes one for
// each call that was armed and never started, and shows it nothing: it must not be counted.
class GrpcMetrics::Interceptor final : public grpc::experimental::Interceptor {
 public:
  explicit Interceptor(Method* method) : method_(method) {}

  ~Interceptor() override {
    if (started_) Handled(grpc::StatusCode::CANCELLED);
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    using Hook = grpc::experimental::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      started_ = true;
      method_->OnStarted();
    }
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
      Handled(batch->GetSendStatus().error_code());
    }
    batch->Proceed();
  }

 private:
  // The status and the destruction never run at once: the call lives until its operations have ended.
  void Handled(grpc::StatusCode code) {
    if (std::exchange(handled_, true)) return;
    method_->OnHandled(code, Clock::now() - start_);
  }

  Method* const method_;
  const Clock::time_point start_ = Clock::now();
  bool started_ = false;
  bool handled_ = false;
};

class GrpcMetrics::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(const GrpcMetrics* metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new Interceptor(metrics_->Find(info->method()));
  }

 private:
  const GrpcMetrics* const metrics_;
};

GrpcMetrics::GrpcMetrics(prometheus::Registry* registry, const std::vector<std::string>& services) {
  auto& started =
      prometheus::BuildCounter().Name("grpc_server_started_total").Help("RPCs that arrived.").Register(*registry);
  auto& handled = prometheus::BuildCounter()
                      .Name("grpc_server_handled_total")
                      .Help("RPCs that ended, by status code.")
                      .Register(*registry);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("grpc_server_handling_seconds")
                      .Help("From the arrival of an RPC to its status.")
                      .Register(*registry);
  const auto add = [&](const std::string& service, const std::string& method) {
    methods_.push_back(
        std::make_unique<Method>("/" + service + "/" + method, service, method, &started, &handled, &seconds));
    return methods_.back().get();
  };
  for (const std::string& name : services) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    if (service == nullptr) continue;  // Counted as unknown.
    for (int i = 0; i < service->method_count(); ++i) {
      Method* method = add(name, service->method(i)->name());
      by_path_.emplace(method->path(), method);
    }
  }
  unknown_ = add("unknown", "unknown");
}

GrpcMetrics::~GrpcMetrics() = default;

GrpcMetrics::Method* GrpcMetrics::Find(std::string_view path) const {
  const auto it = by_path_.find(path);
  return it == by_path_.end() ? unknown_ : it->second;
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> GrpcMetrics::InterceptorFactory() {
  return std::make_unique<Factory>(this);
}

}  // namespace bwrt::server
