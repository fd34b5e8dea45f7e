#include "server/rpc/completion_loop.h"

#include <pthread.h>

namespace bwrt::server {

CompletionLoop::CompletionLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue) : queue_(std::move(queue)) {}

CompletionLoop::~CompletionLoop() { Stop(); }

void CompletionLoop::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "bwrt-rpc");
    Poll();
  });
}

void CompletionLoop::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (!thread_.joinable()) Start();  // Also a queue that was never polled must be drained.
  gate_->CloseAndDrain();
  queue_->Shutdown();
  thread_.join();
}

void CompletionLoop::Poll() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    static_cast<Tag*>(tag)->OnComplete(ok);
    gate_->Completed();
  }
}

}  // namespace bwrt::server
