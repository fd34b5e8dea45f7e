// CompletionLoop: the one thread that polls the daemon's completion queue.
//
// Every asynchronous call completes on this one queue: measured on gRPC 1.51, a second polled queue, the
// callback API or the default health service each cost a unary call half of its latency again.
//
// Owns the queue and its thread, and nothing that is in the queue: a tag belongs to the call that started the
// operation, and is alive until its OnComplete has run. All methods are thread-safe unless they say otherwise.
//
// 1. An operation is started only inside OpGate::Run: gRPC aborts on one that is started after the queue was
//    shut down.
// 2. The order of an orderly end is Server::Shutdown(deadline), then Stop(). Each tag completes before Stop
//    returns; whatever tries to start later is refused by the gate.
#ifndef BWRT_SERVER_RPC_COMPLETION_LOOP_H_
#define BWRT_SERVER_RPC_COMPLETION_LOOP_H_

#include <grpcpp/completion_queue.h>

#include <memory>
#include <shared_mutex>
#include <thread>
#include <utility>

namespace bwrt::server {

// What a completion queue gives back when an operation has ended.
class Tag {
 public:
  // Runs on the loop's thread; must not block, for every call of the daemon waits behind it. `ok` is false
  // when the operation did not take place: the peer is gone, or the queue is shutting down.
  virtual void OnComplete(bool ok) = 0;

 protected:
  ~Tag() = default;
};

// A tag that calls a member function of the object which holds it.
template <typename T, void (T::*kMethod)(bool)>
class MemberTag final : public Tag {
 public:
  explicit MemberTag(T* owner) : owner_(owner) {}
  void OnComplete(bool ok) override { (owner_->*kMethod)(ok); }

 private:
  T* const owner_;
};

// Lets operations start until the queue is shut down. Calls share it, so that a handler may outlive the loop.
class OpGate {
 public:
  // Runs `start` and returns true, or returns false when the gate is closed. `start` must not run the gate.
  template <typename Start>
  bool Run(Start&& start) {
    std::shared_lock lock(mu_);
    if (closed_) return false;
    std::forward<Start>(start)();
    return true;
  }

  // Returns once every Run in progress has ended.
  void Close() {
    std::unique_lock lock(mu_);
    closed_ = true;
  }

 private:
  std::shared_mutex mu_;
  bool closed_ = false;  // Guarded by mu_, which Run holds shared.
};

class CompletionLoop {
 public:
  explicit CompletionLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  // As Stop().
  ~CompletionLoop();
  CompletionLoop(const CompletionLoop&) = delete;
  CompletionLoop& operator=(const CompletionLoop&) = delete;

  // Starts the thread. Once only.
  void Start();

  // Closes the gate, shuts the queue down and returns when all of its tags have completed. The server must
  // have been shut down before (or never started). Not to be called by a tag. Not thread-safe.
  void Stop();

  grpc::ServerCompletionQueue* queue() const { return queue_.get(); }
  const std::shared_ptr<OpGate>& gate() const { return gate_; }

 private:
  void Poll();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  const std::shared_ptr<OpGate> gate_ = std::make_shared<OpGate>();
  std::thread thread_;
  bool stopped_ = false;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RPC_COMPLETION_LOOP_H_
