// TraversalCalls: the call of bwrt.v1.Execution that computes for long. gRPC gives it a thread of its own, so that it
// never stands in the way of waves; one is worked on at a time, so that it takes one core from them at most.
//
// The other calls of the service are asynchronous, in ExecutionService, which is built on this. Thread-safe.
#ifndef BWRT_SERVER_SERVICES_TRAVERSAL_CALLS_H_
#define BWRT_SERVER_SERVICES_TRAVERSAL_CALLS_H_

#include <atomic>

#include "bwrt/v1/execution.grpc.pb.h"
#include "runtime/mutex.h"
#include "runtime/runtime.h"

namespace bwrt::server {

class TraversalCalls : public v1::Execution::Service {
 public:
  // Worked on or waiting for it; more are refused with RESOURCE_EXHAUSTED TOO_MANY_CALLS.
  static constexpr int kMaxCalls = 8;

  grpc::Status ModelTraversals(grpc::ServerContext* context, const v1::ModelTraversalsRequest* request,
                               v1::ModelTraversalsResponse* response) override;

 protected:
  // Before the first call.
  void Init(runtime::Runtime* runtime) { runtime_ = runtime; }

 private:
  runtime::Runtime* runtime_ = nullptr;
  std::atomic<int> calls_{0};
  runtime::Mutex turn_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_TRAVERSAL_CALLS_H_
