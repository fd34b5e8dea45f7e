// Executor: a place for work that may take long and must stay off the waves' path: building versions,
// packing weights, freeing retired ones. Injected, so that tests decide when it runs.
#ifndef BWRT_RUNTIME_EXECUTOR_H_
#define BWRT_RUNTIME_EXECUTOR_H_

#include <deque>
#include <functional>
#include <thread>

#include "runtime/mutex.h"

namespace bwrt::runtime {

// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` later, in the order posted, never inside this call.
  virtual void Post(std::function<void()> work) = 0;
  // Returns once everything posted before has run. Not to be called from posted work.
  virtual void Flush() = 0;
};

// One thread. What was posted before destruction still runs.
class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor();
  ~ThreadExecutor() override;
  void Post(std::function<void()> work) override;
  void Flush() override;

 private:
  void Loop();

  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_EXECUTOR_H_
