// ResponseStream: the sending half that ServerStream and BidiStream share.
//
// Responses queue in order, one gRPC write under way at a time. Thread-safe. `Stream` is gRPC's writer.
//
// 1. The thread that finds no write under way starts one; after that the loop's thread does.
// 2. gRPC's Finish starts when Finish was called and no write is under way, so all queued responses go first.
// 3. Once a write has failed the client is gone: the queue is dropped, and nothing more is accepted.
#ifndef BWRT_SERVER_RPC_RESPONSE_STREAM_H_
#define BWRT_SERVER_RPC_RESPONSE_STREAM_H_

#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "server/rpc/call_base.h"
#include "server/status.h"

namespace bwrt::server {

template <typename Stream, typename Resp>
class ResponseStream : public CallBase {
 public:
  // Queues `response` however many are waiting: for callers that bound them in another way. False when the
  // stream is over (finished or cancelled), or the response larger than a gRPC message can be (2 GiB).
  bool Write(Resp response) { return Enqueue(response, std::numeric_limits<size_t>::max()); }

  // As Write, but also false when as many as the method's `max_pending` are waiting.
  bool TryWrite(Resp response) { return Enqueue(response, max_pending_); }

  // Responses that gRPC has not yet taken, the one under way included.
  size_t pending() const {
    runtime::MutexLock lock(this->mu_);
    return queue_.size() + (writing_ ? 1 : 0);
  }

  // Calls `callback` on the loop's thread each time gRPC has taken a response, so that a service can send what
  // it had to hold back. Released when the stream is over.
  void OnWritten(std::function<void()> callback) {
    auto shared = std::make_shared<const std::function<void()>>(std::move(callback));
    runtime::MutexLock lock(this->mu_);
    if (!this->finished_ && !ended_) on_written_.swap(shared);
  }

  void Finish(const absl::Status& status) override {
    std::function<void()> cancel_released;
    Callback written_released;
    {
      runtime::MutexLock lock(this->mu_);
      if (!this->MarkFinished(&cancel_released)) return;
      on_written_.swap(written_released);
      status_ = status;
      if (writing_) return;  // Invariant 2: OnWrite will.
    }
    StartFinish(status);
  }

 protected:
  ResponseStream(std::shared_ptr<OpGate> gate, size_t max_pending)
      : CallBase(std::move(gate)), max_pending_(max_pending) {}

  void OnEnded() override {
    Callback released;
    std::deque<Resp> dropped;
    runtime::MutexLock lock(this->mu_);
    ended_ = true;
    on_written_.swap(released);
    queue_.swap(dropped);
  }

  Stream stream_{&context_};

 private:
  using Callback = std::shared_ptr<const std::function<void()>>;

  bool Enqueue(Resp& response, size_t limit) {
    if (response.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) return false;
    {
      runtime::MutexLock lock(this->mu_);
      if (this->finished_ || ended_ || this->cancelled()) return false;
      if (queue_.size() + (writing_ ? 1 : 0) >= limit) return false;
      if (writing_) {
        queue_.push_back(std::move(response));
        return true;
      }
      writing_ = true;
    }
    StartWrite(response);
    return true;
  }

  void StartWrite(const Resp& response) {
    // When the gate is closed nothing completes any more, and writing_ stays set: nothing starts again.
    StartOp([&] { stream_.Write(response, &write_tag_); });
  }

  void StartFinish(const absl::Status& status) {
    StartOp([&] { stream_.Finish(ToGrpcStatus(status), &finish_tag_); });
  }

  void OnWrite(bool ok) {
    Resp next;
    bool write = false;
    bool finish = false;
    Callback written;
    std::deque<Resp> dropped;
    absl::Status status;
    {
      runtime::MutexLock lock(this->mu_);
      if (!ok) {
        ended_ = true;
        queue_.swap(dropped);
      }
      write = !queue_.empty();
      if (write) {
        next = std::move(queue_.front());
        queue_.pop_front();
      } else {
        writing_ = false;
        finish = this->finished_;
        if (finish) status = status_;
      }
      if (ok) {
        written = on_written_;
      } else {
        on_written_.swap(written);
      }
    }
    if (write) StartWrite(next);
    if (finish) StartFinish(status);
    if (ok && written && *written) (*written)();
    written = nullptr;
    this->Unref();
  }
  void OnFinished(bool /*ok*/) { this->Unref(); }

  const size_t max_pending_;
  MemberTag<ResponseStream, &ResponseStream::OnWrite> write_tag_{this};
  MemberTag<ResponseStream, &ResponseStream::OnFinished> finish_tag_{this};
  std::deque<Resp> queue_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  Callback on_written_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_RESPONSE_STREAM_H_
