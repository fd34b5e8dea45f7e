// TelemetryService: bwrt.v1.Telemetry on the completion queue. Reads what was recorded; touches no device.
//
// Thread-safe. Must outlive the loop and not the runtime or the clock.
#ifndef BWRT_SERVER_SERVICES_TELEMETRY_SERVICE_H_
#define BWRT_SERVER_SERVICES_TELEMETRY_SERVICE_H_

#include <memory>

#include "bwrt/v1/telemetry.grpc.pb.h"
#include "runtime/clock.h"
#include "runtime/runtime.h"
#include "server/rpc/completion_loop.h"
#include "server/rpc/server_stream_call.h"
#include "server/services/open_streams.h"

namespace bwrt::server {

class TelemetryService {
 public:
  TelemetryService(runtime::Runtime* runtime, runtime::Clock* clock);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. Once, after the server was built.
  void Serve(CompletionLoop* loop);
  // Ends all watches with UNAVAILABLE and refuses new ones.
  void CloseStreams();

 private:
  using WatchStream = ServerStream<v1::WatchSamplesRequest, v1::SampleResponse>;
  void Watch(const std::shared_ptr<WatchStream>& stream);

  runtime::Runtime* const runtime_;
  runtime::Clock* const clock_;
  OpenStreams<WatchStream> watches_;
  v1::Telemetry::AsyncService service_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_TELEMETRY_SERVICE_H_
