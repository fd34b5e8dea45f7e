// ClientStream: one RPC with a stream of requests and one response, served by a thread of its own that may block.
//
//   ServeClientStream(&loop, &service, &Weights::AsyncService::RequestStageWeights, {&clock, std::chrono::seconds(60)},
//                     [&](ClientStream<StageWeightsRequest, StageWeightsResponse>& stream, auto* response) {
//                       while (stream.Read() == ...) ... stream.request() ...
//                       return absl::OkStatus();
//                     });
//
// For bulk bytes: they are received, parsed and dealt with on that thread, and waves' calls don't wait behind them. As
// gRPC's synchronous calls, but a client that sends nothing can be told so: a synchronous Read waits for as long as the
// client likes.
//
// Only the arrival of a call goes through the loop. What follows has a queue of its own, which that thread alone takes
// events from. The loop's gate counts the thread, so that CompletionLoop::Stop returns after its end. Its methods
// are for that thread.
#ifndef BWRT_SERVER_RPC_CLIENT_STREAM_CALL_H_
#define BWRT_SERVER_RPC_CLIENT_STREAM_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <pthread.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "runtime/clock.h"
#include "runtime/idle_watch.h"
#include "server/rpc/completion_loop.h"
#include "server/status.h"

namespace bwrt::server {

struct ClientStreamOptions {
  runtime::Clock* clock;         // Outlives the loop.
  runtime::Duration idle_limit;  // For which a client may send nothing.
};

template <typename Req, typename Resp>
class ClientStream {
 public:
  // Ends the RPC when it returns: with `response`, or with the error.
  using Handler = std::function<absl::Status(ClientStream& stream, Resp* response)>;
  using Reader = grpc::ServerAsyncReader<Resp, Req>;

  struct Method {
    std::shared_ptr<OpGate> gate;
    ClientStreamOptions options;
    std::function<void(grpc::ServerContext*, Reader*, grpc::CompletionQueue*, Tag*)> request;
    Handler handler;
  };

  static void Arm(std::shared_ptr<const Method> method) {
    auto* call = new ClientStream(method);
    const bool armed = method->gate->Run(
        [&] { method->request(&call->context_, &call->reader_, &call->queue_, &call->request_tag_); });
    if (!armed) delete call;
  }
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  enum class Came {
    kRequest,
    kEnd,      // The client has closed its half, or is gone.
    kNothing,  // For as long as the idle limit.
  };
  // Waits for the next request. Not to be called again after one of the other answers.
  Came Read() {
    if (!reading_) StartRead();
    watch_.Begin();
    const Event* event = Next();
    while (event == &done_) event = Next();
    watch_.End();
    if (event == &wake_) return Came::kNothing;
    if (!event->ok) return Came::kEnd;
    received_ = 1 - received_;
    StartRead();  // gRPC lets the client send what somebody waits for: it need not pause while this one is dealt with.
    return Came::kRequest;
  }

  // The one that has been read, until the next Read.
  const Req& request() const { return requests_[received_]; }

 private:
  // Something under way whose end comes out of the queue.
  struct Event {
    bool pending = false;
    bool ok = false;
  };

  explicit ClientStream(std::shared_ptr<const Method> method)
      : method_(std::move(method)), watch_(method_->options.clock, method_->options.idle_limit, [this] { Wake(); }) {
    context_.AsyncNotifyWhenDone(&done_);
  }
  ~ClientStream() = default;

  // On the loop's thread.
  void OnRequest(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    Arm(method_);
    method_->gate->Expect();  // The thread.
    done_.pending = true;
    try {
      std::thread([this] {
        pthread_setname_np(pthread_self(), "bwrt-stream");
        absl::Status status;
        Resp response;
        status = method_->handler(*this, &response);
        End(status, response);
      }).detach();
    } catch (const std::system_error&) {
      End(absl::ResourceExhaustedError("the daemon can't start a thread for the stream; retry later"), Resp());
    }
  }

  void StartRead() {
    reading_ = true;
    read_.pending = true;
    reader_.Read(&requests_[1 - received_], &read_);
  }

  // On the clock's thread, while Read waits.
  void Wake() {
    wake_.pending = true;
    alarm_.Set(&queue_, gpr_inf_past(GPR_CLOCK_REALTIME), &wake_);
  }

  Event* Next() {
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    auto* const event = static_cast<Event*>(tag);
    event->pending = false;
    event->ok = ok;
    return event;
  }

  void End(const absl::Status& status, const Resp& response) {
    finish_.pending = true;
    if (status.ok()) {
      reader_.Finish(response, grpc::Status::OK, &finish_);
    } else {
      reader_.FinishWithError(ToGrpcStatus(status), &finish_);
    }
    // gRPC aborts when a queue is shut down under operations. A read that was left alone ends with the call.
    while (read_.pending || finish_.pending || done_.pending || wake_.pending) Next();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
    const std::shared_ptr<OpGate> gate = method_->gate;
    delete this;
    gate->Completed();
  }

  const std::shared_ptr<const Method> method_;
  grpc::CompletionQueue queue_;
  grpc::ServerContext context_;
  Reader reader_{&context_};
  std::array<Req, 2> requests_;  // In here, because gRPC may still write to one when the handler has returned.
  size_t received_ = 0;          // The one that Read answered with; gRPC writes to the other.
  bool reading_ = false;
  grpc::Alarm alarm_;
  MemberTag<ClientStream, &ClientStream::OnRequest> request_tag_{this};
  Event read_;
  Event finish_;
  Event done_;  // gRPC's note that the call has ended; of a call that never starts none comes.
  Event wake_;
  runtime::IdleWatch watch_;
};

// Serves a method of `service`, which must outlive the loop, from now on. The server must be running.
template <typename Service, typename Base, typename Req, typename Resp>
void ServeClientStream(CompletionLoop* loop, Service* service,
                       void (Base::*request)(grpc::ServerContext*, grpc::ServerAsyncReader<Resp, Req>*,
                                             grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
                       ClientStreamOptions options,
                       std::type_identity_t<typename ClientStream<Req, Resp>::Handler> handler) {
  using Call = ClientStream<Req, Resp>;
  auto method = std::make_shared<typename Call::Method>();
  method->gate = loop->gate();
  method->options = options;
  method->request = [service, request, queue = loop->queue()](
                        grpc::ServerContext* context, typename Call::Reader* reader, grpc::CompletionQueue* own,
                        Tag* tag) { (service->*request)(context, reader, own, queue, tag); };
  method->handler = std::move(handler);
  Call::Arm(std::move(method));
}

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_CLIENT_STREAM_CALL_H_
