// GrpcMetrics: the metrics of every RPC, counted by one interceptor, never by a method.
//
//   grpc_server_started_total{grpc_service,grpc_method}
//   grpc_server_handled_total{grpc_service,grpc_method,grpc_code}
//   grpc_server_handling_seconds{grpc_service,grpc_method}
//
// An RPC is handled when its status is sent, or, if that never happens because the client went away, when the
// call is destroyed: then it counts as CANCELLED. A request that gRPC itself refuses (message over the limit)
// never becomes a call, and is not counted.
//
// A client can call methods that do not exist; they are counted together as "unknown", so the label values are
// bounded by the services given here. Thread-safe. It must outlive the server.
#ifndef BWRT_SERVER_GRPC_METRICS_H_
#define BWRT_SERVER_GRPC_METRICS_H_

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bwrt::server {

class GrpcMetrics {
 public:
  // `services` are full names, such as "bwrt.v1.Execution", whose protos are linked in. `registry` must outlive
  // this object. Every method's series exist, at zero, from the start.
  GrpcMetrics(prometheus::Registry* registry, const std::vector<std::string>& services);
  ~GrpcMetrics();
  GrpcMetrics(const GrpcMetrics&) = delete;
  GrpcMetrics& operator=(const GrpcMetrics&) = delete;

  // For ServerBuilder::experimental().SetInterceptorCreators.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> InterceptorFactory();

 private:
  class Method;
  class Interceptor;
  class Factory;

  // `path` is "/bwrt.v1.Execution/SubmitWave".
  Method* Find(std::string_view path) const;

  // Constant after construction, so that finding a method takes no lock.
  std::unordered_map<std::string_view, Method*> by_path_;  // Keys in methods_.
  std::vector<std::unique_ptr<Method>> methods_;
  Method* unknown_ = nullptr;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_GRPC_METRICS_H_
