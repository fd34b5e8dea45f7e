// WeightsService: bwrt.v1.Weights on the completion queue. Decodes, calls the runtime, encodes: no policy.
//
// Thread-safe. Must outlive the loop and not the runtime.
#ifndef BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_
#define BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_

#include "bwrt/v1/weights.grpc.pb.h"
#include "runtime/runtime.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/services/open_streams.h"

namespace bwrt::server {

class WeightsService {
 public:
  explicit WeightsService(runtime::Runtime* runtime);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);
  // Ends all watches with UNAVAILABLE and refuses new ones.
  void CloseStreams();

 private:
  using WatchStream = ServerStream<v1::WatchModelRequest, v1::ModelEvent>;
  void Watch(const std::shared_ptr<WatchStream>& stream);

  runtime::Runtime* const runtime_;
  OpenStreams<WatchStream> watches_;
  v1::Weights::AsyncService service_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_
