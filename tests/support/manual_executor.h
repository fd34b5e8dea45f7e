// ManualExecutor: work that waits until a test runs it.
//
// Thread-safe. Work runs on the thread that calls RunOne, RunAll or Flush, one piece at a time and in the
// order posted. Posted work must not call these.
#ifndef BWRT_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
#define BWRT_TESTS_SUPPORT_MANUAL_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "runtime/executor.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class ManualExecutor final : public Executor {
 public:
  void Post(std::function<void()> work) override {
    MutexLock lock(mu_);
    queue_.push_back(std::move(work));
    changed_.NotifyAll();
  }

  void Flush() override { RunAll(); }

  // Runs the oldest piece of work; false when there is none.
  bool RunOne() {
    MutexLock one_at_a_time(run_mu_);
    std::function<void()> work;
    {
      MutexLock lock(mu_);
      if (queue_.empty()) return false;
      work = std::move(queue_.front());
      queue_.pop_front();
      runner_ = std::this_thread::get_id();
    }
    work();
    // What it captured is freed here too, as by a thread of the executor's own.
    work = nullptr;
    MutexLock lock(mu_);
    runner_ = std::thread::id();
    return true;
  }

  // Runs everything, also what is posted meanwhile. How many pieces there were.
  size_t RunAll() {
    size_t count = 0;
    while (RunOne()) ++count;
    return count;
  }

  size_t pending() const {
    MutexLock lock(mu_);
    return queue_.size();
  }

  // Returns once at least `count` pieces wait: how a test learns what another thread has got to.
  void AwaitPosted(size_t count) {
    MutexLock lock(mu_);
    while (queue_.size() < count) changed_.Wait(mu_);
  }

  // Whether the calling thread is running posted work.
  bool running_here() const {
    MutexLock lock(mu_);
    return runner_ == std::this_thread::get_id();
  }

 private:
  Mutex run_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  std::thread::id runner_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
