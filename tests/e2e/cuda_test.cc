// bwrtd and its CUDA device without a GPU: what it says when something is missing, and, over a plugin with a fake GPU,
// waves, weights and a lost device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using HealthResponse = grpc::health::v1::HealthCheckResponse;

constexpr char kFakePlugin[] = "--cuda-plugin=tests/e2e/libbwrt_fake_cuda.so";

class CudaTest : public DaemonFixture {
 protected:
  // A daemon on the fake GPU.
  void StartFake(std::vector<std::string> flags = {}) {
    setenv("BWRT_FAKE_CUDA_LOSS", loss().c_str(), 1);
    flags.insert(flags.end(), {"--device=cuda", kFakePlugin, "--lanes=2"});
    StartDaemon(std::move(flags));
  }

  std::string loss() const { return directory_ / "loss"; }
  void LoseTheDevice() const { WriteAll(loss(), ""); }

  bool IsHealthy() {
    const auto health = client().CheckHealth();
    return health.ok() && health->status() == HealthResponse::SERVING;
  }

  Directory directory_;
};

// ---- what is missing ----

TEST_F(CudaTest, CudaWithoutAPluginEndsAtOnce) {
  const Ended ended = RunDaemon({"--listen=unix:" + directory_ / "s", "--device=cuda",
                                 "--cuda-plugin=" + directory_ / "none.so", "--ready-file=" + directory_ / "ready"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("--device=cuda: libbwrt_cuda.so can't be loaded: cannot open shared object file"));
  EXPECT_THAT(ended.err, HasSubstr("give --cuda-plugin=PATH"));
  EXPECT_THAT(ended.err, HasSubstr("--device=cpu or --device=auto serves without a GPU"));
  EXPECT_EQ(ReadAll(directory_ / "ready"), "");
}

TEST_F(CudaTest, AutoWithoutAPluginServesOnTheCpuAndSaysWhy) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=auto", "--cuda-plugin=" + directory_ / "none.so"}));
  const v1::SubmitWaveRequest wave = MakeWave(128, 128, 64);
  const auto result = client().SubmitWave(wave);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->effective().device(), "cpu");
  EXPECT_TRUE(IsRight(wave, *result));
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  EXPECT_THAT(caps->device_choice(),
              HasSubstr("--device=auto: the CPU serves, since no GPU can: libbwrt_cuda.so can't be loaded"));
  EXPECT_FALSE(absl::StrContains(caps->device_choice(), directory_.path())) << "clients need not know paths";
  EXPECT_EQ(caps->build().cuda_plugin(), "");
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr(caps->device_choice()));
}

TEST_F(CudaTest, TheCpuNeedsNoReason) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=cpu", "--cuda-plugin=" + directory_ / "none.so"}));
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  EXPECT_EQ(caps->device_choice(), "--device=cpu");
}

// ---- a fake GPU ----

TEST_F(CudaTest, SaysWhatItWorksWith) {
  ASSERT_NO_FATAL_FAILURE(StartFake());
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  ASSERT_EQ(caps->devices_size(), 1);
  EXPECT_EQ(caps->devices(0).name(), "cuda:0");
  std::vector<std::string> versions;
  for (const auto& c : caps->devices(0).components()) versions.push_back(absl::StrCat(c.component(), "=", c.version()));
  EXPECT_THAT(versions, testing::ElementsAre("nvidia_driver=580.65.06", "cuda_driver=13.0", "cuda_runtime=13.0",
                                             "cublaslt=13.1.0", "compute_capability=9.0", "plugin=fake"));
  EXPECT_EQ(caps->device_choice(), "--device=cuda:0");
  EXPECT_EQ(caps->build().cuda_plugin(), "fake");
  EXPECT_LE(caps->limits().weight_bytes(), uint64_t{1} << 30) << "the fake GPU has no more";
}

TEST_F(CudaTest, WavesAndWeights) {
  ASSERT_NO_FATAL_FAILURE(StartFake());
  for (const DType dtype : {F32, F16, BF16}) {
    const v1::SubmitWaveRequest wave = MakeWave(200, 130, 96, dtype);
    const auto result = client().SubmitWave(wave);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->effective().device(), "cuda:0");
    EXPECT_TRUE(IsRight(wave, *result));
  }
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const v1::SubmitWaveRequest wave = MakeWave(128, 128, 96, F32, seed);
    ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
    const auto result = client().SubmitWave(WithStored(wave, "w"));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->version(), seed);
    EXPECT_TRUE(IsRight(wave, *result));
  }
  const v1::SubmitWaveRequest wave = MakeWave(128, 128, 96, F32, 3);
  v1::ReadTensorRequest read;
  read.set_model("default");
  read.set_tensor("w");
  read.set_offset(64);
  read.set_bytes(256);
  const auto slice = client().ReadTensor(read);
  ASSERT_TRUE(slice.ok()) << slice.status();
  EXPECT_EQ(slice->data(), WeightOf(wave, "w").data().substr(64, 256));
}

TEST_F(CudaTest, CountersStandBesideTheKernelsWhereverReadingsAre) {
  ASSERT_NO_FATAL_FAILURE(StartFake({"--gpu-counters=pm", "--gpu-counter-interval=100ms", kMetrics}));
  constexpr char kCounted[] = "fake GPM (fake PM: insufficient privileges)";
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  EXPECT_EQ(caps->devices(0).hardware_counters(), kCounted);
  absl::StatusOr<v1::SampleResponse> sample = absl::UnknownError("not asked");
  ASSERT_TRUE(WaitUntil([&] {
    sample = client().Sample();
    return sample.ok() && sample->readings().has_sm_active();
  })) << sample.status();
  EXPECT_EQ(sample->waves(), 0u);
  EXPECT_EQ(sample->readings().wgmma_active_hardware().ratio(), 0.5) << "0.25 of all time, work in 0.5 of it";
  EXPECT_EQ(sample->readings().wgmma_active_hardware().source(), v1::HARDWARE);
  EXPECT_EQ(sample->readings().dram_throughput().ratio(), 0.125);
  EXPECT_FALSE(sample->readings().has_l2_hit_hardware()) << "GPM has none: absent, not 0";
  EXPECT_EQ(sample->advice_size(), 0);
  ASSERT_TRUE(client().SubmitWave(MakeWave(128, 128, 64)).ok());
  const auto advised = client().Sample();
  ASSERT_TRUE(advised.ok()) << advised.status();
  const auto advice = std::find_if(advised->advice().begin(), advised->advice().end(),
                                   [](const v1::Advice& a) { return a.metric() == "wgmma_active"; });
  ASSERT_NE(advice, advised->advice().end());
  EXPECT_EQ(advice->ratio(), 0.5) << "of the counters, whatever the kernel says";
  const Scrape scrape = GetMetrics();
  const Scrape::Labels hardware = {{"device", "cuda:0"}, {"source", "hardware"}};
  EXPECT_EQ(scrape.Count("bwrt_wgmma_active_ratio", hardware), 1);
  EXPECT_EQ(scrape.Sum("bwrt_wgmma_active_ratio", hardware), 0.5);
  EXPECT_EQ(scrape.Sum("bwrt_dram_throughput_ratio", hardware), 0.125);
  EXPECT_EQ(scrape.Count("bwrt_l2_hit_ratio", hardware), 0);
  const auto process = Process::Start({"client/bwrtctl", "caps", "--server=" + daemon().unix_address()});
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ((*process)->Wait(), 0) << (*process)->err();
  EXPECT_THAT((*process)->out(), HasSubstr(std::string("cuda:0: hardware counters: ") + kCounted));
  EXPECT_EQ(StopDaemon(), 0);
  const std::string needle = "insufficient privileges";
  EXPECT_EQ(log().find(needle), log().rfind(needle)) << "said once: " << log();
}

TEST_F(CudaTest, CountersOfALostDeviceAreAbsentUntilItIsBack) {
  ASSERT_NO_FATAL_FAILURE(StartFake({"--gpu-counter-interval=100ms"}));
  const auto counted = [this] {
    const auto sample = client().Sample();
    return sample.ok() && sample->readings().has_sm_active();
  };
  ASSERT_TRUE(WaitUntil(counted));
  LoseTheDevice();
  EXPECT_FALSE(client().SubmitWave(MakeWave(128, 128, 64)).ok());
  EXPECT_TRUE(WaitUntil([&] { return !counted(); }));
  EXPECT_EQ(client().GetCapabilities()->devices(0).hardware_counters(), "none: the GPU is out of service");
  EXPECT_EQ(StopDaemon(), 0);
}

TEST_F(CudaTest, CountersCanBeSwitchedOff) {
  ASSERT_NO_FATAL_FAILURE(StartFake({"--gpu-counters=off"}));
  EXPECT_EQ(client().GetCapabilities()->devices(0).hardware_counters(), "none: switched off");
}

// Random valid waves in lock step with the reference, weights swapped in between.
TEST_F(CudaTest, VerifyFindsNothing) {
  ASSERT_NO_FATAL_FAILURE(StartFake());
  const auto process = Process::Start({"client/bwrtctl", "verify", "--server=" + daemon().unix_address(),
                                       "--device=cuda:0", "--waves=120", "--seed=4", "--timeout=60s"});
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ((*process)->Wait(), 0) << (*process)->out() << (*process)->err();
}

TEST_F(CudaTest, ALostDeviceFailsWavesAndHealth) {
  ASSERT_NO_FATAL_FAILURE(StartFake());
  const v1::SubmitWaveRequest wave = MakeWave(128, 128, 64);
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  EXPECT_TRUE(IsHealthy());
  LoseTheDevice();
  for (int i = 0; i < 3; ++i) {
    const auto result = client().SubmitWave(WithStored(wave, "w"));
    EXPECT_TRUE(Is(result.status(), absl::StatusCode::kUnavailable, "DEVICE_LOST"));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("Record failed as asked")) << "the first reason";
  }
  EXPECT_TRUE(WaitUntil([this] { return !IsHealthy(); }));
  const auto by_name = client().CheckHealth("bwrt.v1.Execution");
  ASSERT_TRUE(by_name.ok());
  EXPECT_EQ(by_name->status(), HealthResponse::NOT_SERVING);
  EXPECT_TRUE(
      Is(client().SetWeights(Publish(WeightOf(wave, "w"))).status(), absl::StatusCode::kUnavailable, "DEVICE_LOST"));
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("device out of service"));
  EXPECT_THAT(log(), HasSubstr("--cuda-recreate"));
}

TEST_F(CudaTest, ALostDeviceIsMadeAnewWithItsWeights) {
  ASSERT_NO_FATAL_FAILURE(StartFake({"--cuda-recreate"}));
  const v1::SubmitWaveRequest wave = MakeWave(128, 128, 64);
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  for (int i = 0; i < 2; ++i) {
    LoseTheDevice();
    EXPECT_TRUE(Is(client().SubmitWave(WithStored(wave, "w")).status(), absl::StatusCode::kUnavailable, "DEVICE_LOST"));
    absl::StatusOr<v1::WaveResult> result = absl::UnknownError("not tried");
    ASSERT_TRUE(WaitUntil([&] {
      result = client().SubmitWave(WithStored(wave, "w"));
      return result.ok();
    })) << result.status();
    EXPECT_TRUE(IsRight(wave, *result));
    EXPECT_TRUE(WaitUntil([this] { return IsHealthy(); }));
  }
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("device back in service"));
}

TEST_F(CudaTest, ALostDeviceDoesNotKeepADaemonFromDraining) {
  ASSERT_NO_FATAL_FAILURE(StartFake());
  LoseTheDevice();
  ASSERT_FALSE(client().SubmitWave(MakeWave(128, 128, 64)).ok());
  EXPECT_EQ(StopDaemon(), 0);
}

// ---- both devices ----

class AutoTest : public CudaTest {
 protected:
  // A daemon with both, on the same state directory each time.
  void StartBoth() {
    setenv("BWRT_FAKE_CUDA_LOSS", loss().c_str(), 1);
    StartDaemon({"--device=auto", kFakePlugin, "--lanes=2", "--cpu-threads=1", "--state-dir=" + directory_ / "state",
                 "--decision-log=" + decisions(), kMetrics});
  }
  // As if a GPU of 10 Tflop/s and a processor of 10 Gflop/s had been measured: the fake one computes on the host.
  void MakeTheGpuFaster() {
    Json calibration = Json::parse(ReadAll(directory_ / "state/calibration.json"));
    ASSERT_EQ(calibration["devices"].size(), 2u);
    for (auto& [device, costs] : calibration["devices"].items()) {
      const double flop = absl::StartsWith(device, "cuda:0; Fake H200") ? 1e-13 : 1e-10;
      costs = {{"fixed", 1e-6},
               {"per_flop", {flop, flop, flop, flop, flop}},
               {"per_weight_byte", 0},
               {"per_operand_byte", 0},
               {"per_load_byte", 0}};
    }
    WriteAll(directory_ / "state/calibration.json", calibration.dump());
  }
  std::vector<Json> Decisions() const {
    std::vector<Json> lines;
    for (const absl::string_view line : absl::StrSplit(ReadAll(decisions()), '\n', absl::SkipEmpty())) {
      lines.push_back(Json::parse(std::string(line), nullptr, /*allow_exceptions=*/false));
    }
    return lines;
  }
  std::string decisions() const { return directory_ / "decisions"; }
};

TEST_F(AutoTest, EachWaveRunsWhereItIsPredictedToBeFaster) {
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  ASSERT_EQ(caps->devices_size(), 2);
  EXPECT_EQ(caps->devices(0).name(), "cpu");
  EXPECT_EQ(caps->devices(1).name(), "cuda:0");
  EXPECT_THAT(caps->device_choice(), HasSubstr("cpu measured now, cuda:0 measured now"));
  const v1::SubmitWaveRequest wave = MakeWave(512, 512, 512);
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  // The fake GPU is a slow one.
  auto result = client().SubmitWave(WithStored(wave, "w"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->effective().device(), "cpu");
  EXPECT_EQ(result->placement().reason(), "not_faster");
  EXPECT_TRUE(IsRight(wave, *result));
  ASSERT_EQ(StopDaemon(), 0);

  ASSERT_NO_FATAL_FAILURE(MakeTheGpuFaster());
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  EXPECT_THAT(caps->device_choice(), HasSubstr("cpu measured before, cuda:0 measured before"));
  // Its weights came back from the state directory, onto both.
  result = client().SubmitWave(WithStored(wave, "w"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->effective().device(), "cuda:0");
  EXPECT_TRUE(IsRight(wave, *result));
  const v1::Placement& placement = result->placement();
  EXPECT_EQ(placement.device(), "cuda:0");
  EXPECT_EQ(placement.reason(), "faster");
  ASSERT_EQ(placement.predictions_size(), 2);
  EXPECT_LT(placement.predictions(1).seconds(), placement.threshold_seconds());
  EXPECT_GT(placement.predictions(0).seconds(), placement.threshold_seconds());
  EXPECT_TRUE(placement.predictions(1).resident());
  const auto small = client().SubmitWave(MakeWave(16, 128, 64));
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(small->effective().device(), "cpu");
  EXPECT_EQ(small->placement().reason(), "small_wave");

  const Scrape metrics = GetMetrics();
  EXPECT_EQ(metrics.Sum("bwrt_offload_decisions_total", {{"device", "cuda:0"}, {"reason", "faster"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_offload_decisions_total", {{"device", "cpu"}, {"reason", "small_wave"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_waves_total", {{"device", "cuda:0"}, {"outcome", "ok"}}), 1);
  ASSERT_TRUE(WaitUntil([this] { return Decisions().size() == 3; }));
  const std::vector<Json> lines = Decisions();
  EXPECT_EQ(lines[0]["reason"], "not_faster");
  EXPECT_EQ(lines[1]["device"], "cuda:0");
  EXPECT_EQ(lines[1]["reason"], "faster");
  EXPECT_EQ(lines[1]["m"], 512);
  EXPECT_EQ(lines[1]["predicted"][1]["device"], "cuda:0");
  EXPECT_EQ(lines[1]["predicted"][1]["seconds"], placement.predictions(1).seconds());
  EXPECT_EQ(lines[1]["threshold_seconds"], placement.threshold_seconds());
  EXPECT_EQ(lines[1]["outcome"], "ok");
  EXPECT_EQ(lines[2]["reason"], "small_wave");
}

TEST_F(AutoTest, WithoutItsGpuItServesOnTheCpu) {
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  ASSERT_EQ(StopDaemon(), 0);
  ASSERT_NO_FATAL_FAILURE(MakeTheGpuFaster());
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  const v1::SubmitWaveRequest wave = MakeWave(512, 512, 512);
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  LoseTheDevice();
  EXPECT_TRUE(Is(client().SubmitWave(WithStored(wave, "w")).status(), absl::StatusCode::kUnavailable, "DEVICE_LOST"));
  const auto result = client().SubmitWave(WithStored(wave, "w"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->effective().device(), "cpu");
  EXPECT_EQ(result->placement().reason(), "out_of_service");
  EXPECT_TRUE(IsRight(wave, *result));
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok()) << "weights change all the same";
  EXPECT_TRUE(IsHealthy());
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_THAT(log(), HasSubstr("device out of service"));
}

}  // namespace
}  // namespace bwrt::e2e
