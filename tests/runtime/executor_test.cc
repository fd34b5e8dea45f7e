#include "runtime/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/one_shot.h"

namespace bwrt::runtime {
namespace {

TEST(ThreadExecutorTest, RunsInTheOrderPosted) {
  ThreadExecutor executor;
  std::vector<int> order, expected;
  for (int i = 0; i < 100; ++i) {
    executor.Post([&order, i] { order.push_back(i); });
    expected.push_back(i);
  }
  executor.Flush();
  EXPECT_EQ(order, expected);
}

TEST(ThreadExecutorTest, NeverRunsInsidePost) {
  ThreadExecutor executor;
  OneShot<std::thread::id> ran_on;
  executor.Post([&] { ran_on.Set(std::this_thread::get_id()); });
  EXPECT_NE(ran_on.Get(), std::this_thread::get_id());
}

TEST(ThreadExecutorTest, PostReturnsWhileEarlierWorkRuns) {
  ThreadExecutor executor;
  OneShot<bool> go_on, second;
  executor.Post([&] { go_on.Get(); });
  executor.Post([&] { second.Set(true); });  // Would never return if it waited.
  go_on.Set(true);
  EXPECT_TRUE(second.Get());
}

TEST(ThreadExecutorTest, WorkMayPostWork) {
  ThreadExecutor executor;
  OneShot<bool> done;
  executor.Post([&] { executor.Post([&] { done.Set(true); }); });
  EXPECT_TRUE(done.Get());
}

TEST(ThreadExecutorTest, FlushWaitsForWhatWasPostedBefore) {
  ThreadExecutor executor;
  bool ran = false;
  OneShot<bool> go_on;
  executor.Post([&] {
    go_on.Get();
    ran = true;
  });
  std::thread flusher([&] {
    executor.Flush();
    EXPECT_TRUE(ran);
  });
  go_on.Set(true);
  flusher.join();
}

TEST(ThreadExecutorTest, WhatWorkOwnsIsFreedOnTheExecutor) {
  ThreadExecutor executor;
  OneShot<std::thread::id> freed_on;
  std::shared_ptr<void> owned(nullptr, [&](void*) { freed_on.Set(std::this_thread::get_id()); });
  executor.Post([owned = std::move(owned)] {});
  EXPECT_NE(freed_on.Get(), std::this_thread::get_id());
}

TEST(ThreadExecutorTest, DestructionRunsWhatWasPosted) {
  int ran = 0;
  {
    ThreadExecutor executor;
    for (int i = 0; i < 10; ++i) executor.Post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 10);
}

TEST(ThreadExecutorTest, SeveralThreadsMayPost) {
  ThreadExecutor executor;
  int ran = 0;  // Only the executor's thread writes it.
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) executor.Post([&] { ++ran; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  executor.Flush();
  EXPECT_EQ(ran, 400);
}

}  // namespace
}  // namespace bwrt::runtime
