// UnaryCall: one RPC with one request and one response, answered from any thread.
//
//   ServeUnary(&loop, &service, &Execution::AsyncService::RequestSubmitWave,
//              [&](std::shared_ptr<UnaryCall<SubmitWaveRequest, WaveResult>> call) { ... });
//
// The handler runs on the loop's thread; by then the next call of the method is armed. It must not block: it
// hands the shared_ptr on and whoever has the answer calls Finish. The request lives as long as the shared_ptr.
#ifndef BWRT_SERVER_RPC_UNARY_CALL_H_
#define BWRT_SERVER_RPC_UNARY_CALL_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "server/rpc/call_base.h"
#include "server/status.h"

namespace bwrt::server {

template <typename Req, typename Resp>
class UnaryCall final : public CallBase {
 public:
  using Handler = std::function<void(std::shared_ptr<UnaryCall>)>;
  using Responder = grpc::ServerAsyncResponseWriter<Resp>;

  // How to ask gRPC for the next call of one method, and what to do with it.
  struct Method {
    std::shared_ptr<OpGate> gate;
    std::function<void(grpc::ServerContext*, Req*, Responder*, Tag*)> request;
    Handler handler;
  };

  // Offers gRPC one call. Its successors follow by themselves until the gate closes.
  static void Arm(std::shared_ptr<const Method> method) {
    auto* call = new UnaryCall(method);
    const bool armed = method->gate->Run(
        [&] { method->request(&call->context_, &call->request_, &call->responder_, &call->request_tag_); });
    if (!armed) delete call;
  }

  const Req& request() const { return request_; }
  // Moves the request out, for a handler that keeps large parts of it. request() is unspecified afterwards.
  Req TakeRequest() { return std::move(request_); }
  // For one thread at a time, before Finish.
  Resp* response() { return &response_; }

  // Sends the response, or the error.
  void Finish(const absl::Status& status) override {
    std::function<void()> released;
    {
      runtime::MutexLock lock(this->mu_);
      if (!this->MarkFinished(&released)) return;
    }
    StartOp([&] {
      if (status.ok()) {
        responder_.Finish(response_, grpc::Status::OK, &finish_tag_);
      } else {
        responder_.FinishWithError(ToGrpcStatus(status), &finish_tag_);
      }
    });
  }

 private:
  explicit UnaryCall(std::shared_ptr<const Method> method) : CallBase(method->gate), method_(std::move(method)) {}

  void OnRequest(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    Started();
    const std::shared_ptr<const Method> method = std::move(method_);
    Arm(method);
    method->handler(Handle(this));
  }
  void OnFinished(bool /*ok*/) { Unref(); }

  std::shared_ptr<const Method> method_;  // Until the handler runs.
  Responder responder_{&context_};
  Req request_;
  Resp response_;
  MemberTag<UnaryCall, &UnaryCall::OnRequest> request_tag_{this};
  MemberTag<UnaryCall, &UnaryCall::OnFinished> finish_tag_{this};
};

// Serves a method of `service`, which must outlive the loop, from now on. The server must be running.
template <typename Service, typename Base, typename Req, typename Resp>
void ServeUnary(CompletionLoop* loop, Service* service,
                void (Base::*request)(grpc::ServerContext*, Req*, grpc::ServerAsyncResponseWriter<Resp>*,
                                      grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
                std::type_identity_t<typename UnaryCall<Req, Resp>::Handler> handler) {
  using Call = UnaryCall<Req, Resp>;
  auto method = std::make_shared<typename Call::Method>();
  method->gate = loop->gate();
  method->request = [service, request, queue = loop->queue()](grpc::ServerContext* context, Req* message,
                                                              typename Call::Responder* responder, Tag* tag) {
    (service->*request)(context, message, responder, queue, queue, tag);
  };
  method->handler = std::move(handler);
  Call::Arm(std::move(method));
}

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_UNARY_CALL_H_
