// ExecutionService: bwrt.v1.Execution. Decodes, calls the runtime, encodes: no policy. All but what is in
// TraversalCalls and TuneCalls is served from the completion queue.
//
// Thread-safe. Must outlive the loop and neither the runtime nor the tuner.
#ifndef BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_
#define BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_

#include <memory>
#include <string>

#include "bwrt/v1/execution.grpc.pb.h"
#include "runtime/runtime.h"
#include "server/rpc/completion_loop.h"
#include "server/services/open_streams.h"
#include "server/services/tune_calls.h"
#include "server/services/wave_stream.h"

namespace bwrt::server {

class ExecutionService {
 public:
  // `device_choice` says why the runtime has the devices that it has.
  ExecutionService(runtime::Runtime* runtime, runtime::Tuner* tuner, v1::Build build, std::string device_choice);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);
  // Ends wave streams, each as soon as its waves in flight are answered, and refuses new ones.
  void CloseStreams();

 private:
  using E = v1::Execution;
  using Mixed = E::WithAsyncMethod_SubmitWave<E::WithAsyncMethod_StreamWaves<
      E::WithAsyncMethod_ValidateWave<E::WithAsyncMethod_CancelWave<E::WithAsyncMethod_GetCapabilities<TuneCalls>>>>>;
  // The generated service, with StreamWaves' requests as bytes (see WaveStream).
  class Async final : public Mixed {
   public:
    Async(runtime::Runtime* runtime, runtime::Tuner* tuner) { Init(runtime, tuner); }
    void RequestStreamWaveBytes(grpc::ServerContext* context,
                                grpc::ServerAsyncReaderWriter<v1::StreamWavesResponse, grpc::ByteBuffer>* stream,
                                grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* notification_queue,
                                void* tag);
  };

  runtime::Runtime* const runtime_;
  v1::GetCapabilitiesResponse capabilities_;  // All but hardware_counters. Constant after construction.
  OpenStreams<WaveStream> streams_;
  Async service_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_EXECUTION_SERVICE_H_
