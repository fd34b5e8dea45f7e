#include "runtime/cuda/cuda_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "runtime/cuda/cuda_engine.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr uint32_t kTile = 20;  // 128 x 128.
constexpr uint32_t kStages = 35;
constexpr uint16_t kCluster = 5;  // Our (2,1), with the axes swapped.

struct Progress {
  static int32_t Step(void* context, int64_t finished, int64_t started) {
    auto* const progress = static_cast<Progress*>(context);
    EXPECT_EQ(finished, 0);
    EXPECT_EQ(started, 0);
    return ++progress->asked == progress->stop_at ? 1 : 0;
  }
  const BwrtCudaProgress abi{sizeof(abi), this, &Step};
  int asked = 0;
  int stop_at = 0;
};

class CudaTunerTest : public ::testing::Test {
 protected:
  CudaTunerTest() {
    gpu_.recommended = {Config(66, 0), Config(66, 1), Config(67, 0), Config(67, 1)};
    gpu_.stages = {};
    gpu_.legal = [](const LtConfig& c) { return (c.id == 66 || c.id == 67) && c.tile == kTile && c.stages == kStages; };
    gpu_.time = [this](const LtConfig& c) { return times_[{c.id, c.swizzling}]; };
    options_.size = sizeof(options_);
    options_.candidates = 32;
    options_.repeats = 3;
    options_.budget_ns = int64_t{1} << 60;
    CudaEngineOptions options;
    options.memory_limit = int64_t{64} << 20;
    options.lane_piece = 4096;
    options.kernel = BWRT_CUDA_KERNEL_CUBLASLT;
    options.now_ns = [this] { return now_ += tick_; };
    const CudaStatus status = CudaEngine::Create(std::make_unique<FakeCudaDriver>(&gpu_), options, &engine_);
    EXPECT_TRUE(status.ok()) << status.text();
    wave_.dtype = wave_.c_dtype = BWRT_CUDA_BF16;
    wave_.m = 20;
    wave_.n = 24;
    wave_.k = 16;
    wave_.bm = wave_.bn = 128;
    wave_.bk = 64;
    wave_.stages = 2;
    wave_.cluster_x = 2;
    wave_.cluster_y = 1;
    wave_.tile_count = wave_.whole = 1;
    wave_.alpha = 1;
  }
  ~CudaTunerTest() override {
    EXPECT_FALSE(gpu_.busy());
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }

  static LtConfig Config(int32_t id, uint32_t swizzling, uint16_t cluster = kCluster) {
    LtConfig config;
    config.id = id;
    config.tile = kTile;
    config.stages = kStages;
    config.cluster = cluster;
    config.swizzling = swizzling;
    return config;
  }

  CudaStatus Tune(Progress* progress = nullptr) {
    Progress ours;
    result_ = {};
    return engine_->Tune(wave_, options_, (progress == nullptr ? ours : *progress).abi, &result_);
  }
  std::string Planned() {
    BwrtCudaEffective effective{};
    const CudaStatus status = engine_->Plan(wave_, &effective);
    EXPECT_TRUE(status.ok()) << status.text();
    return effective.kernel;
  }

  FakeGpu gpu_;
  // By algorithm and swizzling; nanoseconds.
  std::map<std::pair<int32_t, uint32_t>, int64_t> times_ = {
      {{66, 0}, 400'000}, {{66, 1}, 300'000}, {{67, 0}, 100'000}, {{67, 1}, 200'000}};
  BwrtCudaTuneOptions options_{};
  BwrtCudaWave wave_{};
  CudaTuneResult result_;
  int64_t now_ = 1;
  int64_t tick_ = 0;
  std::unique_ptr<CudaEngine> engine_;
};

TEST_F(CudaTunerTest, TheFastestIsUsedFromThenOn) {
  EXPECT_THAT(Planned(), StartsWith("cublaslt-66-"));
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.candidates, 4);
  EXPECT_EQ(result_.timed, 4);
  ASSERT_TRUE(result_.tuning);
  EXPECT_EQ(result_.tuning->config, Config(67, 0));
  EXPECT_EQ(result_.tuning->median_ns, 100'000);
  EXPECT_EQ(result_.tuning->first_ns, 400'000) << "of what ran untuned";
  EXPECT_THAT(result_.rejected, IsEmpty());
  EXPECT_THAT(Planned(), StartsWith("cublaslt-67-"));
  EXPECT_THAT(engine_->Tunings(), SizeIs(1));
}

TEST_F(CudaTunerTest, AWaveWithAnEpilogueTakesWhatWasTunedWithoutOne) {
  ASSERT_TRUE(Tune().ok());
  wave_.activation = BWRT_CUDA_RELU;
  EXPECT_THAT(Planned(), StartsWith("cublaslt-67-"));
  wave_.n = 32;
  EXPECT_THAT(Planned(), StartsWith("cublaslt-66-")) << "another shape";
}

TEST_F(CudaTunerTest, MediansCount) {
  int runs = 0;
  int loser_runs = 0;
  // The third launch of each is the first that counts: the winner's is disturbed, and one loser's is quick.
  gpu_.time = [&](const LtConfig& c) -> int64_t {
    if (c == Config(66, 1)) return ++loser_runs == 3 ? 50'000 : 300'000;
    if (c != Config(67, 0)) return 400'000;
    return ++runs == 3 ? 9'000'000 : 250'000;
  };
  ASSERT_TRUE(Tune().ok());
  ASSERT_TRUE(result_.tuning);
  EXPECT_EQ(result_.tuning->config, Config(67, 0));
  EXPECT_EQ(result_.tuning->median_ns, 250'000);
}

TEST_F(CudaTunerTest, ShortKernelsAreTimedManyAtATime) {
  for (auto& [config, ns] : times_) ns /= 100;
  gpu_.ClearLog();
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.tuning->median_ns, 1000);
  int64_t launches = 0;
  for (const std::string& call : gpu_.log()) launches += call == "run Matmul" ? 1 : 0;
  // Two to warm up, three times as many as take 200 us, at most 50; and one that is looked at.
  EXPECT_EQ(launches, 2 * 4 + 3 * (50 + 50 + 50 + 50) + 1);
}

TEST_F(CudaTunerTest, AWrongResultIsRejectedAndNamed) {
  gpu_.wrong = [](const LtConfig& c) { return c.id == 67; };
  ASSERT_TRUE(Tune().ok());
  ASSERT_TRUE(result_.tuning);
  EXPECT_EQ(result_.tuning->config, Config(66, 1)) << "the fastest right one";
  EXPECT_THAT(result_.rejected,
              ElementsAre(StartsWith("cublaslt-67-tile20-stages35-cluster5: off by 0.5"), StartsWith("cublaslt-67-")));
  BwrtCudaTuneReport report{};
  result_.Describe(&report);
  EXPECT_EQ(report.rejected, 2);
  EXPECT_THAT(std::string(report.wrong[0]), HasSubstr("off by"));
  EXPECT_THAT(std::string(report.kernel), StartsWith("cublaslt-66-"));
}

TEST_F(CudaTunerTest, NothingIsKeptWhereAllAreWrong) {
  gpu_.wrong = [](const LtConfig&) { return true; };
  ASSERT_TRUE(Tune().ok());
  EXPECT_FALSE(result_.tuning);
  EXPECT_THAT(result_.rejected, SizeIs(4));
  EXPECT_THAT(engine_->Tunings(), IsEmpty());
}

TEST_F(CudaTunerTest, TheBudgetEndsItButForTheFirst) {
  options_.budget_ns = 0;
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.timed, 1);
  EXPECT_EQ(result_.tuning->config, Config(66, 0));
  // A look at the clock for each candidate but the first.
  tick_ = 10;
  options_.budget_ns = 15;
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.timed, 2);
}

TEST_F(CudaTunerTest, KeepsThePlannersClusterAndTile) {
  gpu_.recommended.push_back(Config(67, 1, /*cluster=*/2));
  LtConfig other = Config(67, 1);
  other.tile = 23;
  gpu_.recommended.push_back(other);
  gpu_.legal = [](const LtConfig& c) { return c.stages == kStages; };
  gpu_.time = [](const LtConfig& c) -> int64_t { return c.cluster == 2 || c.tile == 23 ? 1000 : 500'000; };
  ASSERT_TRUE(Tune().ok());
  ASSERT_TRUE(result_.tuning);
  EXPECT_EQ(result_.tuning->config.tile, kTile);
  EXPECT_EQ(result_.tuning->config.cluster, kCluster);
  EXPECT_EQ(result_.candidates, 4);
}

TEST_F(CudaTunerTest, TriesStagesAndOrdersThatNobodyRecommended) {
  gpu_.recommended = {Config(66, 0)};
  gpu_.stages = {kStages};
  gpu_.time = [](const LtConfig& c) -> int64_t { return c.swizzling == 1 ? 100'000 : 200'000; };
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.candidates, 2);
  EXPECT_EQ(result_.tuning->config, Config(66, 1));
}

TEST_F(CudaTunerTest, StopsWhereAskedTo) {
  Progress counting;
  ASSERT_TRUE(Tune(&counting).ok());
  ASSERT_GT(counting.asked, 4);
  for (int stop_at = 1; stop_at <= counting.asked; ++stop_at) {
    Progress progress;
    progress.stop_at = stop_at;
    EXPECT_EQ(Tune(&progress).code(), BWRT_CUDA_STOPPED) << stop_at;
    EXPECT_FALSE(gpu_.busy());
  }
}

TEST_F(CudaTunerTest, WhateverFailsIsTheAnswerAndNothingStaysBehind) {
  gpu_.FailCall(0, BWRT_CUDA_FAILED);
  ASSERT_TRUE(Tune().ok());
  const int64_t calls = gpu_.calls();
  ASSERT_GT(calls, 50);
  for (int64_t call = 1; call <= calls; ++call) {
    gpu_.FailCall(call, BWRT_CUDA_FAILED);
    const CudaStatus status = Tune();
    // One that only gives something back may fail unheard.
    if (gpu_.failed() && status.ok()) continue;
    EXPECT_FALSE(gpu_.busy()) << call;
  }
  gpu_.FailCall(0, BWRT_CUDA_FAILED);
  EXPECT_TRUE(Tune().ok()) << "the device still works";
}

TEST_F(CudaTunerTest, ALossAtAnyCallIsOneThatCanBeMended) {
  gpu_.FailCall(0, BWRT_CUDA_FAILED);
  ASSERT_TRUE(Tune().ok());
  const int64_t calls = gpu_.calls();
  for (int64_t call = 1; call <= calls; call += 3) {
    gpu_.FailCall(call, BWRT_CUDA_DEVICE_LOST);
    const CudaStatus status = Tune();
    if (!gpu_.failed()) continue;
    if (!status.ok()) {
      EXPECT_TRUE(status.lost()) << call << ": " << status.text();
    }
    gpu_.FailCall(0, BWRT_CUDA_FAILED);
    (void)Tune().ok();  // Whoever comes next notices at the latest.
    ASSERT_TRUE(engine_->Recreate().ok()) << call;
    ASSERT_TRUE(Tune().ok()) << call;
  }
}

TEST_F(CudaTunerTest, ALostDeviceIsLostAndComesBackTuned) {
  ASSERT_TRUE(Tune().ok());
  gpu_.FailNext("Elapsed", BWRT_CUDA_DEVICE_LOST);
  EXPECT_TRUE(Tune().lost());
  EXPECT_TRUE(Tune().lost()) << "until it is made anew";
  ASSERT_TRUE(engine_->Recreate().ok());
  EXPECT_THAT(Planned(), StartsWith("cublaslt-67-"));
  EXPECT_TRUE(Tune().ok());
}

TEST_F(CudaTunerTest, TakesBackWhatIsStillLegal) {
  ASSERT_TRUE(Tune().ok());
  CudaTuning tuning = *result_.tuning;
  tuning.config = Config(66, 1);
  ASSERT_TRUE(engine_->SetTuning(tuning).ok());
  EXPECT_THAT(engine_->Tunings(), SizeIs(1));
  EXPECT_EQ(engine_->Tunings()[0].config, Config(66, 1));
  tuning.config.id = 1;
  const CudaStatus refused = engine_->SetTuning(tuning);
  EXPECT_EQ(refused.code(), BWRT_CUDA_INVALID);
  EXPECT_EQ(engine_->Tunings()[0].config, Config(66, 1));
}

TEST_F(CudaTunerTest, WhatIsNoLongerLegalIsNotUsed) {
  ASSERT_TRUE(Tune().ok());
  gpu_.legal = [](const LtConfig& c) { return c.id == 66; };
  wave_.activation = BWRT_CUDA_RELU;  // Another plan.
  EXPECT_THAT(Planned(), StartsWith("cublaslt-66-"));
}

TEST_F(CudaTunerTest, NoChoiceNoResult) {
  gpu_.recommended = {};
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.candidates, 0);
  wave_.whole = 0;
  ASSERT_TRUE(Tune().ok());
  EXPECT_EQ(result_.candidates, 0) << "the plain kernel runs what leaves tiles out";
}

TEST_F(CudaTunerTest, NoMemoryIsSaid) {
  gpu_.memory = 1 << 10;
  EXPECT_EQ(Tune().code(), BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
}

}  // namespace
}  // namespace bwrt::cuda
