#include "runtime/wave_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "tests/support/blank_version.h"
#include "tests/support/error_details.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/one_shot.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

struct JobOptions {
  int32_t priority = 0;
  std::optional<Duration> deadline = {};  // From now.
  int64_t bytes = 0;
};

class WaveQueueTest : public ::testing::Test {
 protected:
  std::shared_ptr<Model> MakeModel(std::string name) {
    return std::make_shared<Model>(std::move(name), /*keep_versions=*/0, &line_);
  }

  // Jobs are numbered in the order they are made, from 1.
  WaveJobPtr Job(const JobOptions& options = {}) { return Job(model_, options); }
  WaveJobPtr Job(const std::shared_ptr<Model>& model, const JobOptions& options = {}) {
    Wave wave;
    wave.priority = options.priority;
    if (options.deadline) wave.deadline = clock_.Now() + *options.deadline;
    wave.held_bytes = Bytes(options.bytes);
    return std::make_shared<WaveJob>(WaveNumber(++last_), std::move(wave), model, clock_.Now(),
                                     [](const Wave&, const absl::StatusOr<WaveResult>&) {});
  }
  WaveJobPtr Pushed(const JobOptions& options = {}) {
    WaveJobPtr job = Job(options);
    EXPECT_TRUE(queue_.Push(job).ok());
    return job;
  }

  // Numbers of everything that is in the queue, in the order it comes out.
  std::vector<uint64_t> PopAll() {
    queue_.Close();
    std::vector<uint64_t> numbers;
    while (const WaveJobPtr job = queue_.Pop()) numbers.push_back(job->number.value());
    return numbers;
  }

  // Makes `model` hold its waves back: one is in flight outside its window, and a swap that waits has run out of
  // patience. Dropping the lease ends it.
  std::unique_ptr<Lease> HoldBack(const std::shared_ptr<Model>& model) {
    auto lease = model->Start({WaveNumber(1000), "", {.begin = 5, .end = 6}, {.prefetch = 0, .tiles = 9}, Version()});
    SwapRequest request;
    request.ticket = line_.NewTicket();
    request.parts = {{model, BlankVersion(*model->current(), "", {}), std::nullopt}};
    request.options.policy = SwapPolicy::kWaitForWindow;
    request.options.hold_after = Duration(0);
    request.done = [](const SwapOutcome&) {};
    line_.Swap(std::move(request));
    clock_.Advance(Duration(0));
    EXPECT_TRUE(model->held_back());
    return lease.ok() ? *std::move(lease) : nullptr;
  }

  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  WaveQueue queue_{/*max_waves=*/4, Bytes(1000)};
  uint64_t last_ = 0;
  SwapLine line_{{},
                 {.clock = &clock_,
                  .executor = &executor_,
                  .journal_executor = &executor_,
                  .journal = nullptr,
                  .observer = &observer_,
                  .failpoints = nullptr,
                  .on_startable = [this] { queue_.Wake(); }}};
  const std::shared_ptr<Model> model_ = MakeModel("m");
};

TEST_F(WaveQueueTest, ArrivalDecidesAmongEquals) {
  Pushed();
  Pushed();
  Pushed();
  EXPECT_EQ(queue_.depth(), 3u);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue_.depth(), 0u);
}

TEST_F(WaveQueueTest, PriorityThenDeadlineThenArrival) {
  Pushed();                                          // 1
  Pushed({.deadline = seconds(9)});                  // 2
  Pushed({.priority = -1, .deadline = seconds(1)});  // 3
  Pushed({.priority = 5, .deadline = seconds(8)});   // 4
  EXPECT_THAT(PopAll(), ElementsAre(4, 2, 1, 3));
}

TEST_F(WaveQueueTest, EarlierDeadlinesFirstAndNoneLast) {
  Pushed();
  Pushed({.deadline = seconds(3)});
  Pushed({.deadline = seconds(1)});
  Pushed({.deadline = seconds(3)});
  EXPECT_THAT(PopAll(), ElementsAre(3, 2, 4, 1));
}

TEST_F(WaveQueueTest, RefusesMoreWavesThanItMayHold) {
  for (int i = 0; i < 4; ++i) Pushed({.bytes = 10});
  const absl::Status full = queue_.Push(Job());
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(full), "QUEUE_FULL");
  EXPECT_EQ(MetadataOf(full, "queued_waves"), "4");
  EXPECT_EQ(MetadataOf(full, "held_bytes"), "40");
  EXPECT_TRUE(GetDetails(full)->retry_after.has_value());
  EXPECT_THAT(std::string(full.message()), ::testing::HasSubstr("4 of 4 waves wait"));
  // One that runs no longer waits.
  ASSERT_NE(queue_.Pop(), nullptr);
  EXPECT_TRUE(queue_.Push(Job()).ok());
}

TEST_F(WaveQueueTest, RefusesMoreBytesThanItMayHold) {
  const WaveJobPtr first = Pushed({.bytes = 600});
  EXPECT_TRUE(queue_.Push(Job({.bytes = 400})).ok()) << "the limit itself fits";
  EXPECT_EQ(GetReason(queue_.Push(Job({.bytes = 1}))), "QUEUE_FULL");
  EXPECT_TRUE(queue_.Push(Job({.bytes = 0})).ok());
  // Bytes count until the wave has ended, not only while it waits.
  EXPECT_EQ(queue_.Pop(), first);
  EXPECT_EQ(GetReason(queue_.Push(Job({.bytes = 600}))), "QUEUE_FULL");
  queue_.Release(*first);
  EXPECT_TRUE(queue_.Push(Job({.bytes = 600})).ok());
}

TEST_F(WaveQueueTest, ARefusedWaveHoldsNothing) {
  EXPECT_FALSE(queue_.Push(Job({.bytes = 1001})).ok());
  EXPECT_EQ(queue_.depth(), 0u);
  EXPECT_TRUE(queue_.Push(Job({.bytes = 1000})).ok());
}

TEST_F(WaveQueueTest, WhoeverRemovesAJobOwnsIt) {
  const WaveJobPtr a = Pushed(), b = Pushed();
  EXPECT_TRUE(queue_.Remove(a));
  EXPECT_FALSE(queue_.Remove(a)) << "only once";
  EXPECT_EQ(queue_.depth(), 1u);
  EXPECT_EQ(queue_.Pop(), b);
  EXPECT_FALSE(queue_.Remove(b)) << "it belongs to whoever popped it";
  EXPECT_FALSE(queue_.Remove(Job())) << "never pushed";
}

TEST_F(WaveQueueTest, EachJobHasOneOwnerWhoeverIsFaster) {
  WaveQueue queue(1000, Bytes(0));
  std::vector<WaveJobPtr> jobs;
  for (int i = 0; i < 500; ++i) {
    jobs.push_back(Job());
    ASSERT_TRUE(queue.Push(jobs.back()).ok());
  }
  queue.Close();
  size_t popped = 0, removed = 0;
  std::thread popper([&] {
    while (queue.Pop() != nullptr) ++popped;
  });
  std::thread remover([&] {
    for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) removed += queue.Remove(*job) ? 1 : 0;
  });
  popper.join();
  remover.join();
  EXPECT_EQ(popped + removed, jobs.size());
}

TEST_F(WaveQueueTest, PopWaitsForAPush) {
  OneShot<WaveJobPtr> popped;
  std::thread lane([&] { popped.Set(queue_.Pop()); });
  const WaveJobPtr job = Pushed();
  EXPECT_EQ(popped.Get(), job);
  lane.join();
}

TEST_F(WaveQueueTest, HeldBackWavesArePassedOverAndKeepTheirPlace) {
  const auto held = MakeModel("held");
  auto lease = HoldBack(held);
  const WaveJobPtr first = Job(held, {.priority = 9});
  ASSERT_TRUE(queue_.Push(first).ok());
  const WaveJobPtr second = Pushed();
  EXPECT_EQ(queue_.Pop(), second);
  Pushed();
  lease = nullptr;
  EXPECT_EQ(queue_.Pop(), first) << "no longer held back, and ahead of what came later";
}

TEST_F(WaveQueueTest, PopSleepsWhileAllAreHeldBackAndWakesWithThem) {
  const auto held = MakeModel("held");
  auto lease = HoldBack(held);
  const WaveJobPtr job = Job(held);
  ASSERT_TRUE(queue_.Push(job).ok());
  std::vector<OneShot<WaveJobPtr>> popped(2);
  std::vector<std::thread> lanes;
  for (auto& one : popped) lanes.emplace_back([&] { one.Set(queue_.Pop()); });
  lease = nullptr;  // The model calls Wake.
  queue_.Close();
  for (std::thread& lane : lanes) lane.join();
  EXPECT_NE(popped[0].Get() == nullptr, popped[1].Get() == nullptr) << "one lane gets it, the other goes home";
}

TEST_F(WaveQueueTest, PutBackKeepsThePlace) {
  const WaveJobPtr first = Pushed();
  Pushed();
  ASSERT_EQ(queue_.Pop(), first);
  queue_.PutBack(first);
  EXPECT_EQ(queue_.depth(), 2u);
  EXPECT_EQ(queue_.Pop(), first);
}

TEST_F(WaveQueueTest, PutBackIsNotRefused) {
  const WaveJobPtr job = Pushed({.bytes = 1000});
  ASSERT_EQ(queue_.Pop(), job);
  for (int i = 0; i < 4; ++i) Pushed();
  queue_.Close();
  queue_.PutBack(job);  // The queue is full, closed and holds its bytes already.
  EXPECT_EQ(queue_.depth(), 5u);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2, 3, 4, 5));
  queue_.Release(*job);
}

TEST_F(WaveQueueTest, ClosedTakesNoMoreButGivesWhatItHas) {
  const WaveJobPtr job = Pushed();
  queue_.Close();
  const absl::Status refused = queue_.Push(Job());
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetReason(refused), "DRAINING");
  EXPECT_EQ(queue_.Pop(), job);
  EXPECT_EQ(queue_.Pop(), nullptr);
  EXPECT_EQ(queue_.Pop(), nullptr);
}

TEST_F(WaveQueueTest, CloseSendsWaitingLanesHome) {
  std::vector<std::thread> lanes;
  for (int i = 0; i < 3; ++i) lanes.emplace_back([&] { EXPECT_EQ(queue_.Pop(), nullptr); });
  queue_.Close();
  for (std::thread& lane : lanes) lane.join();
}

TEST_F(WaveQueueTest, OneMorePrefetchWaitsForTheOneUnderWay) {
  WaveQueue queue(4, Bytes(1000), /*max_prefetching=*/1);
  const WaveJobPtr first = Job(), second = Job(), third = Job();
  first->needs_prefetch = second->needs_prefetch = true;
  for (const auto& job : {first, second, third}) ASSERT_TRUE(queue.Push(job).ok());
  EXPECT_EQ(queue.PopPrefetch(), first);
  EXPECT_EQ(queue.Pop(), third) << "it needs none";
  OneShot<WaveJobPtr> next;
  std::thread starter([&] { next.Set(queue.PopPrefetch()); });
  queue.PushReady(first);
  EXPECT_EQ(next.Get(), second) << "there is room again";
  starter.join();
  const WaveJobPtr fourth = Job();
  ASSERT_TRUE(queue.Push(fourth).ok());
  EXPECT_EQ(queue.Pop(), first) << "what has started goes on before anything else starts";
  EXPECT_EQ(queue.Pop(), fourth);
  queue.EndPrefetch();
}

TEST_F(WaveQueueTest, APrefetchThatEndsAnotherWayMakesRoomToo) {
  WaveQueue queue(4, Bytes(1000), /*max_prefetching=*/1);
  const WaveJobPtr first = Job(), second = Job();
  first->needs_prefetch = second->needs_prefetch = true;
  for (const auto& job : {first, second}) ASSERT_TRUE(queue.Push(job).ok());
  EXPECT_EQ(queue.PopPrefetch(), first);
  queue.PutBack(first);  // Held back after all.
  EXPECT_EQ(queue.PopPrefetch(), first);
  queue.EndPrefetch();  // It failed.
  EXPECT_EQ(queue.PopPrefetch(), second);
}

TEST_F(WaveQueueTest, ClosedLanesStayForWhatIsBeingPrefetched) {
  const WaveJobPtr job = Job();
  job->needs_prefetch = true;
  ASSERT_TRUE(queue_.Push(job).ok());
  ASSERT_EQ(queue_.PopPrefetch(), job);
  queue_.Close();
  OneShot<WaveJobPtr> popped;
  std::thread lane([&] { popped.Set(queue_.Pop()); });
  queue_.PushReady(job);
  EXPECT_EQ(popped.Get(), job);
  lane.join();
  EXPECT_EQ(queue_.Pop(), nullptr);
}

TEST_F(WaveQueueTest, RemovingTheLastOfAClosedQueueSendsWaitingLanesHome) {
  const auto held = MakeModel("held");
  const auto lease = HoldBack(held);
  const WaveJobPtr job = Job(held);
  ASSERT_TRUE(queue_.Push(job).ok());
  queue_.Close();
  std::vector<std::thread> lanes;
  for (int i = 0; i < 2; ++i) lanes.emplace_back([&] { EXPECT_EQ(queue_.Pop(), nullptr); });
  EXPECT_TRUE(queue_.Remove(job));
  for (std::thread& lane : lanes) lane.join();
}

// Blocks in Pop as a lane does.
class IdleLane {
 public:
  explicit IdleLane(WaveQueue& queue) : queue_(queue), thread_([this] { popped_.Set(queue_.Pop()); }) {
    while (!queue_.lane_idle()) std::this_thread::yield();
  }
  ~IdleLane() { thread_.join(); }
  WaveJobPtr Popped() { return popped_.Get(); }

 private:
  WaveQueue& queue_;
  OneShot<WaveJobPtr> popped_;
  std::thread thread_;
};

TEST_F(WaveQueueTest, AnIdleLaneCanBeBorrowedOnce) {
  EXPECT_FALSE(queue_.TryBorrowLane(Job())) << "no lane is idle";
  IdleLane lane(queue_);
  ASSERT_TRUE(queue_.TryBorrowLane(Job()));
  EXPECT_FALSE(queue_.TryBorrowLane(Job()));
  const WaveJobPtr waits = Pushed();
  EXPECT_EQ(queue_.depth(), 1u) << "its lane is borrowed";
  queue_.ReturnLane();
  EXPECT_EQ(lane.Popped(), waits);
}

TEST_F(WaveQueueTest, WhatComesBehindOthersBorrowsNothing) {
  const auto lease = HoldBack(model_);
  const WaveJobPtr held = Pushed();
  IdleLane lane(queue_);
  EXPECT_FALSE(queue_.TryBorrowLane(Job(MakeModel("other")))) << "another wave waits";
  EXPECT_TRUE(queue_.Remove(held));
  EXPECT_FALSE(queue_.TryBorrowLane(Job())) << "its model holds waves back";
  EXPECT_TRUE(queue_.TryBorrowLane(Job(MakeModel("other"))));
  queue_.ReturnLane();
  queue_.Close();
  EXPECT_FALSE(queue_.TryBorrowLane(Job(MakeModel("other")))) << "closed";
  EXPECT_EQ(lane.Popped(), nullptr);
}

TEST_F(WaveQueueTest, ABorrowedLanesWaveCountsItsBytes) {
  WaveQueue queue(10, Bytes(100));
  IdleLane lane(queue);
  EXPECT_FALSE(queue.TryBorrowLane(Job({.bytes = 101})));
  const WaveJobPtr job = Job({.bytes = 60});
  ASSERT_TRUE(queue.TryBorrowLane(job));
  EXPECT_FALSE(queue.Push(Job({.bytes = 41})).ok());
  queue.Release(*job);
  queue.ReturnLane();
  ASSERT_TRUE(queue.Push(Job({.bytes = 100})).ok());
  EXPECT_NE(lane.Popped(), nullptr);
}

}  // namespace
}  // namespace bwrt::runtime
