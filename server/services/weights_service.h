// WeightsService: bwrt.v1.Weights. Decodes, calls the runtime, encodes: no policy. What answers at once, or waits for a
// window, is served from the completion queue; what blocks is in BulkCalls.
//
// Thread-safe. Must outlive the loop and not the runtime.
#ifndef BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_
#define BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_

#include <memory>

#include "bwrt/v1/weights.grpc.pb.h"
#include "runtime/clock.h"
#include "runtime/runtime.h"
#include "server/rpc/client_stream_call.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/services/bulk_calls.h"
#include "server/services/open_streams.h"

namespace bwrt::server {

class WeightsService {
 public:
  // A stream of StageWeights may be idle for `stage_idle_timeout`, by `clock`, which outlives the loop.
  WeightsService(runtime::Runtime* runtime, runtime::Clock* clock, runtime::Duration stage_idle_timeout);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);
  // Ends all watches with UNAVAILABLE and refuses new ones.
  void CloseStreams();

 private:
  using WatchStream = ServerStream<v1::WatchModelRequest, v1::ModelEvent>;
  void Watch(const std::shared_ptr<WatchStream>& stream);

  using W = v1::Weights;
  using Async = W::WithAsyncMethod_SetWeights<
      W::WithAsyncMethod_ListModels<W::WithAsyncMethod_GetModel<W::WithAsyncMethod_WatchModel<
          W::WithAsyncMethod_Commit<W::WithAsyncMethod_Rollback<WithStageMessages<BulkCalls>>>>>>>;
  struct Mixed final : Async {
    Mixed(runtime::Runtime* runtime, runtime::Duration stage_idle_timeout) { Init(runtime, stage_idle_timeout); }
  };

  // Serves one method, once the weights have been restored.
  template <typename Req, typename Resp, typename Base>
  void Unary(CompletionLoop* loop,
             void (Base::*request)(grpc::ServerContext*, Req*, grpc::ServerAsyncResponseWriter<Resp>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             void (*handle)(runtime::Runtime*, const std::shared_ptr<UnaryCall<Req, Resp>>&));

  runtime::Runtime* const runtime_;
  const ClientStreamOptions stage_options_;
  OpenStreams<WatchStream> watches_;
  Mixed service_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_WEIGHTS_SERVICE_H_
