#include "client/wave_carrier.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bwrt/v1/execution.grpc.pb.h"
#include "client/channel.h"
#include "client/dtype.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

using Answer = WaveCarrier::Answer;

std::chrono::system_clock::time_point ToSystemTime(WaveCarrier::Time time) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(time - std::chrono::steady_clock::now());
}

size_t BytesOfC(const v1::SubmitWaveRequest& wave) {
  const DType dtype = wave.c_dtype() == DTYPE_UNSPECIFIED ? F32 : wave.c_dtype();
  return static_cast<size_t>(wave.m() * wave.n() * DTypeBytes(dtype));
}

absl::Status CheckC(const v1::WaveResult& result, size_t bytes) {
  if (result.c().size() == bytes) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the daemon's C has ", result.c().size(), " bytes instead of ", bytes));
}

// What both kinds share: the connection, and one event at a time from its queue. Derived classes call Shutdown in their
// destructors, while what events point to is still there.
class QueueCarrier : public WaveCarrier {
 public:
  absl::Status Receive(Time deadline, std::vector<Answer>* answers) final {
    const size_t before = answers->size();
    const auto end = ToSystemTime(deadline);
    while (answers->size() == before) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, end) != grpc::CompletionQueue::GOT_EVENT) return absl::OkStatus();
      if (absl::Status status = OnEvent(tag, ok, answers); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 protected:
  explicit QueueCarrier(const CarrierOptions& options)
      : channel_(MakeChannel(options.address, -1, -1)),
        stub_(v1::Execution::NewStub(channel_)),
        c_bytes_(BytesOfC(options.wave)) {}

  absl::Status Connect(const std::string& address) {
    if (WaitUntilConnected(*channel_, kConnectTimeout)) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("no daemon answers at ", address));
  }

  // Takes what is left out of the queue. Nothing may be started any more, and all that was must be ending.
  void Shutdown() {
    queue_.Shutdown();
    void* tag = nullptr;
    for (bool ok = false; queue_.Next(&tag, &ok);) Drop(tag);
  }

  virtual absl::Status OnEvent(void* tag, bool ok, std::vector<Answer>* answers) = 0;
  virtual void Drop(void* /*tag*/) {}

  v1::Execution::Stub& stub() { return *stub_; }
  grpc::CompletionQueue* queue() { return &queue_; }
  size_t c_bytes() const { return c_bytes_; }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Execution::Stub> stub_;
  const size_t c_bytes_;
  grpc::CompletionQueue queue_;
};

class StreamCarrier final : public QueueCarrier {
 public:
  explicit StreamCarrier(const CarrierOptions& options) : QueueCarrier(options) {
    *request_.mutable_wave() = options.wave;
    const int64_t count = (options.in_flight + kWavesPerStream - 1) / kWavesPerStream;
    for (int64_t i = 0; i < count; ++i) streams_.emplace_back();
    for (int64_t i = 0; i < options.in_flight; ++i) free_.push_back(&streams_[static_cast<size_t>(i % count)]);
  }

  ~StreamCarrier() override {
    for (Stream& stream : streams_) stream.context.TryCancel();
    Shutdown();
  }

  absl::Status Open(const std::string& address) {
    if (absl::Status status = Connect(address); !status.ok()) return status;
    for (Stream& stream : streams_) {
      stream.calls = stub().PrepareAsyncStreamWaves(&stream.context, queue());
      stream.calls->StartCall(&stream.started);
    }
    return absl::OkStatus();
  }

  void Send(uint64_t id) override {
    Stream* stream = free_.front();
    free_.pop_front();
    stream->unsent.push_back(id);
    Write(stream);
  }

 private:
  struct Stream;
  enum class Event { kStarted, kWritten, kRead, kFinished };
  struct Tag {
    Stream* stream;
    Event event;
  };
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::StreamWavesRequest, v1::StreamWavesResponse>> calls;
    v1::StreamWavesResponse response;  // gRPC's while it reads.
    grpc::Status status;
    std::deque<uint64_t> unsent;
    bool busy = true;  // Starting, or writing: one write at a time.
    Tag started{this, Event::kStarted};
    Tag written{this, Event::kWritten};
    Tag read{this, Event::kRead};
    Tag finished{this, Event::kFinished};
  };

  void Write(Stream* stream) {
    if (stream->busy || stream->unsent.empty()) return;
    stream->busy = true;
    request_.set_sequence(stream->unsent.front());
    stream->unsent.pop_front();
    // Serialized before it returns, so that all streams can share one message.
    stream->calls->Write(request_, &stream->written);
  }

  absl::Status OnEvent(void* tag, bool ok, std::vector<Answer>* answers) override {
    const auto [stream, event] = *static_cast<Tag*>(tag);
    switch (event) {
      case Event::kStarted:
        // Where it fails the read does too, and leads to the status.
        stream->calls->Read(&stream->response, &stream->read);
        [[fallthrough]];
      case Event::kWritten:
        stream->busy = !ok;
        Write(stream);
        return absl::OkStatus();
      case Event::kRead:
        if (!ok) {
          stream->calls->Finish(&stream->status, &stream->finished);
          return absl::OkStatus();
        }
        OnAnswer(stream, answers);
        stream->calls->Read(&stream->response, &stream->read);
        return absl::OkStatus();
      case Event::kFinished:
        if (!stream->status.ok()) return FromGrpcStatus(stream->status);
        return absl::UnavailableError("the daemon ended a stream of waves");
    }
    return absl::OkStatus();
  }

  void OnAnswer(Stream* stream, std::vector<Answer>* answers) {
    const v1::StreamWavesResponse& response = stream->response;
    answers->push_back({response.sequence(),
                        response.has_error() ? FromRpcStatus(response.error()) : CheckC(response.result(), c_bytes())});
    free_.push_back(stream);
  }

  v1::StreamWavesRequest request_;
  std::deque<Stream> streams_;  // They do not move.
  std::deque<Stream*> free_;    // One entry for each wave that a stream can still take.
};

class CallCarrier final : public QueueCarrier {
 public:
  explicit CallCarrier(const CarrierOptions& options) : QueueCarrier(options), wave_(options.wave) {}

  ~CallCarrier() override {
    for (Call* call : calls_) {
      if (call != nullptr) call->context.TryCancel();
    }
    Shutdown();
  }

  absl::Status Open(const std::string& address) { return Connect(address); }

  void Send(uint64_t id) override {
    auto* call = new Call;  // The queue's, until its event.
    call->id = id;
    call->reader = stub().AsyncSubmitWave(&call->context, wave_, queue());
    call->reader->Finish(&call->result, &call->status, call);
    if (id >= calls_.size()) calls_.resize(id + 1);
    calls_[id] = call;
  }

 private:
  struct Call {
    uint64_t id = 0;
    grpc::ClientContext context;
    v1::WaveResult result;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::WaveResult>> reader;
  };

  absl::Status OnEvent(void* tag, bool /*ok*/, std::vector<Answer>* answers) override {
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    calls_[call->id] = nullptr;
    if (!call->status.ok()) {
      absl::Status status = FromGrpcStatus(call->status);
      if (IsUnreachable(status)) return status;
      answers->push_back({call->id, std::move(status)});
    } else {
      answers->push_back({call->id, CheckC(call->result, c_bytes())});
    }
    return absl::OkStatus();
  }
  void Drop(void* tag) override { delete static_cast<Call*>(tag); }

  const v1::SubmitWaveRequest wave_;
  std::vector<Call*> calls_;  // By id; null where none is in flight.
};

template <class Carrier>
absl::StatusOr<std::unique_ptr<WaveCarrier>> Open(const CarrierOptions& options) {
  auto carrier = std::make_unique<Carrier>(options);
  if (absl::Status status = carrier->Open(options.address); !status.ok()) return status;
  return carrier;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WaveCarrier>> CarryByStreams(const CarrierOptions& options) {
  return Open<StreamCarrier>(options);
}

absl::StatusOr<std::unique_ptr<WaveCarrier>> CarryByCalls(const CarrierOptions& options) {
  return Open<CallCarrier>(options);
}

}  // namespace bwrt::client
