#include "runtime/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/runtime_fixture.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class RuntimeTest : public RuntimeFixture {
 protected:
  static RuntimeOptions Lanes(int lanes) {
    RuntimeOptions options = Options();
    options.lanes = lanes;
    return options;
  }
  std::vector<WaveOutcome> Outcomes() const {
    std::vector<WaveOutcome> outcomes;
    for (const auto& wave : observer_.waves()) outcomes.push_back(wave.outcome);
    return outcomes;
  }
};

// -------------------------------------------------------------------------------------------- submit, result

TEST_F(RuntimeTest, AWaveComesBackWithItsResult) {
  Create();
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  const auto& result = RunWave(Wave("a").WTensor("w").Tokens(1, 2));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->version, Version(1));
  EXPECT_EQ(result->version_label, "AAAA");
  EXPECT_EQ(result->c.size(), size_t{128 * 256 * 4});
  EXPECT_EQ(result->c.substr(0, 8), "AAAAAAAA");
  EXPECT_EQ(result->effective.device, "fake");
  EXPECT_EQ(result->timings.compute, milliseconds(1));

  ASSERT_EQ(observer_.waves().size(), 1u);
  EXPECT_EQ(observer_.waves()[0].model, "default");
  EXPECT_EQ(observer_.waves()[0].device, "fake");
  EXPECT_EQ(observer_.waves()[0].outcome, WaveOutcome::kOk);
  EXPECT_EQ(observer_.waves()[0].timings->compute, milliseconds(1));
  EXPECT_THAT(observer_.extent_pages(), ElementsAre(Pair("no_source", 2))) << "one extent of pages 0 and 1";
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 0);
}

TEST_F(RuntimeTest, AWaveMayBringItsOwnWeights) {
  Create();
  const auto& result = RunWave(Wave("a"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->version, Version(0));
  EXPECT_EQ(result->c.substr(0, 4), "none");
  EXPECT_THAT(observer_.extent_pages(), IsEmpty());
}

TEST_F(RuntimeTest, AShortWaveRunsOnTheThreadThatBringsIt) {
  RuntimeOptions options = Options();
  options.run_here_below = milliseconds(1);
  Create(options);
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  // Whether the wave's callback runs on this thread, before Submit returns, as soon as the lane is idle.
  const auto runs_here = [&](const std::string& id) {
    bool ended = false;
    std::thread::id thread;
    OneShot<bool> done;
    const auto ticket = runtime_->Submit(Wave(id).WTensor("w").Build(),
                                         [&](const runtime::Wave&, const absl::StatusOr<WaveResult>& result) {
                                           EXPECT_TRUE(result.ok()) << result.status();
                                           thread = std::this_thread::get_id();
                                           ended = true;
                                           done.Set(true);
                                         });
    EXPECT_TRUE(ticket.ok());
    const bool here = ended && thread == std::this_thread::get_id();
    done.Get();
    return here;
  };
  EXPECT_FALSE(runs_here("unknown")) << "a device that can't tell how long";
  device_->SayRoughTime(milliseconds(2));
  EXPECT_FALSE(runs_here("long"));
  device_->SayRoughTime(milliseconds(1));
  int tries = 0;
  while (!runs_here(absl::StrCat("short", tries))) {  // Until the lane has fallen asleep.
    ASSERT_LT(++tries, 100000);
  }
  EXPECT_EQ(observer_.waves().back().outcome, WaveOutcome::kOk);

  // While the lane is busy, the next wave waits for it.
  device_->Hold();
  device_->SayRoughTime(milliseconds(2));
  WaveRun& busy = Submit(Wave("busy").WTensor("w").Tokens(0, 2));
  device_->AdvanceTo("busy", 0);
  device_->SayRoughTime(milliseconds(1));
  WaveRun& next = Submit(Wave("next").WTensor("w"));
  EXPECT_EQ(runtime_->GetGauges().queue_depth, 1);
  device_->Release();
  EXPECT_TRUE(busy.end.Get().ok());
  EXPECT_TRUE(next.end.Get().ok());
}

TEST_F(RuntimeTest, EachWaveRunsWithTheVersionItStartedWith) {
  Create(Lanes(2));
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  device_->Hold();
  WaveRun& before = Submit(Wave("before").WTensor("w").Tokens(0, 3));
  device_->AdvanceTo("before", 1);
  ASSERT_TRUE(Swapped(Weights("BBBB")).ok());
  WaveRun& after = Submit(Wave("after").WTensor("w").Tokens(0, 3));
  device_->AdvanceTo("after", 1);
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 2);
  device_->Release();

  ASSERT_TRUE(before.end.Get().ok() && after.end.Get().ok());
  EXPECT_EQ(before.end.Get()->version, Version(1));
  EXPECT_EQ(before.end.Get()->c.substr(0, 4), "AAAA");
  EXPECT_EQ(after.end.Get()->version, Version(2));
  EXPECT_EQ(after.end.Get()->version_label, "BBBB");
  EXPECT_EQ(after.end.Get()->c.substr(0, 4), "BBBB");
}

TEST_F(RuntimeTest, TheRequiredVersionIsCheckedWhenTheWaveStarts) {
  Create();
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  EXPECT_TRUE(RunWave(Wave("match").RequiresVersion(1)).ok());

  device_->Hold();
  WaveRun& first = Submit(Wave("first"));
  device_->AwaitStart("first");
  WaveRun& behind = Submit(Wave("behind").RequiresVersion(1));  // Right now, but not when it starts.
  ASSERT_TRUE(Swapped(Weights("BBBB")).ok());
  device_->Release();
  EXPECT_TRUE(first.end.Get().ok());
  EXPECT_EQ(behind.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(behind.status()), "VERSION_MISMATCH");
  EXPECT_EQ(MetadataOf(behind.status(), "required_version"), "1");
  EXPECT_EQ(MetadataOf(behind.status(), "current_version"), "2");
  EXPECT_THAT(device_->started(), ElementsAre("match", "first"));
  EXPECT_EQ(Outcomes().back(), WaveOutcome::kFailed);
}

TEST_F(RuntimeTest, TheTensorIsCheckedAgainWhenTheWaveStarts) {
  Create();
  ASSERT_TRUE(Swapped(Weights("AAAA")).ok());
  device_->Hold();
  Submit(Wave("first"));
  device_->AwaitStart("first");
  WaveRun& behind = Submit(Wave("behind").WTensor("w"));
  SetWeightsRequest reshaped;
  reshaped.tensors.push_back({"w", DTypeWish::kF32, {2, 2}, std::string(16, 'x')});
  ASSERT_TRUE(Swapped(std::move(reshaped)).ok());
  device_->Release();
  EXPECT_EQ(GetReason(behind.status()), "WEIGHT_SHAPE");
}

TEST_F(RuntimeTest, ADeviceErrorEndsTheWaveAndChangesNothing) {
  Create();
  // Rests at its last token, inside its window: open.
  ASSERT_TRUE(RunWave(Wave("good").Tokens(0, 2).Window(0, 2)).ok());
  device_->FailRuns(absl::InternalError("broken"));
  const absl::Status status = RunWave(Wave("bad").Tokens(0, 2).Window(0, 1)).status();
  EXPECT_EQ(status, absl::InternalError("broken"));
  EXPECT_THAT(Outcomes(), ElementsAre(WaveOutcome::kOk, WaveOutcome::kFailed));
  EXPECT_FALSE(observer_.waves()[1].timings.has_value());
  EXPECT_TRUE((*runtime_->weights().FindModel(""))->window_open())
      << "had it retired, its clock would rest outside [0, 1)";
}

TEST_F(RuntimeTest, WavesRunByPriorityThenDeadlineThenArrival) {
  Create();
  device_->Hold();
  Submit(Wave("first"));
  device_->AwaitStart("first");
  Submit(Wave("plain"));
  Submit(Wave("late").Timeout(seconds(9)));
  Submit(Wave("early").Timeout(seconds(5)));
  Submit(Wave("important").Priority(1));
  Submit(Wave("humble").Priority(-1).Timeout(seconds(1)));
  EXPECT_EQ(runtime_->GetGauges().queue_depth, 5);
  device_->Release();
  for (WaveRun& run : waves_) EXPECT_TRUE(run.end.Get().ok());
  EXPECT_THAT(device_->started(), ElementsAre("first", "important", "early", "late", "plain", "humble"));
}

// --------------------------------------------------------------------------------------------- not admitted

TEST_F(RuntimeTest, InvalidWavesAreRejectedWithTheirReason) {
  Create();
  const absl::Status status = Rejected(Wave("a").Alpha(std::numeric_limits<float>::quiet_NaN()).Window(2, 2));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair("alpha", "NOT_FINITE"), Pair("spec.swap_end", "SWAP_WINDOW")));
  EXPECT_THAT(observer_.rejections(), ElementsAre("NOT_FINITE"));
  EXPECT_THAT(observer_.waves(), IsEmpty()) << "it was never admitted";
}

TEST_F(RuntimeTest, UnknownModelsAreNamedAndNotMade) {
  Create();
  const absl::Status status = Rejected(Wave("a").Model("llm").WTensor("w"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(status), "MODEL_NOT_FOUND");
  EXPECT_EQ(MetadataOf(status, "model"), "llm");
  EXPECT_THAT(ModelNames(), ElementsAre("default"));
}

TEST_F(RuntimeTest, WhatIsWrongWithTheWaveItselfComesBeforeItsModel) {
  Create();
  EXPECT_EQ(GetReason(Rejected(Wave("a").Model("llm").Window(1, 1))), "SWAP_WINDOW");
  EXPECT_EQ(GetReason(Rejected(Wave("a").Model("llm").Edit([](WaveRequest& r) { r.whitelist_digest = "sha256:0"; }))),
            "WHITELIST_MISMATCH");
  EXPECT_EQ(GetReason(Rejected(Wave("a").Model("not a name"))), "MODEL_NAME");
}

TEST_F(RuntimeTest, AFullQueueRejects) {
  RuntimeOptions options = Options();
  options.limits.queue_waves = 1;
  Create(options);
  device_->Hold();
  Submit(Wave("running"));
  device_->AwaitStart("running");
  Submit(Wave("waiting"));
  const absl::Status full = Rejected(Wave("refused").Timeout(seconds(5)));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(full), "QUEUE_FULL");
  EXPECT_TRUE(GetDetails(full)->retry_after.has_value());
  EXPECT_THAT(observer_.rejections(), ElementsAre("QUEUE_FULL"));
  EXPECT_EQ(clock_.alarms(), 0u) << "its deadline is forgotten";
  // Its id is free.
  device_->Release();
  for (WaveRun& run : waves_) EXPECT_TRUE(run.end.Get().ok());
  EXPECT_TRUE(RunWave(Wave("refused")).ok());
}

TEST_F(RuntimeTest, OperandBytesAreBounded) {
  RuntimeOptions options = Options();
  options.limits.queue_bytes = 150'000;  // One wave of 128 KiB fits.
  Create(options);
  device_->Hold();
  WaveRun& first = Submit(Wave("first"));
  device_->AwaitStart("first");
  EXPECT_EQ(GetReason(Rejected(Wave("second"))), "QUEUE_FULL") << "a running wave's bytes count";
  device_->Release();
  EXPECT_TRUE(first.end.Get().ok());
  EXPECT_TRUE(RunWave(Wave("second")).ok());
}

// ------------------------------------------------------------------------------------------------ deadlines

TEST_F(RuntimeTest, ExpiredWavesAreRefusedOnArrival) {
  Create();
  for (const Duration ago : {Duration(0), Duration(seconds(5))}) {
    const absl::Status status = Rejected(Wave("a").Deadline(clock_.Now() - ago));
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(GetReason(status), "DEADLINE");
    EXPECT_THAT(std::string(status.message()), HasSubstr("did not run"));
  }
  EXPECT_THAT(device_->started(), IsEmpty());
  EXPECT_THAT(observer_.rejections(), ElementsAre("DEADLINE", "DEADLINE"));
}

TEST_F(RuntimeTest, QueuedWavesAreDroppedByTheAlarm) {
  Create();
  device_->Hold();
  WaveRun& running = Submit(Wave("running"));
  device_->AwaitStart("running");
  WaveRun& queued = Submit(Wave("queued").Timeout(seconds(5)));
  clock_.Advance(seconds(5) - Duration(1));
  EXPECT_FALSE(queued.end.ready());
  clock_.Advance(Duration(1));
  ASSERT_TRUE(queued.end.ready()) << "at its deadline, not when a lane gets to it";
  EXPECT_EQ(queued.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(queued.status().message()), HasSubstr("did not run"));
  EXPECT_EQ(runtime_->GetGauges().queue_depth, 0);
  device_->Release();
  EXPECT_TRUE(running.end.Get().ok());
  EXPECT_THAT(device_->started(), ElementsAre("running"));
  EXPECT_THAT(Outcomes(), ElementsAre(WaveOutcome::kDeadline, WaveOutcome::kOk));
}

// An alarm may fire at any time after it is set, so also before the wave has entered the queue.
TEST_F(RuntimeTest, AnAlarmThatFiresBeforeTheWaveIsQueuedIsNotLost) {
  class HastyClock final : public Clock {
   public:
    explicit HastyClock(ManualClock& clock) : clock_(clock) {}
    Time Now() const override { return clock_.Now(); }
    AlarmId SetAlarm(Time when, std::function<void()> fire) override {
      const AlarmId id = clock_.SetAlarm(when, std::move(fire));
      if (hasty && when > clock_.Now()) clock_.Advance(when - clock_.Now());
      return id;
    }
    void CancelAlarm(AlarmId id) override { clock_.CancelAlarm(id); }
    void Quiesce() override { clock_.Quiesce(); }
    bool hasty = false;

   private:
    ManualClock& clock_;
  };
  HastyClock hasty(clock_);
  Create({}, &hasty);
  device_->Hold();
  Submit(Wave("running"));
  device_->AwaitStart("running");
  hasty.hasty = true;
  WaveRun& queued = Submit(Wave("queued").Timeout(seconds(5)));
  hasty.hasty = false;
  EXPECT_TRUE(queued.end.ready()) << "the lane is busy: nobody else will end it";
  device_->Release();
  EXPECT_EQ(GetReason(queued.status()), "DEADLINE");
  runtime_ = nullptr;  // Before `hasty` goes.
}

TEST_F(RuntimeTest, RunningWavesAreStoppedBetweenTiles) {
  Create();
  // Rests outside its window: closed.
  ASSERT_TRUE(RunWave(Wave("before").Tokens(0, 2).Window(0, 1)).ok());
  device_->Hold();
  WaveRun& run = Submit(Wave("a").Tokens(0, 4).Timeout(seconds(5)));
  device_->AdvanceTo("a", 2);
  clock_.Advance(seconds(5));
  EXPECT_FALSE(run.end.ready()) << "a tile is not interrupted";
  device_->Release();
  EXPECT_EQ(run.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(run.status().message()), HasSubstr("stopped between two tiles"));
  EXPECT_EQ(Outcomes().back(), WaveOutcome::kDeadline);
  EXPECT_FALSE((*runtime_->weights().FindModel(""))->window_open()) << "a wave without a result changes nothing";
}

TEST_F(RuntimeTest, EndedWavesLeaveNoAlarm) {
  Create();
  ASSERT_TRUE(RunWave(Wave("a").Timeout(seconds(5))).ok());
  EXPECT_EQ(clock_.alarms(), 0u);
  clock_.Advance(seconds(10));
  EXPECT_THAT(Outcomes(), ElementsAre(WaveOutcome::kOk));
}

// --------------------------------------------------------------------------------------------- cancellation

TEST_F(RuntimeTest, QueuedWavesAreDroppedByCancel) {
  Create();
  device_->Hold();
  Submit(Wave("running"));
  device_->AwaitStart("running");
  WaveRun& queued = Submit(Wave("queued"));
  EXPECT_FALSE(runtime_->Cancel(queued.ticket)) << "it had not started";
  ASSERT_TRUE(queued.end.ready());
  EXPECT_EQ(queued.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(GetReason(queued.status()), "CANCELLED");
  EXPECT_THAT(std::string(queued.status().message()), HasSubstr("did not run"));
  device_->Release();
  EXPECT_THAT(device_->started(), ElementsAre("running"));
}

TEST_F(RuntimeTest, RunningWavesAreStoppedByCancel) {
  Create();
  device_->Hold();
  WaveRun& run = Submit(Wave("a").Tokens(0, 3));
  device_->AdvanceTo("a", 1);
  EXPECT_TRUE(runtime_->Cancel(run.ticket)) << "it had started";
  EXPECT_FALSE(run.end.ready());
  device_->Release();
  EXPECT_EQ(run.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(Outcomes(), ElementsAre(WaveOutcome::kCancelled));
}

TEST_F(RuntimeTest, EndedWavesAreLeftAlone) {
  Create();
  WaveRun& run = Submit(Wave("a"));
  ASSERT_TRUE(run.end.Get().ok());
  EXPECT_TRUE(runtime_->Cancel(run.ticket));
  EXPECT_TRUE(runtime_->Cancel(run.ticket));
}

TEST_F(RuntimeTest, CancelWaveGoesByClientAndId) {
  Create();
  device_->Hold();
  Submit(Wave("running"));
  device_->AwaitStart("running");
  WaveRun& mine = Submit(Wave("x").Id("x", "me"));
  WaveRun& yours = Submit(Wave("x").Id("x", "you"));
  const auto started = runtime_->CancelWave("me", "x");
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_FALSE(*started);
  EXPECT_TRUE(absl::IsCancelled(mine.status()));
  EXPECT_FALSE(yours.end.ready());
  EXPECT_EQ(GetReason(runtime_->CancelWave("me", "x").status()), "WAVE_NOT_FOUND");
  EXPECT_EQ(runtime_->CancelWave("them", "x").status().code(), absl::StatusCode::kNotFound);
  const auto running = runtime_->CancelWave("client", "running");
  ASSERT_TRUE(running.ok());
  EXPECT_TRUE(*running);
}

TEST_F(RuntimeTest, CancelWaveNeedsBothNames) {
  Create();
  EXPECT_THAT(ViolationsOf(runtime_->CancelWave("", "").status()),
              ElementsAre(Pair("client_id", "MISSING"), Pair("wave_id", "MISSING")));
  EXPECT_THAT(ViolationsOf(runtime_->CancelWave("me", "").status()), ElementsAre(Pair("wave_id", "MISSING")));
}

// -------------------------------------------------------------------------------------------------- wave_id

TEST_F(RuntimeTest, AWaveIdIsTakenWhileItsWaveIsInFlight) {
  Create();
  device_->Hold();
  WaveRun& run = Submit(Wave("x"));
  device_->AwaitStart("x");
  const absl::Status taken = Rejected(Wave("x"));
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(GetReason(taken), "WAVE_ID_IN_FLIGHT");
  EXPECT_THAT(std::string(taken.message()), HasSubstr("wave_id=\"x\""));
  EXPECT_EQ(GetReason(Rejected(Wave("x").Timeout(seconds(1)))), "WAVE_ID_IN_FLIGHT");
  EXPECT_EQ(clock_.alarms(), 0u);
  WaveRun& other = Submit(Wave("x").Id("x", "another client"));
  device_->Release();
  EXPECT_TRUE(run.end.Get().ok());
  EXPECT_TRUE(other.end.Get().ok());
  EXPECT_TRUE(RunWave(Wave("x")).ok()) << "free again";
}

TEST_F(RuntimeTest, AWaveIdIsFreeOnceTheClientHearsOfTheEnd) {
  Create();
  OneShot<absl::Status> again;
  OneShot<bool> second_done;
  const auto ticket = runtime_->Submit(Wave("x").Build(), [&](const runtime::Wave&, const absl::StatusOr<WaveResult>&) {
    again.Set(runtime_
                  ->Submit(Wave("x").Build(),
                           [&](const runtime::Wave&, const absl::StatusOr<WaveResult>&) { second_done.Set(true); })
                  .status());
  });
  ASSERT_TRUE(ticket.ok());
  EXPECT_TRUE(again.Get().ok()) << again.Get();
  EXPECT_TRUE(second_done.Get());
}

TEST_F(RuntimeTest, WavesWithoutAnIdAreAllDifferent) {
  Create();
  device_->Hold();
  WaveRun& first = Submit(Wave(""));
  device_->AwaitStart("");
  WaveRun& second = Submit(Wave(""));
  device_->Release();
  EXPECT_TRUE(first.end.Get().ok());
  EXPECT_TRUE(second.end.Get().ok());
}

// ------------------------------------------------------------------------------------------ preview, samples

TEST_F(RuntimeTest, ValidateSaysWhatWouldRunAndRunsNothing) {
  Create();
  const auto preview = runtime_->Validate(Wave("a").Tokens(2, 3).Edit([](WaveRequest& r) { r.a = r.w = {}; }).Build());
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_EQ(preview->wave.tokens, (TokenPlan{2, 3}));
  EXPECT_EQ(preview->effective.device, "fake");
  EXPECT_THAT(device_->started(), IsEmpty());
  EXPECT_THAT(observer_.rejections(), IsEmpty());
  EXPECT_EQ(GetReason(runtime_->Validate(Wave("a").Model("llm").Build()).status()), "MODEL_NOT_FOUND");
  EXPECT_EQ(GetReason(runtime_->Validate(Wave("a").WTensor("nope").Build()).status()), "TENSOR_NOT_FOUND");
  EXPECT_EQ(GetReason(runtime_->Validate(Wave("a").Window(0, 0).Build()).status()), "SWAP_WINDOW");
}

TEST_F(RuntimeTest, WithoutAPageSourceExtentsAreNotReadAndThatIsTold) {
  Create();
  const auto told = [](const EffectiveSpec& effective) {
    return effective.downgrades.size() == 1 && effective.downgrades[0].field == "spec.io_extents" &&
           effective.downgrades[0].requested == "2 extents" && effective.downgrades[0].executed == "none";
  };
  EXPECT_TRUE(told(runtime_->Validate(Wave("a").Tokens(2, 1).Build())->effective));
  const auto& result = RunWave(Wave("a").Tokens(2, 1));
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(told(result->effective));
  EXPECT_TRUE(RunWave(Wave("b"))->effective.downgrades.empty());
}

TEST_F(RuntimeTest, SamplesCoverTheDevicesWaves) {
  Create();
  EXPECT_EQ(runtime_->GetSample("")->sample.waves, 0u);
  Readings readings;
  readings.l2_hit = Reading{0.25, Source::kModel};
  device_->SetReadings(readings);
  ASSERT_TRUE(RunWave(Wave("a")).ok());
  device_->FailRuns(absl::InternalError("broken"));
  ASSERT_FALSE(RunWave(Wave("b")).ok());
  const auto sample = runtime_->GetSample("fake");
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(sample->device, "fake");
  EXPECT_EQ(sample->sample.waves, 1u) << "failed waves do not count";
  EXPECT_EQ(sample->sample.readings, readings);
  EXPECT_EQ(sample->sample.compute, milliseconds(1));
  const absl::Status unknown = runtime_->GetSample("cuda:0").status();
  EXPECT_EQ(GetReason(unknown), "DEVICE_NOT_FOUND");
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("this daemon has fake"));
}

TEST_F(RuntimeTest, DevicesNamesItsLanes) {
  Create(Lanes(3));
  const auto devices = runtime_->Devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].info->name, "fake");
  EXPECT_EQ(devices[0].lanes, 3);
}

TEST_F(RuntimeTest, CountersAreTheDevicesAsTheyAreNow) {
  Create();
  device_->SetCounters({.l2_hit = 0.5, .text = "counts"});
  EXPECT_EQ(runtime_->Devices()[0].hardware_counters, "counts");
  EXPECT_EQ(runtime_->GetSample("fake")->counters.l2_hit, 0.5);
  device_->SetCounters({.text = "none: busy"});
  EXPECT_EQ(runtime_->Devices()[0].hardware_counters, "none: busy");
  EXPECT_FALSE(runtime_->GetSample("fake")->counters.l2_hit.has_value());
}

TEST_F(RuntimeTest, QueueTimeIsFromArrivalToTheLease) {
  Create();
  device_->Hold();
  WaveRun& first = Submit(Wave("first"));
  device_->AwaitStart("first");
  WaveRun& second = Submit(Wave("second"));
  clock_.Advance(seconds(3));
  device_->Release();
  EXPECT_EQ(first.end.Get()->timings.queue, Duration(0));
  EXPECT_EQ(second.end.Get()->timings.queue, seconds(3));
}

// --------------------------------------------------------------------------------------- swaps in place

class LoadingTest : public RuntimeFixture {
 protected:
  // Leaves "default" at version 2, of which "w" ("BBBB") is still to be copied in: the executor's next work.
  void BeginLoading() {
    auto store = StateStore::Open({}, &files_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    state_ = store_.get();
    RuntimeOptions options = Options();
    options.weights.state_directory = testing::TempDir();
    Create(options);
    EXPECT_EQ(GetReason(Rejected(Wave("early"))), "RESTORING");
    runtime_->Restore();
    ASSERT_TRUE(Swapped(Weights("AAAA")).ok());

    class Weights& weights = runtime_->weights();
    BeginUpdateRequest begin;
    begin.update_id = "u";
    begin.tensors = {{"w", ElementType::kF32, {64, 128}, {}}};
    begin.apply_mode = 1;
    ASSERT_TRUE(weights.BeginUpdate(begin).ok());
    const std::string data = Tensor("w", "BBBB").data;
    ASSERT_TRUE(weights.Stage(**weights.FindUpdate("u"), "w", 0, 0, absl::Cord(data)).ok());
    ASSERT_TRUE(weights.Precommit("u", [] { return false; }).ok());
    ASSERT_TRUE(
        weights.Commit({{"u"}, {}}, [this](absl::StatusOr<CommitResult> r) { committed_.Set(std::move(r)); }).ok());
    while (!(*weights.FindModel(""))->GetStatus().loading) ASSERT_TRUE(executor_.RunOne());
  }

  CrashFiles files_;
  std::unique_ptr<StateStore> store_;
  OneShot<absl::StatusOr<CommitResult>> committed_;
};

TEST_F(LoadingTest, WavesAreHeldUntilTheTensorsTheyNeedAreWhole) {
  BeginLoading();
  EXPECT_TRUE(runtime_->Validate(Wave("a").WTensor("w").Build()).ok()) << "a tensor that is on its way is not missing";
  WaveRun& needs = Submit(Wave("a").WTensor("w"));
  WaveRun& other = Submit(Wave("b"));
  executor_.RunAll();
  ASSERT_TRUE(committed_.Get().ok()) << committed_.Get().status();
  ASSERT_TRUE(needs.end.Get().ok()) << needs.status();
  EXPECT_EQ(needs.end.Get()->c.substr(0, 4), "BBBB");
  ASSERT_TRUE(other.end.Get().ok()) << other.status();
  EXPECT_EQ(other.end.Get()->version, Version(2));
  EXPECT_EQ(runtime_->GetGauges().weights.committed, kTensorBytes);
}

TEST_F(LoadingTest, WavesThatWereHeldForTooLongAreRefused) {
  BeginLoading();
  WaveRun& held = Submit(Wave("held"));
  clock_.Advance(seconds(5));
  EXPECT_EQ(GetReason(held.status()), "MODEL_LOADING");
  executor_.RunAll();
  EXPECT_TRUE(RunWave(Wave("b")).ok());
}

// ---------------------------------------------------------------------------------------------------- drain

class DrainTest : public RuntimeTest {
 protected:
  // Begins to drain on another thread and returns once it waits for what is in flight.
  void BeginDrain(Duration grace) {
    const size_t alarms = clock_.alarms();
    drainer_ = std::thread([this, grace] { drained_.Set(runtime_->Drain(grace)); });
    clock_.AwaitAlarms(alarms + 1);
  }
  bool Drained() {
    const bool clean = drained_.Get();
    drainer_.join();
    return clean;
  }

 private:
  OneShot<bool> drained_;
  std::thread drainer_;
};

TEST_F(DrainTest, WithNothingToDoItIsDone) {
  Create();
  EXPECT_FALSE(runtime_->draining());
  EXPECT_TRUE(runtime_->Drain(seconds(10)));
  EXPECT_TRUE(runtime_->draining());
  EXPECT_TRUE(runtime_->Drain(seconds(10))) << "again";
}

TEST_F(DrainTest, RefusesNewWork) {
  Create();
  ASSERT_TRUE(runtime_->Drain(seconds(10)));
  const absl::Status wave = Rejected(Wave("a"));
  EXPECT_EQ(wave.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetReason(wave), "DRAINING");
  EXPECT_THAT(observer_.rejections(), ElementsAre("DRAINING"));
  EXPECT_EQ(GetReason(runtime_->Validate(Wave("a").Build()).status()), "DRAINING");
  const auto swap = runtime_->weights().SetWeights(Weights("AAAA"), [](const absl::StatusOr<SwapResult>&) {
    ADD_FAILURE() << "a swap that was not admitted was called back";
  });
  EXPECT_EQ(GetReason(swap.status()), "DRAINING");
}

TEST_F(DrainTest, LetsAdmittedWavesFinish) {
  Create();
  device_->Hold();
  WaveRun& running = Submit(Wave("running").Tokens(0, 3));
  device_->AdvanceTo("running", 1);
  WaveRun& queued = Submit(Wave("queued"));
  BeginDrain(seconds(10));
  EXPECT_EQ(GetReason(Rejected(Wave("new"))), "DRAINING");
  clock_.Advance(seconds(9));
  device_->Release();
  EXPECT_TRUE(Drained());
  EXPECT_TRUE(running.end.Get().ok());
  EXPECT_TRUE(queued.end.Get().ok()) << "it had been admitted";
  EXPECT_EQ(clock_.alarms(), 0u);
}

TEST_F(DrainTest, CancelsWhatIsLeftAfterTheGracePeriod) {
  Create();
  device_->Hold();
  WaveRun& running = Submit(Wave("running").Tokens(0, 3));
  device_->RunUntilStopped("running");
  device_->AdvanceTo("running", 2);
  WaveRun& queued = Submit(Wave("queued").Timeout(seconds(60)));
  BeginDrain(seconds(10));
  clock_.Advance(seconds(10));
  EXPECT_FALSE(Drained()) << "something had to be cancelled";
  EXPECT_TRUE(absl::IsCancelled(running.status())) << running.status();
  EXPECT_TRUE(absl::IsCancelled(queued.status())) << queued.status();
  EXPECT_THAT(device_->started(), ElementsAre("running"));
  EXPECT_EQ(clock_.alarms(), 0u);
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 0);
  EXPECT_EQ(runtime_->GetGauges().queue_depth, 0);
}

TEST_F(DrainTest, AnswersBeforeItReturns) {
  Create();
  device_->Hold();
  bool answered = false;  // Not atomic: Drain must order it.
  ASSERT_TRUE(
      runtime_
          ->Submit(Wave("a").Build(), [&](const runtime::Wave&, const absl::StatusOr<WaveResult>&) { answered = true; })
          .ok());
  device_->AwaitStart("a");
  BeginDrain(seconds(10));
  device_->Release();
  EXPECT_TRUE(Drained());
  EXPECT_TRUE(answered);
}

TEST_F(DrainTest, EndsWaitingSwapsAtOnce) {
  Create();
  device_->Hold();
  WaveRun& running = Submit(Wave("running").Tokens(2, 2).Window(2, 4));
  device_->AwaitStart("running");
  SwapRun& waiting = Swap(Weights("AAAA", SwapPolicy::kWaitForWindow));
  SwapRun& posted = Post(Weights("BBBB"));  // Not even uploaded.
  ASSERT_FALSE(waiting.end.ready());
  std::thread drainer([&] { EXPECT_TRUE(runtime_->Drain(seconds(10))); });
  EXPECT_EQ(GetReason(waiting.status()), "DRAINING") << "before the wave ends";
  EXPECT_EQ(waiting.status().code(), absl::StatusCode::kUnavailable);
  clock_.AwaitAlarms(1);  // The grace period runs once every swap has been told.
  device_->Release();
  EXPECT_TRUE(running.end.Get().ok()) << "a drain does not touch it";
  executor_.RunAll();
  EXPECT_EQ(GetReason(posted.status()), "DRAINING");
  drainer.join();
  EXPECT_EQ(Current()->number(), Version(0));
  EXPECT_EQ(live_tensors_->load(), 0);
  EXPECT_EQ(runtime_->GetGauges().weights.staged, 0);
}

TEST_F(DrainTest, WavesThatAreHeldBackForASwapGoOnWithoutIt) {
  Create(Lanes(2));
  device_->Hold();
  Submit(Wave("running").Tokens(2, 2).Window(2, 4));
  device_->AwaitStart("running");
  SetWeightsRequest patient = Weights("AAAA", SwapPolicy::kWaitForWindow);
  patient.swap.hold_after = Duration(0);
  Swap(patient);
  clock_.Advance(Duration(0));
  ASSERT_TRUE((*runtime_->weights().FindModel(""))->held_back());
  WaveRun& held = Submit(Wave("held"));
  std::thread drainer([&] { EXPECT_TRUE(runtime_->Drain(seconds(10))); });
  device_->AwaitStart("held");  // The drain ended the swap and with it the hold.
  device_->Release();
  EXPECT_TRUE(held.end.Get().ok());
  drainer.join();
}

TEST_F(DrainTest, TheDestructorEndsWhatIsLeft) {
  Create();
  device_->Hold();
  WaveRun& running = Submit(Wave("running"));
  device_->RunUntilStopped("running");
  device_->AwaitStart("running");
  WaveRun& queued = Submit(Wave("queued"));
  std::thread destroyer([&] { runtime_ = nullptr; });
  clock_.AwaitAlarms(1);
  clock_.Advance(Duration(0));  // It grants no grace.
  EXPECT_TRUE(absl::IsCancelled(queued.status()));
  EXPECT_TRUE(absl::IsCancelled(running.status()));
  destroyer.join();
  EXPECT_EQ(clock_.alarms(), 0u);
}

}  // namespace
}  // namespace bwrt::runtime
