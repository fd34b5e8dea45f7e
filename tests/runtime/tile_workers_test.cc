#include "runtime/tile_workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "runtime/mutex.h"

namespace bwrt::runtime {
namespace {

// Units of work; each waits until `together` threads are in Do at once, if that is asked for.
class Units final : public TileWorkers::Work {
 public:
  explicit Units(int units, int together = 1) : left_(units), together_(together) {}

  void Do() override {
    ++threads_;
    {
      MutexLock lock(mu_);
      ++inside_;
      arrived_.NotifyAll();
      while (inside_ < together_) arrived_.Wait(mu_);
    }
    while (left_.fetch_sub(1) > 0) ++done_;
    ++returned_;
  }
  bool HasMore() const override { return left_.load() > 0; }

  int threads() const { return threads_; }
  int returned() const { return returned_; }
  int done() const { return done_; }

 private:
  std::atomic<int> left_;
  std::atomic<int> done_{0};
  std::atomic<int> threads_{0};
  std::atomic<int> returned_{0};
  const int together_;
  Mutex mu_;
  CondVar arrived_;
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST(TileWorkersTest, OneThreadIsTheCallersOwn) {
  TileWorkers workers(1);
  Units units(100);
  workers.Run(units);
  EXPECT_EQ(units.done(), 100);
  EXPECT_EQ(units.threads(), 1);
}

TEST(TileWorkersTest, AllThreadsJoin) {
  TileWorkers workers(4);
  for (int round = 0; round < 100; ++round) {
    Units units(100, /*together=*/4);
    workers.Run(units);
    EXPECT_EQ(units.done(), 100);
    EXPECT_EQ(units.threads(), 4);
  }
}

TEST(TileWorkersTest, RunReturnsAfterAllThatJoinedHave) {
  TileWorkers workers(4);
  for (int round = 0; round < 2000; ++round) {
    Units units(3);
    workers.Run(units);
    EXPECT_EQ(units.done(), 3);
    EXPECT_EQ(units.threads(), units.returned());
  }
}

TEST(TileWorkersTest, AloneIsAlone) {
  TileWorkers workers(4);
  for (int round = 0; round < 100; ++round) {
    Units units(100);
    workers.RunAlone(units);
    EXPECT_EQ(units.done(), 100);
    EXPECT_EQ(units.threads(), 1);
  }
}

// Two callers that take both threads: no worker joins either, until one of them has left; then it joins the other.
TEST(TileWorkersTest, WorkersJoinOnlyWhileThreadsAreFree) {
  TileWorkers workers(2);

  // Holds its thread until told to go.
  class Gate final : public TileWorkers::Work {
   public:
    void Do() override {
      MutexLock lock(mu_);
      ++threads_;
      changed_.NotifyAll();
      while (!open_) changed_.Wait(mu_);
    }
    bool HasMore() const override { return !open_.load(); }
    void Open() {
      MutexLock lock(mu_);
      open_ = true;
      changed_.NotifyAll();
    }
    int threads() {
      MutexLock lock(mu_);
      return threads_;
    }
    void AwaitThreads(int count) {
      MutexLock lock(mu_);
      while (threads_ < count) changed_.Wait(mu_);
    }

   private:
    Mutex mu_;
    CondVar changed_;
    int threads_ = 0;
    std::atomic<bool> open_{false};
  };

  Gate first;
  Gate second;
  std::thread a([&] { workers.RunAlone(first); });
  first.AwaitThreads(1);
  std::thread b([&] { workers.Run(second); });
  second.AwaitThreads(1);
  EXPECT_EQ(second.threads(), 1) << "both threads are taken";
  first.Open();
  a.join();
  second.AwaitThreads(2);
  second.Open();
  b.join();
  EXPECT_EQ(first.threads(), 1);
  EXPECT_EQ(second.threads(), 2);
}

TEST(TileWorkersTest, ManyCallersAtOnce) {
  TileWorkers workers(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&workers, i] {
      for (int round = 0; round < 500; ++round) {
        Units units(7 + i);
        round % 3 == 0 ? workers.RunAlone(units) : workers.Run(units);
        EXPECT_EQ(units.done(), 7 + i);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace bwrt::runtime
