// HealthService: grpc.health.v1.Health on the daemon's own completion queue.
//
// gRPC's default health service would cost every unary call half of its latency again (see completion_loop.h).
//
// Knows "" (the daemon as a whole) and one name for each service. Check of another name is NOT_FOUND; Watch of
// it answers SERVICE_UNKNOWN and stays open, as the protocol asks. A slow watcher skips states, but always gets
// the last one. Thread-safe. Must outlive the loop; the order of use is RegisterService(service()), Serve.
#ifndef BWRT_SERVER_HEALTH_SERVICE_H_
#define BWRT_SERVER_HEALTH_SERVICE_H_

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "runtime/mutex.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/rpc/unary_call.h"

namespace bwrt::server {

class HealthService {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // `services` are full names, such as "bwrt.v1.Execution"; "" comes by itself. All start as NOT_SERVING.
  explicit HealthService(const std::vector<std::string>& services, size_t max_watchers = 256);
  ~HealthService();
  HealthService(const HealthService&) = delete;
  HealthService& operator=(const HealthService&) = delete;

  // To be registered with the server builder.
  grpc::Service* service() { return &service_; }

  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);

  // Sets one service, which becomes known if it is not.
  void Set(const std::string& name, Status status);

  // Sets "" and every known service: readiness and drain.
  void SetServing(bool serving);

  // Ends all watches, and refuses new ones, with UNAVAILABLE: for a shutdown, which would otherwise wait for
  // clients to let go. Check goes on working.
  void CloseWatches();

 private:
  using CheckCall = UnaryCall<grpc::health::v1::HealthCheckRequest, grpc::health::v1::HealthCheckResponse>;
  using WatchStream = ServerStream<grpc::health::v1::HealthCheckRequest, grpc::health::v1::HealthCheckResponse>;
  struct Watcher;

  void Check(const std::shared_ptr<CheckCall>& call);
  void Watch(const std::shared_ptr<WatchStream>& stream);
  void Remove(const std::shared_ptr<Watcher>& watcher);
  // Sends the state if the watcher has not got it yet and can take it.
  void Update(Watcher* watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t max_watchers_;
  grpc::health::v1::Health::AsyncService service_;
  runtime::Mutex mu_;
  std::map<std::string, Status> statuses_ ABSL_GUARDED_BY(mu_);
  std::list<std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_HEALTH_SERVICE_H_
