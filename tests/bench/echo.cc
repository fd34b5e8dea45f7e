#include "tests/bench/echo.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/async_unary_call.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "bwrt/v1/execution.grpc.pb.h"
#include "client/dtype.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

// One call at a time: the benchmark has one in flight.
class EchoCall {
 public:
  EchoCall(v1::Execution::AsyncService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue) {
    Await();
  }

  // The tag has come: a request, or the end of the answer.
  void Proceed() {
    if (std::exchange(answering_, !answering_)) return Await();
    std::string c = std::move(*call_->request.mutable_a()->mutable_inline_());
    const DType dtype = call_->request.c_dtype();
    c.resize(static_cast<size_t>(call_->request.m() * call_->request.n() * client::DTypeBytes(dtype)));
    call_->response.set_c(std::move(c));
    call_->responder.Finish(call_->response, grpc::Status::OK, this);
  }

 private:
  struct Call {
    grpc::ServerContext context;
    grpc::ServerAsyncResponseWriter<v1::WaveResult> responder{&context};
    v1::SubmitWaveRequest request;
    v1::WaveResult response;
  };

  void Await() {
    call_ = std::make_unique<Call>();
    service_->RequestSubmitWave(&call_->context, &call_->request, &call_->responder, queue_, queue_, this);
  }

  v1::Execution::AsyncService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  std::unique_ptr<Call> call_;
  bool answering_ = false;
};

}  // namespace

void RunEcho(const std::string& address, const std::string& ready_file) {
  v1::Execution::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(-1);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  Require(server != nullptr, "the echo can't listen");
  EchoCall call(&service, queue.get());
  TellReady(ready_file);
  void* tag = nullptr;
  for (bool ok = false; queue->Next(&tag, &ok) && ok;) static_cast<EchoCall*>(tag)->Proceed();
  std::_Exit(0);
}

}  // namespace bwrt::bench
