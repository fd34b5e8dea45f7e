// A Runtime on a FakeDevice, with manual time and executor, that must leave nothing behind.
//
// The lanes are real threads; tests stop them at tokens of the fake device, never by time.
#ifndef BWRT_TESTS_RUNTIME_RUNTIME_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_RUNTIME_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/error.h"
#include "runtime/runtime.h"
#include "tests/support/error_details.h"
#include "tests/support/fake_device.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/one_shot.h"
#include "tests/support/recording_observer.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {

class RuntimeFixture : public ::testing::Test {
 protected:
  struct WaveRun {
    OneShot<absl::StatusOr<WaveResult>> end;
    Runtime::WaveTicket ticket;
    const absl::Status& status() { return end.Get().status(); }
  };
  struct SwapRun {
    OneShot<absl::StatusOr<SwapResult>> end;
    std::shared_ptr<Cancellable> swap;
    const absl::Status& status() { return end.Get().status(); }
  };

  static constexpr int64_t kTensorBytes = 64 * 128 * 4;

  // What is replaced is freed at once: versions kept for a rollback have tests of their own.
  static RuntimeOptions Options() {
    RuntimeOptions options;
    options.weights.keep_versions = 0;
    return options;
  }

  void Create(RuntimeOptions options, std::unique_ptr<Prefetcher> prefetcher) {
    Create(std::move(options), &clock_, std::move(prefetcher));
  }
  void Create(RuntimeOptions options = Options(), Clock* clock = nullptr,
              std::unique_ptr<Prefetcher> prefetcher = nullptr) {
    auto device = std::make_unique<FakeDevice>();
    device_ = device.get();
    live_tensors_ = device->live_tensors();
    RuntimeContext context;
    context.clock = clock == nullptr ? &clock_ : clock;
    context.bulk = context.reclaim = context.journal = &executor_;
    context.observer = &observer_;
    context.state = state_;
    runtime_ = std::make_unique<Runtime>(std::move(options), std::move(device), context, std::move(prefetcher));
  }

  void TearDown() override {
    if (runtime_ == nullptr) return;
    device_->Release();
    executor_.RunAll();
    for (SwapRun& run : swaps_) run.swap = nullptr;  // A swap does not outlive its runtime.
    runtime_ = nullptr;
    EXPECT_EQ(clock_.alarms(), 0u) << "alarms left behind";
    EXPECT_EQ(executor_.pending(), 0u) << "posted work left behind";
    EXPECT_EQ(live_tensors_->load(), 0) << "tensors left behind";
    for (WaveRun& run : waves_) EXPECT_TRUE(run.ticket.expired()) << "a wave left behind";
  }

  // ---- Waves
  static WaveRequestBuilder Wave(std::string id) {
    WaveRequestBuilder builder;
    builder.Id(std::move(id)).Window(0, 1000);
    return builder;
  }
  WaveRun& Submit(const WaveRequestBuilder& request) {
    WaveRun& run = waves_.emplace_back();
    auto ticket = runtime_->Submit(request.Build(), [&run](const runtime::Wave&, absl::StatusOr<WaveResult> result) {
      run.end.Set(std::move(result));
    });
    EXPECT_TRUE(ticket.ok()) << ticket.status();
    if (ticket.ok()) {
      run.ticket = *ticket;
    } else {
      run.end.Set(ticket.status());  // So that nobody waits for it.
    }
    return run;
  }
  // Submits a wave that must not be admitted.
  absl::Status Rejected(const WaveRequestBuilder& request) {
    const auto ticket = runtime_->Submit(request.Build(), [](const runtime::Wave&, const absl::StatusOr<WaveResult>&) {
      ADD_FAILURE() << "a wave that was not admitted was called back";
    });
    EXPECT_FALSE(ticket.ok());
    return ticket.status();
  }
  // Runs a wave to its end, unless the device is held.
  const absl::StatusOr<WaveResult>& RunWave(const WaveRequestBuilder& request) { return Submit(request).end.Get(); }

  // ---- Weights
  // A [64, 128] f32 tensor of `pattern` (4 bytes), which FakeDevice's results repeat.
  static TensorRequest Tensor(std::string name, const std::string& pattern) {
    std::string data;
    while (data.size() < kTensorBytes) data += pattern;
    return {std::move(name), DTypeWish::kF32, {64, 128}, std::move(data)};
  }
  static SetWeightsRequest Weights(const std::string& pattern, SwapPolicy policy = SwapPolicy::kInWindow,
                                   const std::string& name = "w") {
    SetWeightsRequest request;
    request.tensors.push_back(Tensor(name, pattern));
    request.label = pattern;
    request.swap.policy = static_cast<int>(policy);
    return request;
  }
  // Posts a swap, without running the executor.
  SwapRun& Post(SetWeightsRequest request) {
    SwapRun& run = swaps_.emplace_back();
    auto swap = runtime_->weights().SetWeights(
        std::move(request), [&run](absl::StatusOr<SwapResult> result) { run.end.Set(std::move(result)); });
    EXPECT_TRUE(swap.ok()) << swap.status();
    if (swap.ok()) run.swap = *swap;
    return run;
  }
  // Lets it get as far as it can.
  SwapRun& Swap(SetWeightsRequest request) {
    SwapRun& run = Post(std::move(request));
    executor_.RunAll();
    return run;
  }
  // A swap that must end at once.
  absl::StatusOr<SwapResult> Swapped(SetWeightsRequest request) {
    SwapRun& run = Swap(std::move(request));
    if (!run.end.ready()) {
      ADD_FAILURE() << "the swap waits";
      return absl::UnknownError("waits");
    }
    return run.end.Get();
  }
  WeightVersion::Ptr Current(const std::string& model = "default") {
    const auto found = runtime_->weights().FindModel(model);
    return found.ok() ? (*found)->current() : nullptr;
  }
  std::vector<std::string> ModelNames() const {
    std::vector<std::string> names;
    for (const auto& model : runtime_->weights().models().All()) names.push_back(model->name());
    return names;
  }

  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  std::shared_ptr<const std::atomic<int>> live_tensors_;
  std::deque<WaveRun> waves_;
  std::deque<SwapRun> swaps_;
  StateStore* state_ = nullptr;   // Set before Create, if at all; outlives runtime_.
  FakeDevice* device_ = nullptr;  // Owned by runtime_.
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_RUNTIME_FIXTURE_H_
