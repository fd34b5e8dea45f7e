// ServerStream: one RPC with one request and a stream of responses, such as a watch.
//
//   ServeServerStream(&loop, &service, &Weights::AsyncService::RequestWatchModel, {.max_pending = 64},
//                     [&](std::shared_ptr<ServerStream<WatchModelRequest, ModelEvent>> watch) { ... });
//
// Handlers as in unary_call.h; writing as in response_stream.h.
#ifndef BWRT_SERVER_RPC_SERVER_STREAM_CALL_H_
#define BWRT_SERVER_RPC_SERVER_STREAM_CALL_H_

#include <grpcpp/support/async_stream.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "server/rpc/response_stream.h"

namespace bwrt::server {

struct StreamOptions {
  size_t max_pending = 64;  // The bound of TryWrite, in responses.
};

template <typename Req, typename Resp>
class ServerStream final : public ResponseStream<grpc::ServerAsyncWriter<Resp>, Resp> {
 public:
  using Handler = std::function<void(std::shared_ptr<ServerStream>)>;
  using Writer = grpc::ServerAsyncWriter<Resp>;

  struct Method {
    std::shared_ptr<OpGate> gate;
    StreamOptions options;
    std::function<void(grpc::ServerContext*, Req*, Writer*, Tag*)> request;
    Handler handler;
  };

  static void Arm(std::shared_ptr<const Method> method) {
    auto* call = new ServerStream(method);
    const bool armed = method->gate->Run(
        [&] { method->request(&call->context_, &call->request_, &call->stream_, &call->request_tag_); });
    if (!armed) delete call;
  }

  const Req& request() const { return request_; }

 private:
  explicit ServerStream(std::shared_ptr<const Method> method)
      : ResponseStream<Writer, Resp>(method->gate, method->options.max_pending), method_(std::move(method)) {}

  void OnRequest(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    this->Started();
    const std::shared_ptr<const Method> method = std::move(method_);
    Arm(method);
    method->handler(this->Handle(this));
  }

  std::shared_ptr<const Method> method_;  // Until the handler runs.
  Req request_;
  MemberTag<ServerStream, &ServerStream::OnRequest> request_tag_{this};
};

// Serves a method of `service`, which must outlive the loop, from now on. The server must be running.
template <typename Service, typename Base, typename Req, typename Resp>
void ServeServerStream(CompletionLoop* loop, Service* service,
                       void (Base::*request)(grpc::ServerContext*, Req*, grpc::ServerAsyncWriter<Resp>*,
                                             grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
                       StreamOptions options, std::type_identity_t<typename ServerStream<Req, Resp>::Handler> handler) {
  using Call = ServerStream<Req, Resp>;
  auto method = std::make_shared<typename Call::Method>();
  method->gate = loop->gate();
  method->options = options;
  method->request = [service, request, queue = loop->queue()](grpc::ServerContext* context, Req* message,
                                                              typename Call::Writer* writer, Tag* tag) {
    (service->*request)(context, message, writer, queue, queue, tag);
  };
  method->handler = std::move(handler);
  Call::Arm(std::move(method));
}

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_SERVER_STREAM_CALL_H_
