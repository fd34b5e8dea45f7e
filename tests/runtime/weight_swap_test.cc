#include "runtime/weight_swap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/runtime_fixture.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Names that several threads may add.
class Names {
 public:
  void Add(const std::string& name) {
    MutexLock lock(mu_);
    names_.push_back(name);
  }
  std::vector<std::string> Get() const {
    MutexLock lock(mu_);
    return names_;
  }

 private:
  mutable Mutex mu_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mu_);
};

class WeightSwapTest : public RuntimeFixture {
 protected:
  std::vector<SwapEnd> Ends() const {
    std::vector<SwapEnd> ends;
    for (const auto& swap : observer_.swaps()) ends.push_back(swap.end);
    return ends;
  }
  // Leaves "default" idle with its window closed: the clock rests at token 1, outside [0, 1).
  void CloseWindow() {
    ASSERT_TRUE(RunWave(Wave("closes").Tokens(0, 2).Window(0, 1)).ok());
    ASSERT_FALSE((*runtime_->weights().FindModel(""))->window_open());
  }
  // Opens it again.
  void OpenWindow() { ASSERT_TRUE(RunWave(Wave("opens").Tokens(0, 1).Window(0, 9)).ok()); }
};

// ---------------------------------------------------------------------------------------------- plain swaps

TEST_F(WeightSwapTest, BecomesTheNextVersion) {
  Create();
  SwapRun& run = Post(Weights("AAAA"));
  EXPECT_THAT(device_->uploads(), IsEmpty()) << "uploading is the executor's work";
  executor_.RunAll();
  ASSERT_TRUE(run.end.Get().ok()) << run.status();
  EXPECT_EQ(run.end.Get()->model, "default");
  EXPECT_EQ(run.end.Get()->previous, Version(0));
  EXPECT_EQ(run.end.Get()->version, Version(1));
  EXPECT_EQ(Current()->label(), "AAAA");
  EXPECT_THAT(Ends(), ElementsAre(SwapEnd::kCommitted));
  EXPECT_THAT(observer_.staged(), ElementsAre(kTensorBytes));
  const auto gauges = runtime_->GetGauges().weights;
  EXPECT_EQ(gauges.committed, kTensorBytes);
  EXPECT_EQ(gauges.staged, 0);
  EXPECT_EQ(gauges.retiring, 0);
}

TEST_F(WeightSwapTest, ReplacesSomeAndKeepsTheRest) {
  Create();
  SetWeightsRequest both = Weights("AAAA");
  both.tensors.push_back(Tensor("x", "XXXX"));
  ASSERT_TRUE(Swapped(both).ok());
  ASSERT_TRUE(Swapped(Weights("BBBB")).ok());
  EXPECT_EQ(Current()->tensors().size(), 2u);
  EXPECT_EQ(Current()->Find("x")->version, Version(1));
  EXPECT_EQ(Current()->Find("w")->version, Version(2));
  EXPECT_THAT(device_->uploads(), ElementsAre("w", "x", "w<-w")) << "the device hears which tensor one replaces";
  EXPECT_EQ(live_tensors_->load(), 2) << "the replaced one is freed";
}

TEST_F(WeightSwapTest, BadRequestsAreRefusedAtOnce) {
  Create();
  SetWeightsRequest bad = Weights("AAAA");
  bad.tensors[0].name = "/w";
  const auto swap =
      runtime_->weights().SetWeights(bad, [](const absl::StatusOr<SwapResult>&) { ADD_FAILURE() << "called back"; });
  EXPECT_EQ(swap.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(executor_.pending(), 0u);
}

// --------------------------------------------------------------------------------------------------- window

TEST_F(WeightSwapTest, OutsideTheWindowItIsRefusedWithTheNumbers) {
  Create();
  device_->Hold();
  Submit(Wave("planner-7").Tokens(2, 2).Window(2, 4));
  device_->AdvanceTo("planner-7", 1);
  const auto refused = Swapped(Weights("AAAA"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(refused.status()), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(MetadataOf(refused.status(), "model"), "default");
  const auto details = GetDetails(refused.status());
  ASSERT_EQ(details->preconditions.size(), 1u);
  EXPECT_EQ(details->preconditions[0].type, "SWAP_WINDOW");
  EXPECT_THAT(details->preconditions[0].description, HasSubstr("(planner-7) in flight: window [2,4), clock [1,1]"));
  EXPECT_THAT(Ends(), ElementsAre(SwapEnd::kRefused));
  EXPECT_EQ(Current()->number(), Version(0));
  EXPECT_EQ(live_tensors_->load(), 0) << "nothing is kept";
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
}

TEST_F(WeightSwapTest, InsideTheWindowItIsAcceptedAlsoBetweenWaves) {
  Create();
  device_->Hold();
  WaveRun& run = Submit(Wave("a").Tokens(2, 2).Window(2, 4));
  device_->AdvanceTo("a", 2);
  EXPECT_TRUE(Swapped(Weights("AAAA")).ok());
  device_->AdvanceTo("a", 3);
  EXPECT_TRUE(Swapped(Weights("BBBB")).ok());
  device_->Release();
  ASSERT_TRUE(run.end.Get().ok());
  EXPECT_EQ(run.end.Get()->version, Version(0)) << "it keeps what it leased";
  EXPECT_TRUE(Swapped(Weights("CCCC")).ok());
  EXPECT_EQ(Current()->number(), Version(3));
}

TEST_F(WeightSwapTest, AfterATightWindowItIsRefusedUntilAWaveOpensOne) {
  Create();
  ASSERT_TRUE(RunWave(Wave("tight").Tokens(0, 5).Window(0, 1)).ok());
  EXPECT_EQ(GetReason(Swapped(Weights("AAAA")).status()), "SWAP_WINDOW_CLOSED");
  OpenWindow();
  EXPECT_TRUE(Swapped(Weights("AAAA")).ok());
}

TEST_F(WeightSwapTest, WaitsForTheWindowAndFlipsAtItsFirstToken) {
  Create();
  device_->Hold();
  WaveRun& run = Submit(Wave("a").Tokens(1, 4).Window(3, 5));
  device_->AwaitStart("a");
  SwapRun& swap = Swap(Weights("AAAA", SwapPolicy::kWaitForWindow));
  clock_.Advance(seconds(2));
  for (int64_t token = 0; token < 3; ++token) {
    device_->AdvanceTo("a", token);
    EXPECT_FALSE(swap.end.ready()) << "token " << token;
    EXPECT_EQ(Current()->number(), Version(0));
  }
  EXPECT_EQ((*runtime_->weights().FindModel(""))->GetStatus().window.waiting_swaps, 1u);
  device_->AdvanceTo("a", 3);
  ASSERT_TRUE(swap.end.ready());
  ASSERT_TRUE(swap.end.Get().ok()) << swap.status();
  EXPECT_EQ(swap.end.Get()->waited, seconds(2));
  EXPECT_EQ(swap.end.Get()->held, Duration(0));
  EXPECT_EQ(Current()->number(), Version(1));
  device_->Release();
  EXPECT_EQ(run.end.Get()->version, Version(0));
  EXPECT_EQ(clock_.alarms(), 0u);
}

TEST_F(WeightSwapTest, GivesUpWaitingAfterItsTimeout) {
  Create();
  CloseWindow();
  SetWeightsRequest request = Weights("AAAA", SwapPolicy::kWaitForWindow);
  request.swap.wait_timeout = seconds(3);
  SwapRun& swap = Swap(request);
  clock_.Advance(seconds(3) - Duration(1));
  EXPECT_FALSE(swap.end.ready());
  clock_.Advance(Duration(1));
  ASSERT_TRUE(swap.end.ready());
  EXPECT_EQ(swap.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetReason(swap.status()), "SWAP_WAIT_TIMEOUT");
  EXPECT_THAT(Ends(), ElementsAre(SwapEnd::kTimedOut));
  EXPECT_EQ(observer_.swaps()[0].waited, seconds(3));
  executor_.RunAll();
  EXPECT_EQ(live_tensors_->load(), 0);
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
}

TEST_F(WeightSwapTest, WaitingCountsFromArrivalNotFromTheUpload) {
  Create();
  CloseWindow();
  SetWeightsRequest request = Weights("AAAA", SwapPolicy::kWaitForWindow);
  request.swap.wait_timeout = seconds(3);
  SwapRun& swap = Post(request);
  clock_.Advance(seconds(2));  // The executor was busy.
  executor_.RunAll();
  clock_.Advance(seconds(1));
  EXPECT_TRUE(swap.end.ready());
}

TEST_F(WeightSwapTest, HoldsNewWavesBackOnceItHasWaitedLongEnough) {
  RuntimeOptions options = Options();
  options.lanes = 2;
  Create(options);
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  device_->Hold();
  Submit(Wave("old").WTensor("w").Tokens(2, 2).Window(2, 4));
  device_->AwaitStart("old");
  SetWeightsRequest request = Weights("BBBB", SwapPolicy::kWaitForWindow);
  request.swap.hold_after = seconds(5);
  SwapRun& swap = Swap(request);
  clock_.Advance(seconds(5));
  ASSERT_TRUE((*runtime_->weights().FindModel(""))->GetStatus().window.holding);
  // A lane is free, but the wave has to wait for the swap.
  WaveRun& held = Submit(Wave("held").WTensor("w").Tokens(2, 2).Window(2, 4));
  WaveRun& other = Submit(Wave("other"));
  clock_.Advance(seconds(1));
  EXPECT_FALSE(swap.end.ready());
  device_->Release();
  ASSERT_TRUE(swap.end.Get().ok()) << swap.status();
  EXPECT_EQ(swap.end.Get()->held, seconds(1));
  EXPECT_EQ(swap.end.Get()->waited, seconds(6));
  ASSERT_TRUE(held.end.Get().ok());
  EXPECT_EQ(held.end.Get()->version, Version(2)) << "it started after the flip";
  EXPECT_EQ(held.end.Get()->timings.queue, seconds(1)) << "holds count as queueing";
  EXPECT_TRUE(other.end.Get().ok());
  ASSERT_EQ(observer_.holds().size(), 1u);
  EXPECT_EQ(observer_.holds()[0].held, seconds(1));
}

TEST_F(WeightSwapTest, AHoldOfOneModelDoesNotHoldAnother) {
  Create();
  SetWeightsRequest other = Weights("OOOO");
  other.model = "other";
  ASSERT_TRUE(Swapped(other).ok());
  CloseWindow();
  SetWeightsRequest request = Weights("AAAA", SwapPolicy::kWaitForWindow);
  request.swap.hold_after = Duration(0);
  SwapRun& swap = Swap(request);
  clock_.Advance(Duration(0));
  EXPECT_TRUE(RunWave(Wave("a").Model("other")).ok());
  EXPECT_FALSE(swap.end.ready());
  // And a wave of the held model may run alone, which is how the window opens.
  OpenWindow();
  EXPECT_TRUE(swap.end.Get().ok());
}

TEST_F(WeightSwapTest, WhenIdleFlipsOutsideTheWindowButOnlyWhenIdle) {
  Create();
  CloseWindow();
  EXPECT_TRUE(Swapped(Weights("AAAA", SwapPolicy::kWhenIdle)).ok());
  device_->Hold();
  Submit(Wave("a").Tokens(1, 1).Window(1, 2));
  device_->AwaitStart("a");
  EXPECT_EQ(GetReason(Swapped(Weights("BBBB", SwapPolicy::kWhenIdle)).status()), "SWAP_WINDOW_CLOSED");
}

TEST_F(WeightSwapTest, WhenIdleMayBeForbidden) {
  RuntimeOptions options = Options();
  options.weights.swaps.allow_when_idle = false;
  Create(options);
  const auto swap = runtime_->weights().SetWeights(Weights("AAAA", SwapPolicy::kWhenIdle), [](const auto&) { FAIL(); });
  EXPECT_EQ(GetReason(swap.status()), "WHEN_IDLE_FORBIDDEN");
}

// ------------------------------------------------------------------------------------------------ bases

TEST_F(WeightSwapTest, BaseVersionIsCompareAndSwap) {
  Create();
  SetWeightsRequest request = Weights("AAAA");
  request.base_version = 0;
  ASSERT_TRUE(Swapped(request).ok());
  const auto stale = Swapped(request);
  EXPECT_EQ(stale.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetReason(stale.status()), "BASE_CHANGED");
  EXPECT_EQ(MetadataOf(stale.status(), "current_version"), "1");
  EXPECT_THAT(std::string(stale.status().message()),
              HasSubstr("base_version=0: model \"default\" is at version 1 (AAAA)"));
  request.base_version = 1;
  EXPECT_TRUE(Swapped(request).ok());
  EXPECT_THAT(Ends(), ElementsAre(SwapEnd::kCommitted, SwapEnd::kBaseChanged, SwapEnd::kCommitted));
  EXPECT_EQ(device_->uploads().size(), 2u) << "a stale one is not even uploaded";
}

TEST_F(WeightSwapTest, ABaseThatMovesWhileItWaitsAborts) {
  Create();
  CloseWindow();
  SetWeightsRequest request = Weights("AAAA", SwapPolicy::kWaitForWindow);
  request.base_version = 0;
  SwapRun& waiting = Swap(request);
  ASSERT_TRUE(Swapped(Weights("BBBB", SwapPolicy::kWhenIdle)).ok());
  OpenWindow();
  executor_.RunAll();
  ASSERT_TRUE(waiting.end.ready());
  EXPECT_EQ(GetReason(waiting.status()), "BASE_CHANGED");
  EXPECT_EQ(Current()->label(), "BBBB");
}

TEST_F(WeightSwapTest, IsRebuiltWhenItsBaseMoves) {
  Create();
  CloseWindow();
  SwapRun& first = Swap(Weights("AAAA", SwapPolicy::kWaitForWindow, "w"));
  SwapRun& second = Swap(Weights("XXXX", SwapPolicy::kWaitForWindow, "x"));
  SwapRun& third = Swap(Weights("BBBB", SwapPolicy::kWaitForWindow, "w"));
  OpenWindow();
  ASSERT_TRUE(first.end.ready());
  EXPECT_FALSE(second.end.ready()) << "it has to be built anew, which is the executor's work";
  executor_.RunAll();
  ASSERT_TRUE(second.end.ready() && third.end.ready());
  EXPECT_EQ(first.end.Get()->version, Version(1));
  EXPECT_EQ(second.end.Get()->version, Version(2)) << "first come, first served";
  EXPECT_EQ(third.end.Get()->version, Version(3));
  EXPECT_EQ(Current()->Find("w")->version, Version(3));
  EXPECT_EQ(Current()->Find("x")->version, Version(2))
      << "the second swap did not lose the first, nor the third the second";
  EXPECT_EQ(device_->uploads().size(), 3u) << "uploaded once each";
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
}

TEST_F(WeightSwapTest, ARebuiltSwapWaitsAgainIfTheWindowHasClosed) {
  Create();
  CloseWindow();
  SwapRun& first = Swap(Weights("AAAA", SwapPolicy::kWaitForWindow, "w"));
  SwapRun& second = Swap(Weights("XXXX", SwapPolicy::kWaitForWindow, "x"));
  OpenWindow();
  ASSERT_TRUE(first.end.ready());
  CloseWindow();
  executor_.RunAll();
  EXPECT_FALSE(second.end.ready());
  clock_.Advance(seconds(30));
  ASSERT_TRUE(second.end.ready()) << "its time runs from its arrival";
  EXPECT_EQ(GetReason(second.status()), "SWAP_WAIT_TIMEOUT");
}

// ---------------------------------------------------------------------------------------------- limits

TEST_F(WeightSwapTest, TooManyAtOnceAreRefused) {
  RuntimeOptions options = Options();
  options.limits.max_pending_swaps = 2;
  Create(options);
  Post(Weights("AAAA"));
  Post(Weights("BBBB"));
  const auto refused = runtime_->weights().SetWeights(
      Weights("CCCC"), [](const absl::StatusOr<SwapResult>&) { ADD_FAILURE() << "called back"; });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(refused.status()), "TOO_MANY_SWAPS");
  EXPECT_TRUE(GetDetails(refused.status())->retry_after.has_value());
  executor_.RunAll();
  EXPECT_TRUE(Swapped(Weights("CCCC")).ok());
}

TEST_F(WeightSwapTest, WeightMemoryIsBounded) {
  RuntimeOptions options = Options();
  options.limits.weight_bytes = 2 * kTensorBytes;
  Create(options);
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  ASSERT_TRUE(Swapped(Weights("BBBB")).ok()) << "the old and the new one fit together";

  // A wave pins version 2, so that three would have to fit.
  device_->Hold();
  WaveRun& run = Submit(Wave("a").WTensor("w"));
  device_->AwaitStart("a");
  ASSERT_TRUE(Swapped(Weights("CCCC")).ok());
  EXPECT_EQ(runtime_->GetGauges().weights.retiring, kTensorBytes);
  EXPECT_EQ((*runtime_->weights().FindModel(""))->GetStatus().retiring, Bytes(kTensorBytes));
  const auto refused = Swapped(Weights("DDDD"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(refused.status()), "WEIGHT_MEMORY");
  EXPECT_THAT(Ends().back(), SwapEnd::kFailed);
  EXPECT_EQ(Current()->label(), "CCCC");

  device_->Release();
  EXPECT_TRUE(run.end.Get().ok());
  executor_.RunAll();
  EXPECT_EQ(runtime_->GetGauges().weights.retiring, 0);
  EXPECT_TRUE(Swapped(Weights("DDDD")).ok()) << "the pinned version is gone";
}

TEST_F(WeightSwapTest, AllOfARequestFitsOrNone) {
  RuntimeOptions options = Options();
  options.limits.weight_bytes = kTensorBytes;
  Create(options);
  SetWeightsRequest two = Weights("AAAA");
  two.tensors.push_back(Tensor("x", "XXXX"));
  EXPECT_EQ(GetReason(Swapped(two).status()), "WEIGHT_MEMORY");
  EXPECT_EQ(live_tensors_->load(), 0);
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
  EXPECT_TRUE(Swapped(Weights("AAAA")).ok());
}

TEST_F(WeightSwapTest, AModelHasSoManyTensors) {
  RuntimeOptions options = Options();
  options.limits.max_tensors = 2;
  Create(options);
  ASSERT_TRUE(Swapped(Weights("AAAA", SwapPolicy::kInWindow, "a")).ok());
  ASSERT_TRUE(Swapped(Weights("AAAA", SwapPolicy::kInWindow, "b")).ok());
  const auto refused = Swapped(Weights("AAAA", SwapPolicy::kInWindow, "c"));
  EXPECT_EQ(GetReason(refused.status()), "TOO_MANY_TENSORS");
  EXPECT_EQ(live_tensors_->load(), 2);
  EXPECT_TRUE(Swapped(Weights("BBBB", SwapPolicy::kInWindow, "b")).ok()) << "replacing one is no more";
}

// ---------------------------------------------------------------------------------------------- new models

TEST_F(WeightSwapTest, MakesItsModel) {
  Create();
  SetWeightsRequest request = Weights("AAAA");
  request.model = "llm";
  request.base_version = 0;
  SwapRun& run = Post(request);
  EXPECT_THAT(ModelNames(), ElementsAre("default")) << "not before there is something to put in";
  executor_.RunAll();
  ASSERT_TRUE(run.end.Get().ok()) << run.status();
  EXPECT_THAT(ModelNames(), ElementsAre("default", "llm"));
  EXPECT_EQ(Current("llm")->number(), Version(1));
  EXPECT_EQ(Current()->number(), Version(0));
  const auto& result = RunWave(Wave("a").Model("llm").WTensor("w"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->c.substr(0, 4), "AAAA");
}

TEST_F(WeightSwapTest, AFailedUploadLeavesNoModel) {
  Create();
  device_->FailUploads(absl::ResourceExhaustedError("full"));
  SetWeightsRequest request = Weights("AAAA");
  request.model = "llm";
  EXPECT_EQ(Swapped(request).status(), absl::ResourceExhaustedError("full"));
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
  EXPECT_EQ(observer_.swaps().back().model, "(none)") << "clients do not get to invent label values";
}

TEST_F(WeightSwapTest, AFailedPreparationLeavesNoModelAndNoTensor) {
  Create();
  device_->FailPrepares(absl::ResourceExhaustedError("full"));
  SetWeightsRequest request = Weights("AAAA");
  request.model = "llm";
  EXPECT_EQ(Swapped(request).status(), absl::ResourceExhaustedError("full"));
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
  EXPECT_EQ(live_tensors_->load(), 0);
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
}

TEST_F(WeightSwapTest, AMissingBaseLeavesNoModel) {
  Create();
  SetWeightsRequest request = Weights("AAAA");
  request.model = "llm";
  request.base_version = 3;
  EXPECT_EQ(GetReason(Swapped(request).status()), "MODEL_NOT_FOUND");
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
}

TEST_F(WeightSwapTest, ACancelledSwapLeavesNoModel) {
  Create();
  SetWeightsRequest request = Weights("AAAA");
  request.model = "llm";
  SwapRun& run = Post(request);
  run.swap->Cancel(absl::CancelledError("gone"));
  executor_.RunAll();
  EXPECT_EQ(run.status(), absl::CancelledError("gone"));
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
}

TEST_F(WeightSwapTest, AForbiddenPolicyLeavesNoModel) {
  RuntimeOptions options = Options();
  options.weights.swaps.allow_when_idle = false;
  Create(options);
  SetWeightsRequest request = Weights("AAAA", SwapPolicy::kWhenIdle);
  request.model = "llm";
  EXPECT_FALSE(runtime_->weights().SetWeights(std::move(request), [](const auto&) { FAIL(); }).ok());
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
}

TEST_F(WeightSwapTest, ModelsAreLimited) {
  RuntimeOptions options = Options();
  options.limits.max_models = 2;
  Create(options);
  SetWeightsRequest request = Weights("AAAA");
  request.model = "one";
  ASSERT_TRUE(Swapped(request).ok());
  request.model = "two";
  EXPECT_EQ(GetReason(Swapped(request).status()), "TOO_MANY_MODELS");
  EXPECT_THAT(ModelNames(), ElementsAre("default", "one"));
  EXPECT_EQ(live_tensors_->load(), 1);
}

// ------------------------------------------------------------------------------------------ cancellation

TEST_F(WeightSwapTest, MayBeCancelledBeforeItBegins) {
  Create();
  SwapRun& run = Post(Weights("AAAA"));
  run.swap->Cancel(absl::CancelledError("gone"));
  EXPECT_FALSE(run.end.ready());
  executor_.RunAll();
  EXPECT_EQ(run.status(), absl::CancelledError("gone"));
  EXPECT_THAT(device_->uploads(), IsEmpty());
  EXPECT_THAT(Ends(), ElementsAre(SwapEnd::kCancelled));
}

TEST_F(WeightSwapTest, MayBeCancelledWhileItWaits) {
  Create();
  CloseWindow();
  SwapRun& run = Swap(Weights("AAAA", SwapPolicy::kWaitForWindow));
  run.swap->Cancel(absl::CancelledError("gone"));
  ASSERT_TRUE(run.end.ready());
  EXPECT_EQ(run.status(), absl::CancelledError("gone"));
  EXPECT_EQ(clock_.alarms(), 0u);
  executor_.RunAll();
  EXPECT_EQ(live_tensors_->load(), 0);
  OpenWindow();
  EXPECT_EQ(Current()->number(), Version(0));
}

TEST_F(WeightSwapTest, MayBeCancelledWhileItIsRebuilt) {
  Create();
  CloseWindow();
  Swap(Weights("AAAA", SwapPolicy::kWaitForWindow, "w"));
  SwapRun& second = Swap(Weights("XXXX", SwapPolicy::kWaitForWindow, "x"));
  OpenWindow();
  second.swap->Cancel(absl::CancelledError("gone"));
  executor_.RunAll();
  EXPECT_EQ(second.status(), absl::CancelledError("gone"));
  EXPECT_EQ(Current()->number(), Version(1));
}

TEST_F(WeightSwapTest, OnceItHasTakenEffectItStays) {
  Create();
  SwapRun& run = Swap(Weights("AAAA"));
  ASSERT_TRUE(run.end.ready());
  run.swap->Cancel(absl::CancelledError("too late"));
  executor_.RunAll();
  EXPECT_TRUE(run.end.Get().ok());
  EXPECT_EQ(Current()->number(), Version(1));
}

// --------------------------------------------------------------------------------------------------- freeing

TEST_F(WeightSwapTest, AVersionIsFreedByTheExecutorWhenItsLastLeaseEnds) {
  Create();
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  device_->Hold();
  WaveRun& run = Submit(Wave("a").WTensor("w"));
  device_->AwaitStart("a");
  ASSERT_TRUE(Swapped(Weights("BBBB")).ok());
  EXPECT_EQ(live_tensors_->load(), 2);
  device_->Release();
  ASSERT_TRUE(run.end.Get().ok());
  EXPECT_EQ(live_tensors_->load(), 2) << "not on the lane";
  executor_.RunAll();
  EXPECT_EQ(live_tensors_->load(), 1);
}

// A version that was built in vain may hold the last reference to tensors that were replaced meanwhile. Freeing
// gigabytes is no work for a lane, least of all under the model's lock.
TEST_F(WeightSwapTest, AVersionBuiltInVainIsFreedByTheExecutor) {
  Create();
  // Shared with tensors that live until TearDown.
  const auto freed_elsewhere = std::make_shared<Names>();
  device_->OnTensorFreed([this, freed_elsewhere](const std::string& name) {
    if (!executor_.running_here()) freed_elsewhere->Add(name);
  });
  ASSERT_TRUE(Swapped(Weights("AAAA", SwapPolicy::kInWindow, "replaced")).ok());
  CloseWindow();
  SwapRun& first = Swap(Weights("BBBB", SwapPolicy::kWaitForWindow, "replaced"));
  SwapRun& second = Swap(Weights("XXXX", SwapPolicy::kWaitForWindow, "x"));
  OpenWindow();  // On a lane: the first one flips, and with that the base of the second has moved.
  ASSERT_TRUE(first.end.ready());
  EXPECT_EQ(live_tensors_->load(), 3) << "what was replaced is not freed there";
  executor_.RunAll();
  ASSERT_TRUE(second.end.ready() && second.end.Get().ok());
  EXPECT_EQ(live_tensors_->load(), 2);
  EXPECT_THAT(freed_elsewhere->Get(), IsEmpty());
}

}  // namespace
}  // namespace bwrt::runtime
