// BidiStream: one RPC with a stream of requests and a stream of responses, independent of each other.
//
//   ServeBidi(&loop, &service, &Execution::AsyncService::RequestStreamWaves, {.max_pending = 64},
//             [&](std::shared_ptr<BidiStream<StreamWavesRequest, StreamWavesResponse>> stream) {
//               auto reader = std::make_shared<WaveReader>(stream);
//               stream->ReadNext();
//               return reader;
//             });
//
// Reading is pulled: each ReadNext reads one request, so a service caps what it has in flight by not asking
// for more, and gRPC's flow control holds the client back. Writing as in response_stream.h. Thread-safe.
//
// The stream keeps the reader alive while a read is under way, at most until the RPC has ended; a reader may
// therefore hold the stream's shared_ptr.
#ifndef BWRT_SERVER_RPC_BIDI_CALL_H_
#define BWRT_SERVER_RPC_BIDI_CALL_H_

#include <grpcpp/support/async_stream.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "server/rpc/response_stream.h"
#include "server/rpc/server_stream_call.h"

namespace bwrt::server {

// What receives the requests of one stream, on the loop's thread.
template <typename Req>
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // One ReadNext's request. It may be kept as long as wanted. Not called after Finish.
  virtual void OnRead(std::shared_ptr<Req> request) = 0;
  // The client has closed its half or is gone (then OnCancel's callback runs too, in either order). At most
  // once, in answer to a ReadNext.
  virtual void OnReadsDone() = 0;
};

template <typename Req, typename Resp>
class BidiStream final : public ResponseStream<grpc::ServerAsyncReaderWriter<Resp, Req>, Resp> {
 public:
  using ReaderWriter = grpc::ServerAsyncReaderWriter<Resp, Req>;
  // Makes the reader of a stream that has just been opened, and typically calls ReadNext.
  using Handler = std::function<std::shared_ptr<StreamReader<Req>>(std::shared_ptr<BidiStream>)>;

  struct Method {
    std::shared_ptr<OpGate> gate;
    StreamOptions options;
    std::function<void(grpc::ServerContext*, ReaderWriter*, Tag*)> request;
    Handler handler;
  };

  static void Arm(std::shared_ptr<const Method> method) {
    auto* call = new BidiStream(method);
    const bool armed =
        method->gate->Run([&] { method->request(&call->context_, &call->stream_, &call->request_tag_); });
    if (!armed) delete call;
  }

  // Asks for one more request. False, and nothing happens, when a read is under way or nothing more can come.
  bool ReadNext() {
    Req* into = nullptr;
    {
      runtime::MutexLock lock(this->mu_);
      if (reading_ || reads_done_ || this->finished_) return false;
      reading_ = true;
      incoming_ = std::make_shared<Req>();
      into = incoming_.get();
    }
    return this->StartOp([&] { this->stream_.Read(into, &read_tag_); });
  }

 private:
  explicit BidiStream(std::shared_ptr<const Method> method)
      : ResponseStream<ReaderWriter, Resp>(method->gate, method->options.max_pending), method_(std::move(method)) {}

  void OnRequest(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    this->Started();
    const std::shared_ptr<const Method> method = std::move(method_);
    Arm(method);
    // This is the loop's thread: neither a read nor the end can complete before the reader is set. The handler
    // may drop its reference, so one is kept until then.
    this->Ref();
    std::shared_ptr<StreamReader<Req>> reader = method->handler(this->Handle(this));
    {
      runtime::MutexLock lock(this->mu_);
      reader_.swap(reader);
    }
    this->Unref();
  }

  void OnReadDone(bool ok) {
    std::shared_ptr<Req> request;
    std::shared_ptr<StreamReader<Req>> reader;
    bool deliver = false;
    {
      runtime::MutexLock lock(this->mu_);
      reading_ = false;
      request.swap(incoming_);
      deliver = ok && !this->finished_;
      if (!ok) reads_done_ = true;
      if (ok && !ended_reading_) {
        reader = reader_;
      } else {
        reader.swap(reader_);
      }
    }
    if (reader) {
      if (deliver) reader->OnRead(std::move(request));
      if (!ok) reader->OnReadsDone();
    }
    reader = nullptr;
    this->Unref();
  }

  void OnEnded() override {
    ResponseStream<ReaderWriter, Resp>::OnEnded();
    std::shared_ptr<StreamReader<Req>> released;
    {
      runtime::MutexLock lock(this->mu_);
      ended_reading_ = true;
      if (!reading_) {
        reads_done_ = true;
        reader_.swap(released);
      }
    }
  }

  std::shared_ptr<const Method> method_;  // Until the handler runs.
  MemberTag<BidiStream, &BidiStream::OnRequest> request_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnReadDone> read_tag_{this};
  bool reading_ ABSL_GUARDED_BY(this->mu_) = false;
  bool reads_done_ ABSL_GUARDED_BY(this->mu_) = false;
  bool ended_reading_ ABSL_GUARDED_BY(this->mu_) = false;
  std::shared_ptr<Req> incoming_ ABSL_GUARDED_BY(this->mu_);  // What it holds is gRPC's while reading.
  std::shared_ptr<StreamReader<Req>> reader_ ABSL_GUARDED_BY(this->mu_);
};

// Serves a method of `service`, which must outlive the loop, from now on. The server must be running.
template <typename Service, typename Base, typename Req, typename Resp>
void ServeBidi(CompletionLoop* loop, Service* service,
               void (Base::*request)(grpc::ServerContext*, grpc::ServerAsyncReaderWriter<Resp, Req>*,
                                     grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
               StreamOptions options, std::type_identity_t<typename BidiStream<Req, Resp>::Handler> handler) {
  using Call = BidiStream<Req, Resp>;
  auto method = std::make_shared<typename Call::Method>();
  method->gate = loop->gate();
  method->options = options;
  method->request = [service, request, queue = loop->queue()](grpc::ServerContext* context,
                                                              typename Call::ReaderWriter* stream, Tag* tag) {
    (service->*request)(context, stream, queue, queue, tag);
  };
  method->handler = std::move(handler);
  Call::Arm(std::move(method));
}

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_BIDI_CALL_H_
