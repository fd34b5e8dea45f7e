// ExecutionService: bwrt.v1.Execution on the completion queue. Decodes, calls the runtime, encodes: no policy.
//
// Thread-safe. Must outlive the loop and not the runtime.
#ifndef BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_
#define BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_

#include <memory>

#include "bwrt/v1/execution.grpc.pb.h"
#include "runtime/runtime.h"
#include "server/rpc/completion_loop.h"
#include "server/services/open_streams.h"
#include "server/services/wave_stream.h"

namespace bwrt::server {

class ExecutionService {
 public:
  ExecutionService(runtime::Runtime* runtime, v1::Build build);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);
  // Ends wave streams, each as soon as its waves in flight are answered, and refuses new ones.
  void CloseStreams();

 private:
  // The generated service, with StreamWaves' requests as bytes (see WaveStream).
  class Async final : public v1::Execution::AsyncService {
   public:
    void RequestStreamWaveBytes(grpc::ServerContext* context,
                                grpc::ServerAsyncReaderWriter<v1::StreamWavesResponse, grpc::ByteBuffer>* stream,
                                grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* notification_queue,
                                void* tag);
  };

  runtime::Runtime* const runtime_;
  v1::GetCapabilitiesResponse capabilities_;  // Constant after construction.
  OpenStreams<WaveStream> streams_;
  Async service_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_
