#include "server/services/wave_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/error.h"
#include "runtime/not_serving.h"
#include "server/services/wave_codec.h"
#include "server/status.h"

namespace bwrt::server {

WaveStream::WaveStream(std::shared_ptr<Stream> stream, runtime::Runtime* runtime,
                       std::function<void(const WaveStream*)> on_end)
    : stream_(std::move(stream)), runtime_(runtime), on_end_(std::move(on_end)) {}

void WaveStream::Start() {
  // Weak: the RPC owns the reader, and a callback of the RPC's must not keep both alive.
  stream_->OnCancel([self = weak_from_this()] {
    if (const auto stream = self.lock()) stream->OnCancel();
  });
  stream_->OnWritten([self = weak_from_this()] {
    if (const auto stream = self.lock()) stream->Proceed();
  });
  Proceed();
}

void WaveStream::OnRead(std::shared_ptr<grpc::ByteBuffer> bytes) {
  const auto request = std::make_shared<v1::StreamWavesRequest>();
  // A buffer may also be invalid because the client died in the middle of the message.
  if (!bytes->Valid() ||
      !grpc::SerializationTraits<v1::StreamWavesRequest>::Deserialize(bytes.get(), request.get()).ok()) {
    return CloseWith(runtime::MakeError(absl::StatusCode::kInvalidArgument, "UNDECODABLE",
                                        "a message of the stream is no bwrt.v1.StreamWavesRequest"));
  }
  const uint64_t sequence = request->sequence();
  uint64_t id;
  {
    runtime::MutexLock lock(mu_);
    id = ++last_id_;
    in_flight_.emplace(id, runtime::Runtime::WaveTicket());
  }
  runtime::WaveRequest wave = DecodeWave(request->wave(), request);
  wave.deadline = stream_->deadline();
  // Strong: a wave in flight keeps its stream, which must outlive the client's half-close.
  auto ticket = runtime_->Submit(
      std::move(wave),
      [self = shared_from_this(), id, sequence](const runtime::Wave& done, absl::StatusOr<runtime::WaveResult> result) {
        v1::StreamWavesResponse response;
        response.set_sequence(sequence);
        if (result.ok()) {
          EncodeResult(done, *std::move(result), response.mutable_result());
        } else {
          *response.mutable_error() = ToRpcStatus(result.status());
        }
        self->Answer(id, std::move(response));
      });
  if (!ticket.ok()) {
    v1::StreamWavesResponse response;
    response.set_sequence(sequence);
    *response.mutable_error() = ToRpcStatus(ticket.status());
    Answer(id, std::move(response));
    return;
  }
  bool gone = false;
  {
    runtime::MutexLock lock(mu_);
    // Unless it has been answered already.
    if (const auto at = in_flight_.find(id); at != in_flight_.end()) at->second = *ticket;
    gone = over_;
  }
  // The client went away while the wave was being admitted.
  if (gone) runtime_->Cancel(*ticket);
  Proceed();
}

void WaveStream::OnReadsDone() {
  {
    runtime::MutexLock lock(mu_);
    reads_done_ = true;
  }
  Proceed();
}

void WaveStream::Close() { CloseWith(runtime::DrainingError()); }

void WaveStream::CloseWith(const absl::Status& status) {
  {
    runtime::MutexLock lock(mu_);
    // A client that has said everything already gets all its answers, and OK.
    if (closing_.ok() && !reads_done_) closing_ = status;
  }
  Proceed();
}

void WaveStream::Answer(uint64_t id, v1::StreamWavesResponse response) {
  // Written before it counts as answered, so that Finish comes after it.
  stream_->Write(std::move(response));
  {
    runtime::MutexLock lock(mu_);
    in_flight_.erase(id);
  }
  Proceed();
}

void WaveStream::OnCancel() {
  std::vector<runtime::Runtime::WaveTicket> tickets;
  {
    runtime::MutexLock lock(mu_);
    over_ = true;
    for (const auto& [id, ticket] : in_flight_) tickets.push_back(ticket);
  }
  for (const auto& ticket : tickets) runtime_->Cancel(ticket);
  on_end_(this);
  stream_->Finish(absl::CancelledError("the client went away"));
}

void WaveStream::Proceed() {
  bool read = false;
  absl::Status end;
  {
    runtime::MutexLock lock(mu_);
    if (over_) return;
    if ((reads_done_ || !closing_.ok()) && in_flight_.empty()) {
      over_ = true;
      end = closing_;
    } else {
      read = !reads_done_ && closing_.ok() && in_flight_.size() + stream_->pending() < kMaxInFlight;
      if (!read) return;
    }
  }
  if (read) {
    stream_->ReadNext();  // Does nothing while a read is under way.
    return;
  }
  on_end_(this);
  stream_->Finish(end);
}

}  // namespace bwrt::server
