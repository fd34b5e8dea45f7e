// BulkCalls: the calls of bwrt.v1.Weights that block, or look at every shard of an update: staging, verifying, loading,
// reading, deleting. gRPC gives each a thread of its own, so that they never stand in the way of waves; how many there
// can be at once is bounded here. Transfers, which last as long as their clients like, are counted apart from the rest.
//
// The other calls of the service are asynchronous, in WeightsService, which is built on this, and Stage among them, so
// that it can tell a client that it has been waiting for too long. Thread-safe.
#ifndef BWRT_SERVER_SERVICES_BULK_CALLS_H_
#define BWRT_SERVER_SERVICES_BULK_CALLS_H_

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "runtime/clock.h"
#include "runtime/runtime.h"
#include "server/rpc/client_stream_call.h"
#include "server/services/stage_message.h"

namespace bwrt::server {

class BulkCalls : public v1::Weights::Service {
 public:
  // At once, of StageWeights and LoadFile together, and of all other calls; more are refused with RESOURCE_EXHAUSTED
  // TOO_MANY_STREAMS.
  static constexpr int kMaxCalls = 32;

  grpc::Status BeginUpdate(grpc::ServerContext* context, const v1::BeginUpdateRequest* request,
                           v1::UpdateInfo* response) override;
  grpc::Status GetUpdate(grpc::ServerContext* context, const v1::GetUpdateRequest* request,
                         v1::GetUpdateResponse* response) override;
  grpc::Status ListUpdates(grpc::ServerContext* context, const v1::ListUpdatesRequest* request,
                           v1::ListUpdatesResponse* response) override;
  grpc::Status Precommit(grpc::ServerContext* context, const v1::PrecommitRequest* request,
                         v1::PrecommitResponse* response) override;
  grpc::Status Abort(grpc::ServerContext* context, const v1::AbortRequest* request,
                     v1::AbortResponse* response) override;
  grpc::Status DeleteModel(grpc::ServerContext* context, const v1::DeleteModelRequest* request,
                           v1::DeleteModelResponse* response) override;
  grpc::Status ReadTensor(grpc::ServerContext* context, const v1::ReadTensorRequest* request,
                          v1::ReadTensorResponse* response) override;
  grpc::Status LoadFile(grpc::ServerContext* context, const v1::LoadFileRequest* request,
                        grpc::ServerWriter<v1::LoadFileProgress>* writer) override;

  // StageWeights, on the stream's own thread.
  using StageStream = ClientStream<StageMessage, v1::StageWeightsResponse>;
  absl::Status Stage(StageStream& stream, v1::StageWeightsResponse* response);

 protected:
  // Before the first call. `stage_idle_timeout` is what Stage's streams are served with.
  void Init(runtime::Runtime* runtime, runtime::Duration stage_idle_timeout) {
    runtime_ = runtime;
    stage_idle_timeout_ = stage_idle_timeout;
  }

 private:
  // Runs `work` unless there are too many calls, or the weights have not been restored yet.
  template <typename Work>
  absl::Status Admit(std::atomic<int>& calls, Work&& work);
  template <typename Work>
  grpc::Status Run(Work&& work);
  absl::Status ReadChunks(StageStream& stream, v1::StageWeightsResponse* response);

  runtime::Runtime* runtime_ = nullptr;
  runtime::Duration stage_idle_timeout_{0};
  std::atomic<int> transfers_{0};
  std::atomic<int> calls_{0};
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_BULK_CALLS_H_
