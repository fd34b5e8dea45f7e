// TileWorkers: the threads that help the lanes of a processor with their waves.
//
// A lane's own thread always works on its wave. Workers join whichever wave has tiles left, as long as no more than
// `threads` threads work in all: with one wave at a time it gets them all, with as many waves as threads each gets one.
// Nothing is handed over, so a wave never waits for a worker to wake up. Thread-safe.
#ifndef BWRT_RUNTIME_TILE_WORKERS_H_
#define BWRT_RUNTIME_TILE_WORKERS_H_

#include <atomic>
#include <thread>
#include <vector>

#include "runtime/mutex.h"

namespace bwrt::runtime {

class TileWorkers {
 public:
  // What several threads can do together.
  class Work {
   public:
    virtual ~Work() = default;
    // Called once by Run's thread and once by each worker that joins; returns when nothing is left to take up.
    virtual void Do() = 0;
    // Whether one more thread would find something to take up; false once Do has returned. Called under a lock of
    // TileWorkers: cheap.
    virtual bool HasMore() const = 0;
  };

  // `threads` >= 1 counts Run's threads too: there are threads - 1 workers.
  explicit TileWorkers(int threads);
  // Nobody is in Run any more.
  ~TileWorkers();
  TileWorkers(const TileWorkers&) = delete;
  TileWorkers& operator=(const TileWorkers&) = delete;

  int threads() const { return threads_; }

  // Does `work` on this thread and on those workers that are free; returns when all of them have.
  void Run(Work& work);
  // Does it on this thread alone, which counts as one of `threads` meanwhile.
  void RunAlone(Work& work);

 private:
  struct Open {
    Work* work;
    std::atomic<int> helpers{0};  // Changed under mu_; read by Run's thread without it.
  };

  void WorkerLoop();
  // An open piece of work that a worker may join; null where there is none.
  Open* PickLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Wakes a worker if there is something for one to do.
  void InviteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int threads_;
  Mutex mu_;
  CondVar invited_;  // Workers wait here,
  CondVar left_;     // and here Run's threads for their helpers.
  std::vector<Open*> open_ ABSL_GUARDED_BY(mu_);
  int busy_ ABSL_GUARDED_BY(mu_) = 0;  // Threads that work, Run's included.
  int idle_ ABSL_GUARDED_BY(mu_) = 0;  // Workers that wait.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> workers_;  // Last: they use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TILE_WORKERS_H_
