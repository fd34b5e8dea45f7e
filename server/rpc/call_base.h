// CallBase: what all kinds of asynchronous call share: lifetime, cancellation, deadline, peer.
//
// A call is created when it is armed, that is, offered to gRPC for the next RPC of its method. It deletes
// itself; nobody else does. References hold it: one for the handler (all copies of the shared_ptr together),
// one for each operation under way, one for gRPC's note that the RPC has ended.
//
// Thread-safe. Handlers and callbacks run on the loop's thread unless said otherwise.
//
// 1. An armed call that never starts (the server shuts down) completes one tag with ok = false, and gRPC sends
//    no end note for it: it is deleted there and then.
// 2. Finish counts once; the first caller wins. A handler that drops its last shared_ptr without Finish has
//    made a mistake: the client gets INTERNAL rather than waiting for ever.
// 3. A user's callback is run and destroyed outside the lock, for it may hold the last reference to this call.
#ifndef BWRT_SERVER_RPC_CALL_BASE_H_
#define BWRT_SERVER_RPC_CALL_BASE_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "runtime/mutex.h"
#include "server/rpc/completion_loop.h"

namespace bwrt::server {

class CallBase {
 public:
  CallBase(const CallBase&) = delete;
  CallBase& operator=(const CallBase&) = delete;

  // Ends the RPC. From any thread; only the first call counts. On a stream, responses written before are sent
  // first.
  virtual void Finish(const absl::Status& status) = 0;

  // Calls `callback` once, on the loop's thread, if the client goes away or its deadline passes before Finish;
  // at once, on this thread, if that has already happened. Released unrun at Finish. A later callback
  // replaces an earlier one. It may still be running when a concurrent Finish returns.
  void OnCancel(std::function<void()> callback);

  // True once the client has gone away or its deadline has passed.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // When the client stops waiting; nullopt when it waits for ever.
  std::optional<std::chrono::steady_clock::time_point> deadline() const { return deadline_; }

  // The client's address as gRPC writes it, such as "ipv4:127.0.0.1:4711"; just "unix:" for a Unix socket.
  std::string peer() const { return context_.peer(); }

 protected:
  explicit CallBase(std::shared_ptr<OpGate> gate);
  virtual ~CallBase() = default;

  // The request has arrived: to be called first. Afterwards the handler's reference and the end note's exist.
  void Started();
  // Wraps `call`, whose handler's reference this is, for the handler.
  template <typename Call>
  static std::shared_ptr<Call> Handle(Call* call) {
    return std::shared_ptr<Call>(call, [](Call* dropped) { dropped->DropHandle(); });
  }

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  // May delete this.
  void Unref();

  // Starts an operation that completes a tag, which must Unref. False, without reference, when it is too late.
  template <typename Start>
  bool StartOp(Start&& start) {
    Ref();
    if (gate_->Run(std::forward<Start>(start))) return true;
    Unref();
    return false;
  }

  // Marks the call as finished and takes out the callback that must now be released, outside the lock. False
  // if it was finished before.
  bool MarkFinished(std::function<void()>* released) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The RPC has ended, for whatever reason; no more will come from the client. On the loop's thread.
  virtual void OnEnded() {}

  grpc::ServerContext context_;
  mutable runtime::Mutex mu_;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;

 private:
  void OnDone(bool ok);
  void DropHandle();

  const std::shared_ptr<OpGate> gate_;
  MemberTag<CallBase, &CallBase::OnDone> done_tag_{this};
  std::optional<std::chrono::steady_clock::time_point> deadline_;  // Constant once started.
  std::atomic<int> references_{0};
  std::atomic<bool> cancelled_{false};
  std::function<void()> on_cancel_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_CALL_BASE_H_
