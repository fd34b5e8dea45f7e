#include "kernels/hardware_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/perf_event.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu_info.h"
#include "tests/support/fake_perf_events.h"

namespace bwrt::kernels {
namespace {

using ::testing::HasSubstr;
using Reading = HardwareCounters::Reading;

CpuInfo Zen() {
  CpuInfo cpu;
  cpu.vendor = "AuthenticAMD";
  cpu.family = 0x19;
  return cpu;
}

class HardwareCountersTest : public testing::Test {
 protected:
  std::shared_ptr<HardwareCounters> Create(const CpuInfo& cpu = Zen()) {
    auto counters = HardwareCounters::Create(cpu, perf_);
    EXPECT_TRUE(counters.ok()) << counters.status();
    return counters.ok() ? *counters : nullptr;
  }
  void FailToOpen(int error) {
    perf_->SetOpenError([error](const PerfEvent&) { return error; });
  }

  const std::shared_ptr<FakePerfEvents> perf_ = std::make_shared<FakePerfEvents>();
};

TEST_F(HardwareCountersTest, CountsWhatHappensBetweenTwoReadings) {
  const auto counters = Create();
  EXPECT_EQ(counters->level(), CacheLevel::kL2);
  EXPECT_THAT(counters->description(), HasSubstr("L2CacheReqStat"));
  EXPECT_TRUE(perf_->counters().empty()) << "what was only tried is closed";
  const auto begin = counters->Read();
  const auto end = counters->Read();
  ASSERT_TRUE(begin && end);
  EXPECT_EQ(HardwareCounters::Between(*begin, *end), (CacheCounts{1000, 100, 25}));
}

TEST_F(HardwareCountersTest, AThreadsEventsAreOneGroupAndOpenedOnce) {
  const auto counters = Create();
  const int tried = perf_->opens();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(counters->Read().has_value());
  EXPECT_EQ(perf_->opens(), tried + 3);
  EXPECT_EQ(perf_->reads(), 10) << "one system call a reading";
  const auto open = perf_->counters();
  ASSERT_EQ(open.size(), 3u);
  auto counter = open.begin();
  const int leader = counter->first;
  EXPECT_EQ(counter->second.event, (PerfEvent{PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES}));
  EXPECT_EQ(counter->second.group, PerfEvents::kNoGroup);
  EXPECT_EQ((++counter)->second.event, (PerfEvent{PERF_TYPE_RAW, 0xF864}));
  EXPECT_EQ(counter->second.group, leader);
  EXPECT_EQ((++counter)->second.event, (PerfEvent{PERF_TYPE_RAW, 0x0864}));
  EXPECT_EQ(counter->second.group, leader);
}

TEST_F(HardwareCountersTest, WithoutAPmuThereAreNone) {
  FailToOpen(ENOENT);
  const auto counters = HardwareCounters::Create(Zen(), perf_);
  EXPECT_TRUE(absl::IsNotFound(counters.status()));
  EXPECT_EQ(counters.status().message(), "perf_event_open: no such event (no PMU visible to this machine)");
  EXPECT_TRUE(perf_->counters().empty());
}

TEST_F(HardwareCountersTest, SaysWhatForbidsThem) {
  for (const int error : {EACCES, EPERM}) {
    FailToOpen(error);
    const auto counters = HardwareCounters::Create(Zen(), perf_);
    EXPECT_TRUE(absl::IsPermissionDenied(counters.status()));
    EXPECT_THAT(std::string(counters.status().message()), HasSubstr("perf_event_paranoid"));
  }
  FailToOpen(ENOSYS);
  EXPECT_TRUE(absl::IsUnavailable(HardwareCounters::Create(Zen(), perf_).status()));
  FailToOpen(EOPNOTSUPP);
  EXPECT_THAT(std::string(HardwareCounters::Create(Zen(), perf_).status().message()), HasSubstr("not supported"));
}

TEST_F(HardwareCountersTest, TheFirstChoicesErrorIsTold) {
  perf_->SetOpenError([](const PerfEvent& event) {
    return event.type == PERF_TYPE_RAW ? EACCES : event.type == PERF_TYPE_HW_CACHE ? ENOENT : 0;
  });
  EXPECT_TRUE(absl::IsPermissionDenied(HardwareCounters::Create(Zen(), perf_).status()));
  EXPECT_TRUE(perf_->counters().empty()) << "cycles, which could be opened, is closed";
}

TEST_F(HardwareCountersTest, TakesTheLastLevelWhereTheL2CannotBeCounted) {
  perf_->SetOpenError([](const PerfEvent& event) { return event.type == PERF_TYPE_RAW ? ENOENT : 0; });
  const auto counters = Create();
  EXPECT_EQ(counters->level(), CacheLevel::kLastLevel);
  EXPECT_THAT(counters->description(), HasSubstr("last-level"));
  EXPECT_TRUE(counters->Read().has_value());
}

TEST_F(HardwareCountersTest, AThreadAddedLaterOpensAndClosesItsOwn) {
  const auto counters = Create();
  ASSERT_TRUE(counters->Read().has_value());
  const std::thread::id here = std::this_thread::get_id();
  perf_->SetWords([here](std::thread::id thread, int reading) {
    const auto n = static_cast<uint64_t>(reading);
    const uint64_t rate = thread == here ? 1 : 7;
    return std::vector<uint64_t>{3, n, n, rate * n, rate * n, 0};
  });
  std::optional<CacheCounts> theirs;
  std::thread([&] {
    const auto begin = counters->Read();
    const auto end = counters->Read();
    if (begin && end) theirs = HardwareCounters::Between(*begin, *end);
    EXPECT_EQ(perf_->counters().size(), 6u);
  }).join();
  EXPECT_EQ(theirs, (CacheCounts{7, 7, 0})) << "its own counts, not this thread's";
  EXPECT_EQ(perf_->counters().size(), 3u) << "a thread that ends leaves no descriptors";
  EXPECT_EQ(perf_->bad_closes(), 0);
}

TEST_F(HardwareCountersTest, AThreadThatGetsNoDescriptorsTriesAgain) {
  const auto counters = Create();
  FailToOpen(EMFILE);
  EXPECT_FALSE(counters->Read().has_value());
  EXPECT_FALSE(counters->Read().has_value());
  // One for the leader alone.
  perf_->SetOpenError([](const PerfEvent& event) { return event.type == PERF_TYPE_RAW ? EMFILE : 0; });
  EXPECT_FALSE(counters->Read().has_value());
  EXPECT_TRUE(perf_->counters().empty()) << "half a group is closed again";
  perf_->SetOpenError(nullptr);
  EXPECT_TRUE(counters->Read().has_value());
}

TEST_F(HardwareCountersTest, AThreadThatIsForbiddenThemDoesNotAskAgain) {
  const auto counters = Create();
  FailToOpen(EACCES);
  EXPECT_FALSE(counters->Read().has_value());
  const int opens = perf_->opens();
  perf_->SetOpenError(nullptr);
  EXPECT_FALSE(counters->Read().has_value());
  EXPECT_EQ(perf_->opens(), opens);
}

TEST_F(HardwareCountersTest, TwoOfThemDoNotShareAThreadsCounters) {
  const auto one = Create();
  auto other = Create();
  ASSERT_TRUE(one->Read() && other->Read());
  EXPECT_EQ(perf_->counters().size(), 6u);
  other = nullptr;
  other = Create();
  ASSERT_TRUE(other->Read().has_value());
  EXPECT_EQ(perf_->counters().size(), 6u) << "those of one that is gone are closed";
}

TEST_F(HardwareCountersTest, WhatCannotBeReadIsAbsent) {
  const auto counters = Create();
  for (const std::vector<uint64_t>& words :
       {std::vector<uint64_t>{}, {3, 1, 1, 1, 1}, {2, 1, 1, 1, 1, 1}, {3, 1, 1, 1, 1, 1, 1}}) {
    perf_->SetWords([&words](std::thread::id, int) { return words; });
    EXPECT_FALSE(counters->Read().has_value()) << words.size();
  }
}

TEST(HardwareCountsBetweenTest, CountersSharedWithOthersAreScaled) {
  EXPECT_EQ(HardwareCounters::Between({100, 100, {10, 10, 10}}, {200, 150, {30, 20, 15}}), (CacheCounts{40, 20, 10}));
  EXPECT_EQ(HardwareCounters::Between({100, 40, {0, 0, 0}}, {200, 140, {30, 20, 15}}), (CacheCounts{30, 20, 15}))
      << "what happened before does not count";
}

TEST(HardwareCountsBetweenTest, CountersThatRanForLessThanHalfAreAbsent) {
  EXPECT_TRUE(HardwareCounters::Between({0, 0, {}}, {100, 50, {1, 1, 1}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between({0, 0, {}}, {100, 49, {1, 1, 1}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between({0, 0, {}}, {101, 50, {1, 1, 1}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between({0, 0, {}}, {100, 0, {}}).has_value()) << "never 0";
}

TEST(HardwareCountsBetweenTest, CountersThatWentBackwardsAreAbsent) {
  const Reading begin{100, 100, {50, 40, 30}};
  EXPECT_FALSE(HardwareCounters::Between(begin, {200, 200, {49, 50, 50}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between(begin, {200, 200, {60, 39, 50}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between(begin, {200, 200, {60, 50, 29}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between(begin, {99, 200, {60, 50, 40}}).has_value());
  EXPECT_FALSE(HardwareCounters::Between(begin, {200, 99, {60, 50, 40}}).has_value());
  EXPECT_EQ(HardwareCounters::Between(begin, begin), CacheCounts{}) << "no time, and nothing happened";
}

TEST(HardwareCountsBetweenTest, LargeCountsStayRight) {
  constexpr uint64_t kMany = uint64_t{1} << 52;
  EXPECT_EQ(HardwareCounters::Between({0, 0, {}}, {100, 100, {kMany, kMany, 1}}), (CacheCounts{kMany, kMany, 1}));
}

// Whatever this machine allows: either it counts, or it says why not.
TEST(HardwareCountersOfThisMachineTest, CountsOrSaysWhy) {
  const auto counters = HardwareCounters::Create(Probe(), PerfEvents::System());
  if (!counters.ok()) {
    EXPECT_THAT(std::string(counters.status().message()), HasSubstr("perf_event_open: "));
    GTEST_SKIP() << counters.status();
  }
  const auto begin = (*counters)->Read();
  ASSERT_TRUE(begin.has_value());
  std::vector<double> work(1 << 20, 1.5);
  double sum = 0;
  for (int i = 0; i < 10; ++i) {
    for (double& x : work) sum += x *= 1.01;
  }
  EXPECT_GT(sum, 0);
  const auto end = (*counters)->Read();
  ASSERT_TRUE(end.has_value());
  const auto counts = HardwareCounters::Between(*begin, *end);
  if (!counts) GTEST_SKIP() << "others use the counters";
  EXPECT_GT(counts->cycles, 1'000'000u);
}

// The system calls as such, with an event that every Linux has.
TEST(PerfEventsTest, ReadsAGroupOfSoftwareEvents) {
  const auto perf = PerfEvents::System();
  const int leader = perf->Open({PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK}, PerfEvents::kNoGroup);
  if (leader < 0) GTEST_SKIP() << "perf_event_open: errno " << -leader;
  const int member = perf->Open({PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY}, leader);
  ASSERT_GE(member, 0);
  std::vector<uint64_t> words(6);
  EXPECT_EQ(perf->Read(leader, absl::MakeSpan(words)), 5);
  EXPECT_EQ(words[0], 2u);
  EXPECT_LE(words[2], words[1]) << "running no longer than enabled";
  perf->Close(member);
  perf->Close(leader);
  EXPECT_EQ(perf->Read(leader, absl::MakeSpan(words)), -EBADF);
}

}  // namespace
}  // namespace bwrt::kernels
