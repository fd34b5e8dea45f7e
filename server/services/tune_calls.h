// TuneCalls: the call of bwrt.v1.Execution that tunes a device: it lasts for as long as its budget, on a thread of its
// own that mostly waits for its turns in the lanes.
//
// Part of ExecutionService, as TraversalCalls is. Thread-safe.
#ifndef BWRT_SERVER_SERVICES_TUNE_CALLS_H_
#define BWRT_SERVER_SERVICES_TUNE_CALLS_H_

#include "bwrt/v1/execution.grpc.pb.h"
#include "runtime/tuning/tuner.h"
#include "server/services/traversal_calls.h"

namespace bwrt::server {

class TuneCalls : public TraversalCalls {
 public:
  grpc::Status Tune(grpc::ServerContext* context, const v1::TuneRequest* request,
                    grpc::ServerWriter<v1::TuneResponse>* writer) override;

 protected:
  // Before the first call.
  void Init(runtime::Runtime* runtime, runtime::Tuner* tuner) {
    TraversalCalls::Init(runtime);
    tuner_ = tuner;
  }

 private:
  runtime::Tuner* tuner_ = nullptr;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_TUNE_CALLS_H_
