#include "runtime/executor.h"

#include <utility>

namespace bwrt::runtime {

ThreadExecutor::ThreadExecutor() : thread_([this] { Loop(); }) {}

ThreadExecutor::~ThreadExecutor() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void ThreadExecutor::Post(std::function<void()> work) {
  {
    MutexLock lock(mu_);
    queue_.push_back(std::move(work));
  }
  changed_.NotifyOne();
}

void ThreadExecutor::Flush() {
  Mutex mu;
  CondVar reached;
  bool done = false;
  Post([&] {
    MutexLock lock(mu);
    done = true;
    reached.NotifyAll();
  });
  MutexLock lock(mu);
  while (!done) reached.Wait(mu);
}

void ThreadExecutor::Loop() {
  mu_.Lock();
  while (true) {
    if (!queue_.empty()) {
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      mu_.Unlock();
      work();
      work = nullptr;
      mu_.Lock();
    } else if (stopping_) {
      break;
    } else {
      changed_.Wait(mu_);
    }
  }
  mu_.Unlock();
}

}  // namespace bwrt::runtime
