// WaveStream: one StreamWaves call: waves in, results out as they finish.
//
// Reads on only while fewer than kMaxInFlight waves are unanswered and the answers that the client has not yet
// taken are few, so that a client can neither flood the queue nor pile up results by not reading. Owned by its
// RPC; thread-safe.
#ifndef BWRT_SERVER_SERVICES_WAVE_STREAM_H_
#define BWRT_SERVER_SERVICES_WAVE_STREAM_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "bwrt/v1/execution.pb.h"
#include "runtime/mutex.h"
#include "runtime/runtime.h"
#include "server/rpc/bidi_call.h"

namespace bwrt::server {

class WaveStream final : public StreamReader<grpc::ByteBuffer>, public std::enable_shared_from_this<WaveStream> {
 public:
  // Requests come as bytes: gRPC does not tell a typed message that can't be parsed from the client's half-close.
  using Stream = BidiStream<grpc::ByteBuffer, v1::StreamWavesResponse>;
  static constexpr size_t kMaxInFlight = 64;

  // `on_end` is called once the RPC is over for us: finished, or abandoned by the client.
  WaveStream(std::shared_ptr<Stream> stream, runtime::Runtime* runtime, std::function<void(const WaveStream*)> on_end);

  // Begins reading. Once, when a shared_ptr owns this.
  void Start();
  // Reads no more, and ends with UNAVAILABLE once everything read is answered.
  void Close();

  void OnRead(std::shared_ptr<grpc::ByteBuffer> bytes) override;
  void OnReadsDone() override;

 private:
  // Reads no more, and ends with `status` once everything read is answered.
  void CloseWith(const absl::Status& status);
  void Answer(uint64_t id, v1::StreamWavesResponse response);
  void OnCancel();
  // Reads on, or finishes, if it is time to.
  void Proceed();

  const std::shared_ptr<Stream> stream_;
  runtime::Runtime* const runtime_;
  const std::function<void(const WaveStream*)> on_end_;

  runtime::Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, runtime::Runtime::WaveTicket> in_flight_ ABSL_GUARDED_BY(mu_);
  bool reads_done_ ABSL_GUARDED_BY(mu_) = false;  // The client has said everything.
  absl::Status closing_ ABSL_GUARDED_BY(mu_);     // Not OK: we want no more, and end with this.
  bool over_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_WAVE_STREAM_H_
