#include "runtime/offload/offload_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/runtime.h"
#include "tests/runtime/offload/scripted_device.h"
#include "tests/support/manual_executor.h"
#include "tests/support/one_shot.h"
#include "tests/support/recording_observer.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Reason = Placement::Reason;

constexpr int64_t kSide = 1024;
constexpr int64_t kTensorBytes = kSide * kSide * 4;

// A host that copies nothing and computes 100 Gflop/s; a GPU of 10 Tflop/s behind 10 GB/s.
constexpr ScriptedDevice::Script kHost = {1e-6, {1e-11, 1e-11, 1e-11}, 1e-11, 0, 0};
constexpr ScriptedDevice::Script kGpu = {20e-6, {1e-13, 1e-13, 1e-13}, 1e-12, 1e-10, 1e-10};

DeviceCosts CostsOf(const ScriptedDevice::Script& s) {
  return {s.fixed, s.per_flop, s.per_weight_byte, s.per_operand_byte, s.per_load_byte};
}

class Progress final : public WaveProgress {
 public:
  absl::Status Step(std::optional<int64_t> /*finished*/, std::optional<int64_t> /*started*/) override {
    return absl::OkStatus();
  }
  void Placed(const Placement& p) override { placements.push_back(p); }
  std::vector<Placement> placements;
};

class OffloadDeviceTest : public ::testing::Test {
 protected:
  explicit OffloadDeviceTest(Bytes memory = Bytes(int64_t{1} << 30)) {
    auto host = std::make_unique<ScriptedDevice>("host", kHost, &clock_);
    auto gpu = std::make_unique<ScriptedDevice>("gpu:0", kGpu, &clock_);
    host_ = host.get();
    gpu_ = gpu.get();
    std::vector<OffloadDevice::Member> members;
    members.push_back({std::move(host), CostsOf(kHost), Bytes(0)});
    members.push_back({std::move(gpu), CostsOf(kGpu), memory});
    device_ = std::make_unique<OffloadDevice>(std::move(members), OffloadOptions{});
  }

  // A product of m rows with a stored [kSide, kSide] matrix, or with one that comes along.
  Wave Rows(int64_t m, bool stored) {
    WaveRequestBuilder request;
    request.Dims(m, kSide, kSide);
    const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/true, Limits{});
    auto wave =
        validator.Validate(request.Build(), WaveValidator::Mode::kComplete, *WeightVersion::Empty(), clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    if (stored) wave->w.reset();
    return *std::move(wave);
  }

  std::shared_ptr<const DeviceTensor> Upload(char byte, TensorType type = {kernels::DType::kF32, {kSide, kSide}}) {
    std::string bytes(static_cast<size_t>(type.bytes().value()), byte);
    auto tensor = device_->Upload({"w", std::move(type), WeightBuffer(std::move(bytes))}, budget_);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    return tensor.ok() ? *tensor : nullptr;
  }

  // Runs it; the last placement is in placement_, C in c_.
  absl::Status Run(const Wave& wave, const DeviceTensor* w = nullptr) {
    Progress progress;
    const auto report = device_->Run(wave, w, progress, c_);
    EXPECT_FALSE(progress.placements.empty());
    placement_ = progress.placements.back();
    if (report.ok()) {
      EXPECT_EQ(report->effective.device, placement_.device);
    }
    return report.status();
  }

  ManualClock clock_;
  WeightBudget budget_{Bytes(int64_t{1} << 30)};
  ScriptedDevice* host_;
  ScriptedDevice* gpu_;
  std::unique_ptr<OffloadDevice> device_;
  Placement placement_;
  std::string c_;
};

TEST_F(OffloadDeviceTest, StandsForItsMembers) {
  EXPECT_EQ(device_->info().name, "auto");
  const auto members = device_->members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0]->name, "host");
  EXPECT_EQ(members[1]->name, "gpu:0");
  EXPECT_EQ(device_->WorkingBytes(Rows(1, false)), Bytes(5)) << "the larger";
}

TEST_F(OffloadDeviceTest, LargeWavesGoToTheGpuAndThinOnesStay) {
  const auto w = Upload('w');
  ASSERT_TRUE(Run(Rows(1024, true), w.get()).ok());
  EXPECT_EQ(c_, "gw");
  EXPECT_EQ(placement_.reason, Reason::kFaster);
  EXPECT_EQ(placement_.device, "gpu:0");
  ASSERT_EQ(placement_.predictions.size(), 2u);
  EXPECT_LT(*placement_.predictions[1].time, placement_.threshold);
  // 4 MiB of weights are read in 42 us.
  ASSERT_TRUE(Run(Rows(1, true), w.get()).ok());
  EXPECT_EQ(c_, "hw");
  EXPECT_EQ(placement_.reason, Reason::kSmallWave);
}

TEST_F(OffloadDeviceTest, PredictionsAreWhatHappens) {
  const auto w = Upload('w');
  for (const bool stored : {true, false}) {
    const Wave wave = Rows(512, stored);
    const Time begin = clock_.Now();
    ASSERT_TRUE(Run(wave, stored ? w.get() : nullptr).ok());
    const size_t ran = placement_.device == "host" ? 0 : 1;
    EXPECT_NEAR(Seconds(clock_.Now() - begin), Seconds(*placement_.predictions[ran].time), 1e-8);
  }
}

TEST_F(OffloadDeviceTest, AWaveThatBringsItsWeightsPaysForTheirCopy) {
  // 64 rows: the host takes 1.3 ms; the GPU 86 us, and 420 us more for W.
  const auto w = Upload('w');
  ASSERT_TRUE(Run(Rows(64, true), w.get()).ok());
  const Duration resident = *placement_.predictions[1].time;
  ASSERT_TRUE(Run(Rows(64, false)).ok());
  EXPECT_NEAR(Seconds(*placement_.predictions[1].time - resident), kTensorBytes * 1e-10, 1e-8);
  // 16 rows: 336 us on the host. Resident it pays to go, with W to be copied it does not.
  ASSERT_TRUE(Run(Rows(16, true), w.get()).ok());
  EXPECT_EQ(placement_.device, "gpu:0");
  ASSERT_TRUE(Run(Rows(16, false)).ok());
  EXPECT_EQ(placement_.device, "host");
  EXPECT_EQ(placement_.reason, Reason::kNotFaster);
}

TEST_F(OffloadDeviceTest, ATensorLivesOnBothAndIsFreedOnBoth) {
  auto w = Upload('w');
  EXPECT_EQ(host_->tensors(), 1);
  EXPECT_EQ(gpu_->tensors(), 1);
  EXPECT_EQ(budget_.reserved(WeightBudget::Kind::kContent), Bytes(kTensorBytes)) << "the copy is not the host's";
  char bytes[3];
  ASSERT_TRUE(w->Read(5, 3, bytes).ok());
  EXPECT_EQ(std::string(bytes, 3), "www");
  w.reset();
  EXPECT_EQ(host_->tensors(), 0);
  EXPECT_EQ(gpu_->tensors(), 0);
  EXPECT_EQ(budget_.reserved(WeightBudget::Kind::kContent), Bytes(0));
}

TEST_F(OffloadDeviceTest, WhatNoWaveMultipliesWithIsNotCopied) {
  const auto vector = Upload('v', {kernels::DType::kF32, {16}});
  const auto opaque = Upload('o', {*ElementType::FromWire(ElementType::kI8), {4, 4}});
  EXPECT_EQ(host_->tensors(), 2);
  EXPECT_EQ(gpu_->tensors(), 0);
}

TEST_F(OffloadDeviceTest, LayoutsAreTheHosts) {
  const auto before = Upload('a');
  const auto after = Upload('b');
  EXPECT_EQ(device_->LayoutBytes(after->type(), before.get()), Bytes(kTensorBytes));
  EXPECT_EQ(device_->LayoutBytes(after->type(), nullptr), Bytes(kTensorBytes));
  EXPECT_TRUE(device_->Prepare(*after, before.get(), {}).ok());
  EXPECT_TRUE(device_->Prepare(*after, nullptr, {}).ok());
}

TEST_F(OffloadDeviceTest, AFailingHostFailsTheUpload) {
  host_->FailUploads(absl::ResourceExhaustedError("full"));
  const auto tensor = device_->Upload({"w", {kernels::DType::kF32, {1, 1}}, WeightBuffer("wwww")}, budget_);
  EXPECT_EQ(tensor.status(), absl::ResourceExhaustedError("full"));
  EXPECT_EQ(gpu_->tensors(), 0);
}

TEST_F(OffloadDeviceTest, AFullGpuTakesTheWeightsWaveByWave) {
  gpu_->FailUploads(absl::ResourceExhaustedError("full"));
  const auto w = Upload('w');
  EXPECT_EQ(gpu_->tensors(), 0);
  ASSERT_TRUE(Run(Rows(1024, true), w.get()).ok());
  EXPECT_EQ(c_, "gw") << "it is still faster";
  EXPECT_EQ(gpu_->loads(), 1);
  EXPECT_FALSE(placement_.predictions[1].resident);
  EXPECT_THAT(placement_.text, HasSubstr("with its weights copied there"));
  ASSERT_TRUE(Run(Rows(16, true), w.get()).ok());
  EXPECT_EQ(c_, "hw") << "the copy costs more than it saves";
}

TEST_F(OffloadDeviceTest, ADeviceOutOfServiceIsNotChosen) {
  const auto w = Upload('w');
  gpu_->SetServing(absl::UnavailableError("lost"));
  ASSERT_TRUE(Run(Rows(1024, true), w.get()).ok());
  EXPECT_EQ(c_, "hw");
  EXPECT_EQ(placement_.reason, Reason::kOutOfService);
  EXPECT_FALSE(placement_.predictions[1].time.has_value());
  EXPECT_EQ(device_->Plan(Rows(1024, true)).device, "host");
  const auto later = Upload('x');
  EXPECT_EQ(gpu_->tensors(), 1) << "only the first";
  gpu_->SetServing(absl::OkStatus());
  ASSERT_TRUE(Run(Rows(1024, true), w.get()).ok());
  EXPECT_EQ(c_, "gw");
  ASSERT_TRUE(Run(Rows(1024, true), later.get()).ok());
  EXPECT_EQ(c_, "gx") << "copied for the wave";
}

TEST_F(OffloadDeviceTest, AWaveThatADeviceLosesFails) {
  const auto w = Upload('w');
  gpu_->FailRuns(absl::UnavailableError("lost"));
  EXPECT_EQ(Run(Rows(1024, true), w.get()), absl::UnavailableError("lost"));
  EXPECT_EQ(host_->runs(), 0);
}

TEST_F(OffloadDeviceTest, AWaveThatFindsNoMemoryRunsOnTheHost) {
  const auto w = Upload('w');
  gpu_->FailRuns(absl::ResourceExhaustedError("no room for A"));
  ASSERT_TRUE(Run(Rows(1024, true), w.get()).ok());
  EXPECT_EQ(c_, "hw");
  EXPECT_EQ(placement_.device, "host");
  EXPECT_EQ(placement_.reason, Reason::kNoMemory);
  EXPECT_THAT(placement_.text, HasSubstr("gpu:0 had no memory for it: no room for A"));
}

TEST_F(OffloadDeviceTest, AWaveWhoseTilesHaveBegunIsNotRunTwice) {
  const auto w = Upload('w');
  gpu_->FailRuns(absl::ResourceExhaustedError("no room"), /*after_begin=*/true);
  EXPECT_EQ(Run(Rows(1024, true), w.get()), absl::ResourceExhaustedError("no room"));
  EXPECT_EQ(host_->runs(), 0);
}

TEST_F(OffloadDeviceTest, ThePreviewAndTheRoughTimeAreTheChosenDevices) {
  EXPECT_EQ(device_->Plan(Rows(1024, true)).device, "gpu:0");
  EXPECT_EQ(device_->RoughTime(Rows(1024, true)), std::chrono::seconds(5)) << "of gpu:0";
  EXPECT_EQ(device_->Plan(Rows(1, true)).device, "host");
  EXPECT_EQ(device_->RoughTime(Rows(1, true)), std::chrono::seconds(4)) << "of host";
}

class SmallGpuTest : public OffloadDeviceTest {
 protected:
  SmallGpuTest() : OffloadDeviceTest(Bytes(kTensorBytes + kTensorBytes / 2)) {}
};

TEST_F(SmallGpuTest, CopiesStayWithinTheirBudget) {
  auto first = Upload('a');
  auto second = Upload('b');
  EXPECT_EQ(host_->tensors(), 2);
  EXPECT_EQ(gpu_->tensors(), 1) << "there is no room for two";
  first.reset();
  const auto third = Upload('c');
  EXPECT_EQ(gpu_->tensors(), 1) << "what was given back is used again";
  ASSERT_TRUE(Run(Rows(1024, true), third.get()).ok());
  EXPECT_EQ(c_, "gc");
  EXPECT_TRUE(placement_.predictions[1].resident);
}

// ---- within a runtime

class OffloadRuntimeTest : public OffloadDeviceTest {
 protected:
  OffloadRuntimeTest() {
    RuntimeOptions options;
    options.lenient_shapes = true;
    options.weights.keep_versions = 0;
    RuntimeContext context;
    context.clock = &clock_;
    context.bulk = context.reclaim = context.journal = &executor_;
    context.observer = &observer_;
    runtime_ = std::make_unique<Runtime>(std::move(options), std::move(device_), context);
  }
  ~OffloadRuntimeTest() override {
    executor_.RunAll();
    runtime_ = nullptr;
    executor_.RunAll();
  }

  void Publish(char byte) {
    SetWeightsRequest request;
    request.tensors.push_back(
        {"w", DTypeWish::kF32, {kSide, kSide}, std::string(static_cast<size_t>(kTensorBytes), byte)});
    OneShot<absl::StatusOr<SwapResult>> end;
    const auto swap = runtime_->weights().SetWeights(
        std::move(request), [&](absl::StatusOr<SwapResult> result) { end.Set(std::move(result)); });
    executor_.RunAll();
    ASSERT_TRUE(end.Get().ok()) << end.Get().status();
  }

  WaveResult RunRows(int64_t m) {
    WaveRequestBuilder request;
    request.Dims(m, kSide, kSide).WTensor("w").Window(0, 1000);
    OneShot<absl::StatusOr<WaveResult>> end;
    const auto ticket = runtime_->Submit(
        request.Build(), [&](const runtime::Wave&, absl::StatusOr<WaveResult> result) { end.Set(std::move(result)); });
    EXPECT_TRUE(ticket.ok()) << ticket.status();
    EXPECT_TRUE(end.Get().ok()) << end.Get().status();
    return *end.Get();
  }

  ManualExecutor executor_;
  RecordingObserver observer_;
  std::unique_ptr<Runtime> runtime_;
};

// Each version is whole wherever a wave that leases it runs, before and after a swap.
TEST_F(OffloadRuntimeTest, SwapsAreSeenOnEveryDevice) {
  for (const char byte : {'a', 'b', 'c'}) {
    ASSERT_NO_FATAL_FAILURE(Publish(byte));
    const WaveResult large = RunRows(1024);
    EXPECT_EQ(large.c, std::string("g") + byte);
    ASSERT_TRUE(large.placement.has_value());
    EXPECT_EQ(large.placement->device, "gpu:0");
    const WaveResult small = RunRows(1);
    EXPECT_EQ(small.c, std::string("h") + byte);
    EXPECT_EQ(small.placement->reason, Reason::kSmallWave);
    EXPECT_EQ(small.version, large.version);
    executor_.RunAll();
    EXPECT_EQ(gpu_->tensors(), 1) << "the version before is freed there, too";
  }
}

TEST_F(OffloadRuntimeTest, DevicesSamplesAndMetricsAreTold) {
  ASSERT_NO_FATAL_FAILURE(Publish('a'));
  RunRows(1024);
  RunRows(1024);
  RunRows(1);
  std::vector<std::string> names;
  for (const auto& view : runtime_->Devices()) names.push_back(view.info->name);
  EXPECT_THAT(names, ElementsAre("host", "gpu:0"));
  EXPECT_EQ(runtime_->GetSample("gpu:0")->sample.waves, 2u);
  EXPECT_EQ(runtime_->GetSample("host")->sample.waves, 1u);
  EXPECT_EQ(runtime_->GetSample("")->device, "host");
  EXPECT_THAT(std::string(runtime_->GetSample("gpu:1").status().message()), HasSubstr("this daemon has host, gpu:0"));
  std::vector<std::string> ran;
  for (const auto& wave : observer_.waves()) ran.push_back(wave.device);
  EXPECT_THAT(ran, ElementsAre("gpu:0", "gpu:0", "host"));
  EXPECT_EQ(observer_.waves()[0].placement->reason, Reason::kFaster);
  EXPECT_EQ(observer_.waves()[2].placement->reason, Reason::kSmallWave);
}

TEST_F(OffloadRuntimeTest, AFailureIsTheDevicesThatFailed) {
  ASSERT_NO_FATAL_FAILURE(Publish('a'));
  gpu_->FailRuns(absl::UnavailableError("lost"));
  WaveRequestBuilder request;
  request.Dims(1024, kSide, kSide).WTensor("w");
  OneShot<absl::Status> end;
  ASSERT_TRUE(runtime_
                  ->Submit(request.Build(), [&](const runtime::Wave&,
                                                const absl::StatusOr<WaveResult>& result) { end.Set(result.status()); })
                  .ok());
  EXPECT_EQ(end.Get(), absl::UnavailableError("lost"));
  ASSERT_EQ(observer_.waves().size(), 1u);
  EXPECT_EQ(observer_.waves()[0].device, "gpu:0");
  EXPECT_EQ(observer_.waves()[0].outcome, WaveOutcome::kFailed);
}

}  // namespace
}  // namespace bwrt::runtime
