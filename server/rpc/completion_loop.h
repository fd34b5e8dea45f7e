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
// 2. gRPC itself starts operations while it takes tags out of the queue (for a call that is new, and, where there
//    are interceptors, for every tag). So the queue is shut down only when no tag is outstanding any more; the
//    gate counts them.
// 3. The order of an orderly end is Server::Shutdown(deadline), then Stop(). Each tag completes before Stop
//    returns; whatever tries to start later is refused by the gate.
#ifndef BWRT_SERVER_RPC_COMPLETION_LOOP_H_
#define BWRT_SERVER_RPC_COMPLETION_LOOP_H_

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <cstdint>
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

// Lets operations start until the loop stops, and counts those that have not completed. Calls share it, so that a
// handler may outlive the loop.
class OpGate {
 public:
  // Runs `start`, which starts one operation with a tag, and returns true; or returns false when the gate is closed.
  // `start` must not run the gate.
  template <typename Start>
  bool Run(Start&& start) {
    std::shared_lock lock(mu_);
    if (closed_) return false;
    Expect();
    std::forward<Start>(start)();
    return true;
  }

  // One more tag will come, of an operation that gRPC has started by itself.
  void Expect() { outstanding_.fetch_add(1, std::memory_order_relaxed); }
  // A tag has come and been dealt with.
  void Completed() {
    if (outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1) outstanding_.notify_all();
  }

  // Returns once the gate is closed and no tag is outstanding.
  void CloseAndDrain() {
    {
      std::unique_lock lock(mu_);
      closed_ = true;
    }
    int64_t left = 0;
    while ((left = outstanding_.load(std::memory_order_acquire)) > 0) outstanding_.wait(left);
  }

 private:
  std::shared_mutex mu_;
  bool closed_ = false;  // Guarded by mu_, which Run holds shared.
  std::atomic<int64_t> outstanding_{0};
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

  // Closes the gate, waits until all tags have completed, and shuts the queue down. The server must have been shut
  // down before (or never started), or its armed calls never complete. Not to be called by a tag. Not thread-safe.
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
