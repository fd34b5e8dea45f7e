// Several submitters and publishers at once, on the real CPU device, clock and executor: for the race detector, and
// for torn versions. Each version's weights are one number that its label spells out, so every result proves which
// version all of it was computed with.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/cpu_device.h"
#include "runtime/error.h"
#include "runtime/executor.h"
#include "runtime/runtime.h"
#include "runtime/system_clock.h"
#include "tests/support/one_shot.h"
#include "tests/support/recording_observer.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {
namespace {

constexpr int kSubmitters = 3;
constexpr int kPublishers = 2;
constexpr int kWaves = 100;  // Of each submitter.
constexpr int kSwaps = 60;   // Of each publisher.
constexpr int64_t kRows = 48, kCols = 40, kDepth = 16;

std::string Filled(size_t count, float value) {
  std::string bytes(count * sizeof(float), '\0');
  for (size_t i = 0; i < count; ++i) std::memcpy(&bytes[i * sizeof(float)], &value, sizeof(value));
  return bytes;
}

// Two tensors that belong together.
SetWeightsRequest Weights(int value) {
  SetWeightsRequest request;
  request.label = absl::StrCat(value);
  request.tensors.push_back(
      {"w0", DTypeWish::kF32, {kDepth, kCols}, Filled(kDepth * kCols, static_cast<float>(value))});
  request.tensors.push_back(
      {"w1", DTypeWish::kF32, {kDepth, kCols}, Filled(kDepth * kCols, static_cast<float>(-value))});
  return request;
}

WaveRequestBuilder WaveOf(int submitter, int number) {
  WaveRequestBuilder builder;
  builder.Tile({16, 16, 8, 1, 1, 1})
      .Dims(kRows, kCols, kDepth)
      .Id(absl::StrCat("wave-", number), absl::StrCat("client-", submitter))
      .A(Filled(kRows * kDepth, 1))
      .WTensor(number % 2 == 0 ? "w0" : "w1")
      .Order({{2, 0}, {1, 1}, {0, 0}})
      .Edit([](WaveRequest& r) {
        r.spec.io_extents.assign(2, IoExtent{"l", 0, 0});
      })
      .Window(2, 5);
  return builder;
}

class RuntimeStressTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto device = CpuDevice::Create(kernels::CpuInfo{}, &clock_);
    if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
    ASSERT_TRUE(device.ok()) << device.status();
    RuntimeOptions options;
    options.lanes = 3;
    options.lenient_shapes = true;
    options.weights.keep_versions = 0;
    RuntimeContext context;
    context.clock = &clock_;
    context.bulk = context.reclaim = context.journal = &executor_;
    context.observer = &observer_;
    runtime_ = std::make_unique<Runtime>(options, *std::move(device), context);
  }

  absl::StatusOr<SwapResult> Publish(SetWeightsRequest request) {
    OneShot<absl::StatusOr<SwapResult>> end;
    const auto swap = runtime_->weights().SetWeights(std::move(request),
                                                     [&](absl::StatusOr<SwapResult> r) { end.Set(std::move(r)); });
    if (!swap.ok()) return swap.status();
    return end.Get();
  }

  void Submit(int submitter) {
    for (int i = 0; i < kWaves; ++i) {
      OneShot<absl::StatusOr<WaveResult>> end;
      const auto ticket = runtime_->Submit(WaveOf(submitter, i).Build(),
                                           [&](const Wave&, absl::StatusOr<WaveResult> r) { end.Set(std::move(r)); });
      ASSERT_TRUE(ticket.ok()) << ticket.status();
      // Some are cancelled, before they start, while they run or too late.
      if (i % 5 == 4) (void)runtime_->CancelWave(absl::StrCat("client-", submitter), absl::StrCat("wave-", i));
      const auto& result = end.Get();
      if (result.ok()) {
        CheckUntorn(*result, i % 2 == 0 ? 1 : -1);
      } else {
        EXPECT_TRUE(i % 5 == 4 && absl::IsCancelled(result.status())) << result.status();
      }
    }
  }

  // Every element is depth * 1 * value.
  void CheckUntorn(const WaveResult& result, int sign) {
    int value = 0;
    ASSERT_TRUE(absl::SimpleAtoi(result.version_label, &value)) << result.version_label;
    EXPECT_EQ(result.c, Filled(kRows * kCols, static_cast<float>(sign * value * kDepth)))
        << "version " << result.version.value() << " (" << value << ") is torn";
    MutexLock lock(mu_);
    const auto [at, fresh] = labels_.emplace(result.version, result.version_label);
    EXPECT_EQ(at->second, result.version_label) << "two versions with one number";
  }

  void PublishMany(int publisher) {
    for (int i = 0; i < kSwaps; ++i) {
      SetWeightsRequest request = Weights(1 + publisher * kSwaps + i);
      const bool waits = i % 3 != 0;
      if (waits) {
        // The hold makes sure that its turn comes.
        request.swap.policy = static_cast<int>(SwapPolicy::kWaitForWindow);
        request.swap.hold_after = Duration(0);
        request.swap.wait_timeout = std::chrono::minutes(10);
      }
      const auto result = Publish(std::move(request));
      if (result.ok()) {
        committed_.fetch_add(1);
      } else {
        EXPECT_TRUE(!waits && GetReason(result.status()) == "SWAP_WINDOW_CLOSED") << result.status();
      }
    }
  }

  SystemClock clock_;
  ThreadExecutor executor_;
  RecordingObserver observer_;
  std::unique_ptr<Runtime> runtime_;
  std::atomic<uint64_t> committed_{0};
  Mutex mu_;
  std::map<Version, std::string> labels_ ABSL_GUARDED_BY(mu_);
};

TEST_F(RuntimeStressTest, EveryResultBelongsToOneVersion) {
  ASSERT_TRUE(Publish(Weights(1000)).ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < kSubmitters; ++i) threads.emplace_back([this, i] { Submit(i); });
  for (int i = 0; i < kPublishers; ++i) threads.emplace_back([this, i] { PublishMany(i); });
  std::atomic<bool> stop{false};
  // What a scrape and a curious operator do.
  threads.emplace_back([&] {
    while (!stop) {
      (void)runtime_->GetGauges();
      (void)(*runtime_->weights().FindModel(""))->GetStatus();
      (void)runtime_->GetSample("");
    }
  });
  for (size_t i = 0; i + 1 < threads.size(); ++i) threads[i].join();
  stop = true;
  threads.back().join();

  EXPECT_EQ((*runtime_->weights().FindModel(""))->version_number(), 1 + committed_.load()) << "one number a commit";
  EXPECT_TRUE(runtime_->Drain(std::chrono::minutes(10)));
  executor_.Flush();
  const Gauges gauges = runtime_->GetGauges();
  EXPECT_EQ(gauges.waves_in_flight, 0);
  EXPECT_EQ(gauges.queue_depth, 0);
  EXPECT_EQ(gauges.weights.staged, 0);
  EXPECT_EQ(gauges.weights.retiring, 0) << "every version but the current one is freed";
  EXPECT_EQ(gauges.weights.committed, 2 * kDepth * kCols * 4);
  EXPECT_EQ(observer_.waves().size(), size_t{kSubmitters * kWaves});
  EXPECT_EQ(observer_.swaps().size(), size_t{1 + kPublishers * kSwaps});
}

// Draining while everything is under way: every caller hears of the end of its work before Drain returns.
TEST_F(RuntimeStressTest, DrainInTheMiddleAnswersEverybody) {
  ASSERT_TRUE(Publish(Weights(1)).ok());
  std::atomic<int> admitted{0}, answered{0};
  OneShot<bool> under_way;
  std::vector<std::thread> threads;
  for (int s = 0; s < kSubmitters; ++s) {
    threads.emplace_back([&, s] {
      for (int i = 0; i < kWaves; ++i) {
        admitted.fetch_add(1);
        const auto ticket = runtime_->Submit(
            WaveOf(s, i).Build(), [&](const Wave&, const absl::StatusOr<WaveResult>&) { answered.fetch_add(1); });
        if (!ticket.ok()) {
          admitted.fetch_sub(1);
          EXPECT_EQ(GetReason(ticket.status()), "DRAINING");
          return;
        }
        if (s == 0 && i == 3) under_way.Set(true);
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < kSwaps; ++i) {
      SetWeightsRequest request = Weights(2 + i);
      request.swap.policy = static_cast<int>(SwapPolicy::kWaitForWindow);
      const auto result = Publish(std::move(request));
      if (GetReason(result.status()) == "DRAINING") return;
      EXPECT_TRUE(result.ok()) << result.status();
    }
  });
  under_way.Get();
  runtime_->Drain(Duration(0));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered.load(), admitted.load());
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 0);
  EXPECT_EQ(runtime_->GetGauges().queue_depth, 0);
}

}  // namespace
}  // namespace bwrt::runtime
