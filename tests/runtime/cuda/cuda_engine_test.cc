#include "runtime/cuda/cuda_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cuda/cuda_wave_run.h"
#include "tests/runtime/cuda/engine_wave.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// Small pieces, so that every copy takes several.
CudaEngineOptions SmallPieces() {
  CudaEngineOptions options;
  options.memory_limit = int64_t{64} << 20;
  options.lane_piece = 1024;
  options.upload_piece = 2048;
  options.read_piece = 512;
  options.kernel = BWRT_CUDA_KERNEL_CUBLASLT;  // The Hopper kernel has its own test.
  return options;
}

class CudaEngineTest : public ::testing::Test {
 protected:
  ~CudaEngineTest() override {
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }

  CudaStatus Open(CudaEngineOptions options = SmallPieces()) {
    return CudaEngine::Create(std::make_unique<FakeCudaDriver>(&gpu_), options, &engine_);
  }

  CudaStatus Run(EngineWave& wave, const CudaMemory* w = nullptr) {
    EngineProgress progress;
    return engine_->Run(wave.abi, w, progress.abi, &report_);
  }

  static const std::byte* BytesOf(const std::vector<float>& values) {
    return reinterpret_cast<const std::byte*>(values.data());
  }

  // Everything an engine is asked for in its life, until something fails.
  CudaStatus Scenario() {
    EngineWave stored(20, 24, 16, 8, 8);
    CudaMemory memory;
    const auto bytes = static_cast<int64_t>(stored.w().size() * sizeof(float));
    if (CudaStatus status = engine_->Allocate(bytes, &memory); !status.ok()) return status;
    CudaStatus status = engine_->Upload(memory, 0, BytesOf(stored.w()), bytes);
    if (status.ok()) {
      std::vector<float> back(stored.w().size());
      status = engine_->Read(memory, 0, reinterpret_cast<std::byte*>(back.data()), bytes);
      if (status.ok()) {
        EXPECT_EQ(back, stored.w());
      }
    }
    if (status.ok()) {
      stored.UseBuffer();
      // Queued, captured, replayed, updated.
      for (const float alpha : {1.0f, 1.0f, 1.0f, 2.0f}) {
        if (!status.ok()) break;
        stored.Forget();
        stored.abi.alpha = alpha;
        status = Run(stored, &memory);
        if (status.ok()) {
          EXPECT_TRUE(stored.Right());
        }
      }
    }
    if (status.ok()) {
      EngineWave own(9, 17, 32, 8, 8);
      own.UsePlain();
      status = Run(own);
      if (status.ok()) {
        EXPECT_TRUE(own.Right());
      }
    }
    engine_->Free(memory);
    return status;
  }

  FakeGpu gpu_;
  std::unique_ptr<CudaEngine> engine_;
  BwrtCudaReport report_{};
};

TEST_F(CudaEngineTest, RefusesAnOldDevice) {
  gpu_.info.compute_major = 7;
  gpu_.info.compute_minor = 5;
  const CudaStatus status = Open();
  EXPECT_EQ(status.code(), BWRT_CUDA_OLD_DEVICE);
  EXPECT_THAT(status.text(), HasSubstr("7.5"));
}

TEST_F(CudaEngineTest, TakesNineTenthsOfWhatIsFree) {
  CudaEngineOptions options = SmallPieces();
  options.memory_limit = 0;
  gpu_.memory = 1000;
  ASSERT_TRUE(Open(options).ok());
  EXPECT_EQ(engine_->info().pool_bytes, 900);
}

TEST_F(CudaEngineTest, ReadsSlicesOfWhatWasUploaded) {
  ASSERT_TRUE(Open().ok());
  std::vector<float> values(5000);
  std::iota(values.begin(), values.end(), 0.0f);
  CudaMemory memory;
  ASSERT_TRUE(engine_->Allocate(20000, &memory).ok());
  ASSERT_TRUE(engine_->Upload(memory, 0, BytesOf(values), 20000).ok());
  const float seven = 7;
  ASSERT_TRUE(engine_->Upload(memory, 40, reinterpret_cast<const std::byte*>(&seven), 4).ok());
  std::vector<float> slice(300);
  gpu_.ClearLog();
  ASSERT_TRUE(engine_->Read(memory, 400, reinterpret_cast<std::byte*>(slice.data()), 1200).ok());
  EXPECT_EQ(slice[0], 100);
  EXPECT_EQ(slice[299], 399);
  const auto log = gpu_.log();
  EXPECT_EQ(std::count(log.begin(), log.end(), "CopyToHost"), 3) << "only the slice: 1200 bytes in pieces of 512";
  ASSERT_TRUE(engine_->Read(memory, 40, reinterpret_cast<std::byte*>(slice.data()), 4).ok());
  EXPECT_EQ(slice[0], 7);
  EXPECT_EQ(engine_->Read(memory, 19999, reinterpret_cast<std::byte*>(slice.data()), 2).code(), BWRT_CUDA_INVALID);
  EXPECT_EQ(engine_->Upload(memory, -1, BytesOf(values), 2).code(), BWRT_CUDA_INVALID);
  engine_->Free(memory);
}

TEST_F(CudaEngineTest, AWaveReturnsOnlyAfterItsLastEvent) {
  ASSERT_TRUE(Open().ok());
  for (const bool plain : {false, true}) {
    EngineWave wave(20, 24, 16, 8, 8);
    if (plain) wave.UsePlain();
    gpu_.ClearLog();
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_FALSE(gpu_.busy()) << "the lease would be dropped beneath work on the device";
    EXPECT_TRUE(wave.Right());
    const auto log = gpu_.log();
    const auto ran = std::find(log.begin(), log.end(), plain ? "run Launch" : "run Matmul");
    ASSERT_NE(ran, log.end());
    EXPECT_THAT(std::vector<std::string>(log.begin(), ran), Contains("Synchronize"));
    EXPECT_EQ(log.back(), "Elapsed");
    EXPECT_EQ(report_.compute_ns, 1000);
    EXPECT_LT(report_.wgmma_active, 0) << "a reading without a source is absent";
  }
}

TEST_F(CudaEngineTest, PlansAreMadeOnce) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  ASSERT_TRUE(Run(wave).ok());
  gpu_.ClearLog();
  wave.Forget();
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right());
  EXPECT_THAT(gpu_.log(), Not(Contains("CreateMatmul")));
  EXPECT_THAT(gpu_.log(), Not(Contains("CreateStream")));
  EXPECT_THAT(gpu_.log(), Not(Contains("CreateEvent")));
  EXPECT_THAT(gpu_.log(), Not(Contains("Allocate")));
  EXPECT_EQ(engine_->plans().hits(), 1u);
  EXPECT_EQ(engine_->plans().misses(), 1u);
}

TEST_F(CudaEngineTest, PriorityHasItsOwnStreams) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  wave.abi.priority = 1;
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_THAT(gpu_.log(), Contains("CreateStream high"));
}

TEST_F(CudaEngineTest, WavesOfManyThreads) {
  ASSERT_TRUE(Open().ok());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([this, t, &wrong] {
      for (int i = 0; i < 20; ++i) {
        EngineWave wave(8 + static_cast<int64_t>(t), 16, 16 + i % 3, 8, 8);
        if (i % 2 == 0) wave.UsePlain();
        EngineProgress progress;
        BwrtCudaReport report{};
        if (!engine_->Run(wave.abi, nullptr, progress.abi, &report).ok() || !wave.Right()) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

// ---- progress and stopping

TEST_F(CudaEngineTest, AProductOnCublasLtStartsAllItsTilesAtOnce) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  EngineProgress progress;
  ASSERT_TRUE(engine_->Run(wave.abi, nullptr, progress.abi, &report_).ok());
  EXPECT_THAT(progress.steps, ElementsAre(Pair(0, 4)));
}

TEST_F(CudaEngineTest, ThePlainKernelGoesInLaunches) {
  ASSERT_TRUE(Open().ok());
  EngineWave small(24, 8, 16, 1, 8);
  small.UsePlain();
  EngineProgress progress;
  ASSERT_TRUE(engine_->Run(small.abi, nullptr, progress.abi, &report_).ok());
  EXPECT_THAT(progress.steps, ElementsAre(Pair(0, 24))) << "little work: one launch";

  // Two multiprocessors: 8 tiles a launch at least. The tiles say that they are large, which is what counts.
  EngineWave large(20, 1, 1, 1, 1);
  large.UsePlain();
  large.abi.bn = 1 << 30;
  large.abi.k = 1;
  ASSERT_EQ(CudaWaveRun::TilesPerLaunch(large.abi, 2), 64);
  EngineWave wave(200, 1, 1, 1, 1);
  wave.UsePlain();
  wave.abi.bn = 1 << 30;
  EngineProgress launches;
  gpu_.ClearLog();
  ASSERT_TRUE(engine_->Run(wave.abi, nullptr, launches.abi, &report_).ok());
  EXPECT_THAT(launches.steps, ElementsAre(Pair(0, 64), Pair(0, 128), Pair(64, 192), Pair(128, 200)))
      << "one launch runs while the next is queued";
  EXPECT_TRUE(wave.Right());
}

// What a kernel leaves out is what an earlier wave left there, and may look right; unless it was poisoned.
TEST_F(CudaEngineTest, PoisonShowsWhatAKernelLeavesOut) {
  for (const bool poison : {false, true}) {
    CudaEngineOptions options = SmallPieces();
    options.poison = poison;
    ASSERT_TRUE(Open(options).ok());
    EngineWave wave(16, 8, 16, 8, 8);
    wave.UsePlain();
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right());
    // A kernel that forgets the second of two tiles.
    wave.abi.tile_count = 1;
    wave.Forget();
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_EQ(wave.Right(), !poison);
    engine_.reset();
  }
}

TEST_F(CudaEngineTest, AStoppedWaveLeavesNothingOnTheDevice) {
  ASSERT_TRUE(Open().ok());
  for (const bool plain : {false, true}) {
    EngineWave wave(16, 16, 16, 8, 8);
    if (plain) wave.UsePlain();
    EngineProgress stop([](int64_t, int64_t) { return true; });
    EXPECT_EQ(engine_->Run(wave.abi, nullptr, stop.abi, &report_).code(), BWRT_CUDA_STOPPED);
    EXPECT_FALSE(gpu_.busy());
    EXPECT_THAT(gpu_.log(), Not(Contains(plain ? "run Launch" : "run Matmul")));
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right());
  }
}

// ---- failures

class CudaEngineFailureTest : public CudaEngineTest, public ::testing::WithParamInterface<BwrtCudaCode> {};

// The n-th call fails for n = 1, 2, ... until a run is clean: nothing may be left behind, nothing wrong served, and the
// device must work again where the error was not sticky.
TEST_P(CudaEngineFailureTest, EveryCallInTurn) {
  const BwrtCudaCode code = GetParam();
  int64_t n = 0;
  for (bool failed = true; failed;) {
    ++n;
    ASSERT_LT(n, 2000) << "no end of calls";
    SCOPED_TRACE(n);
    gpu_.FailCall(n, code);
    CudaStatus status = Open();
    if (status.ok()) status = Scenario();
    failed = gpu_.failed();
    if (failed && engine_ != nullptr && code != BWRT_CUDA_DEVICE_LOST && !status.lost()) {
      EXPECT_FALSE(gpu_.busy());
      gpu_.FailCall(0, code);
      EXPECT_TRUE(Scenario().ok());
    }
    if (!failed) {
      EXPECT_TRUE(status.ok()) << status.text();
    }
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "") << status.text();
    EXPECT_THAT(gpu_.violations(), IsEmpty()) << status.text();
    if (failed && code == BWRT_CUDA_DEVICE_LOST) {
      // A fresh context for the next round.
      gpu_.FailCall(0, code);
      EXPECT_TRUE(FakeCudaDriver(&gpu_).Reset().ok());
    }
  }
  EXPECT_GT(n, 50) << "the scenario makes that many calls at least";
}

INSTANTIATE_TEST_SUITE_P(Codes, CudaEngineFailureTest,
                         ::testing::Values(BWRT_CUDA_FAILED, BWRT_CUDA_OUT_OF_DEVICE_MEMORY, BWRT_CUDA_DEVICE_LOST));

TEST_F(CudaEngineTest, AStreamThatDoesNotRunOutLosesTheDevice) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  ASSERT_TRUE(Run(wave).ok());
  gpu_.FailNext("SynchronizeStream", BWRT_CUDA_FAILED);
  EngineProgress stop([](int64_t, int64_t) { return true; });
  const CudaStatus status = engine_->Run(wave.abi, nullptr, stop.abi, &report_);
  EXPECT_TRUE(status.lost()) << status.text();
  EXPECT_TRUE(Run(wave).lost());
  // What it still had queued goes with the context.
  ASSERT_TRUE(engine_->Recreate().ok());
  EXPECT_TRUE(Run(wave).ok());
}

TEST_F(CudaEngineTest, ALostDeviceIsNotTouchedUntilItIsRecreated) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  CudaMemory memory;
  ASSERT_TRUE(engine_->Allocate(1024, &memory).ok());
  ASSERT_TRUE(engine_->Upload(memory, 0, BytesOf(wave.w()), 1024).ok());
  EXPECT_EQ(engine_->Recreate().code(), BWRT_CUDA_INVALID) << "it is not lost";
  gpu_.FailCall(3, BWRT_CUDA_DEVICE_LOST);
  EXPECT_TRUE(Run(wave).lost());

  const int64_t calls = gpu_.calls();
  BwrtCudaEffective effective{};
  CudaMemory other;
  EXPECT_TRUE(Run(wave).lost());
  EXPECT_TRUE(engine_->Plan(wave.abi, &effective).lost());
  EXPECT_TRUE(engine_->Allocate(16, &other).lost());
  EXPECT_TRUE(engine_->Upload(memory, 0, BytesOf(wave.w()), 16).lost());
  EXPECT_EQ(gpu_.calls(), calls);

  gpu_.FailCall(0, BWRT_CUDA_FAILED);
  ASSERT_TRUE(engine_->Recreate().ok());
  EXPECT_EQ(engine_->pool().used(), 0);
  // The old buffer's bytes are gone; nothing may compute with whatever lies there now.
  wave.UseBuffer();
  EXPECT_EQ(Run(wave, &memory).code(), BWRT_CUDA_INVALID);
  float value = 0;
  EXPECT_EQ(engine_->Read(memory, 0, reinterpret_cast<std::byte*>(&value), 4).code(), BWRT_CUDA_INVALID);
  engine_->Free(memory);
  EXPECT_EQ(engine_->pool().used(), 0);

  CudaMemory fresh;
  ASSERT_TRUE(engine_->Allocate(1024, &fresh).ok());
  ASSERT_TRUE(engine_->Upload(fresh, 0, BytesOf(wave.w()), 1024).ok());
  ASSERT_TRUE(Run(wave, &fresh).ok());
  EXPECT_TRUE(wave.Right());
  engine_->Free(fresh);
}

TEST_F(CudaEngineTest, AContextThatCannotBeMadeAnewStaysLost) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  gpu_.FailCall(3, BWRT_CUDA_DEVICE_LOST);
  EXPECT_TRUE(Run(wave).lost());
  gpu_.FailNext("Reset", BWRT_CUDA_FAILED);
  EXPECT_TRUE(engine_->Recreate().lost());
  EXPECT_TRUE(Run(wave).lost());
  EXPECT_TRUE(engine_->Recreate().ok());
  EXPECT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right());
}

// ---- memory

TEST_F(CudaEngineTest, WavesAndWeightsShareOneBudget) {
  CudaEngineOptions options = SmallPieces();
  options.memory_limit = int64_t{4} << 20;
  ASSERT_TRUE(Open(options).ok());
  CudaMemory memory;
  ASSERT_TRUE(engine_->Allocate(int64_t{4} << 20, &memory).ok());
  EngineWave wave(16, 16, 16, 8, 8);
  const CudaStatus status = Run(wave);
  EXPECT_EQ(status.code(), BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(status.text(), HasSubstr("4194304 of 4194304"));
  engine_->Free(memory);
  EXPECT_TRUE(Run(wave).ok());
}

// ---- what is said of the spec

TEST_F(CudaEngineTest, ABiasThatIsRoundedIsTold) {
  ASSERT_TRUE(Open().ok());
  EngineWave wave(16, 16, 16, 8, 8);
  wave.abi.dtype = wave.abi.c_dtype = BWRT_CUDA_BF16;
  std::vector<float> bias(16, 0.5f);
  wave.abi.bias = bias.data();
  BwrtCudaEffective effective{};
  const auto told = [&] {
    EXPECT_TRUE(engine_->Plan(wave.abi, &effective).ok());
    return std::any_of(effective.notes, effective.notes + effective.note_count,
                       [](const BwrtCudaNote& note) { return std::string(note.field) == "bias"; });
  };
  EXPECT_FALSE(told());
  bias[3] = 1.0f / 3;
  EXPECT_TRUE(told());
  wave.UsePlain();
  EXPECT_FALSE(told()) << "the plain kernel adds it in f32";
}

}  // namespace
}  // namespace bwrt::cuda
