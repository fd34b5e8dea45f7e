// The Hopper kernel within the plugin: when it is chosen, what it is given, what is told of it, and that it is never
// used where its check failed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dtype.h"
#include "runtime/cuda/cuda_engine.h"
#include "runtime/cuda/cuda_wave_run.h"
#include "tests/runtime/cuda/engine_wave.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A wave of small whole numbers in a narrow type, with C in f32.
class NarrowWave {
 public:
  NarrowWave(int64_t m, int64_t n, int64_t k, int32_t dtype, bool transposed) : values_(dtype) {
    Draw(a_, m * k, 1);
    Draw(w_, k * n, 2);
    c_.assign(static_cast<size_t>(m * n), -7777.0f);
    for (uint32_t row = 0; row * 128 < m; ++row) {
      for (uint32_t col = 0; col * 128 < n; ++col) tiles_.push_back(row << 16 | col);
    }
    abi.size = sizeof(abi);
    abi.dtype = dtype;
    abi.c_dtype = BWRT_CUDA_F32;
    abi.m = m;
    abi.n = n;
    abi.k = k;
    abi.bm = abi.bn = 128;
    abi.bk = 64;
    abi.stages = 2;
    abi.cluster_x = 2;
    abi.cluster_y = 1;
    abi.tiles = tiles_.data();
    abi.tile_count = static_cast<int64_t>(tiles_.size());
    abi.whole = 1;
    abi.a = a_.bytes.data();
    abi.a_stride = k;
    abi.w = w_.bytes.data();
    abi.w_stride = transposed ? k : n;
    abi.w_transposed = transposed ? 1 : 0;
    abi.alpha = 1;
    abi.c = c_.data();
    abi.c_stride = n;
  }
  const std::vector<std::byte>& w() const { return w_.bytes; }
  void DrawW(uint32_t seed) { Draw(w_, abi.k * abi.n, seed); }
  void UseBuffer() { abi.w = nullptr; }
  void Forget() { c_.assign(c_.size(), -7777.0f); }
  bool Right(float factor = 1) const {
    for (int64_t i = 0; i < abi.m; ++i) {
      for (int64_t j = 0; j < abi.n; ++j) {
        float sum = 0;
        for (int64_t x = 0; x < abi.k; ++x) {
          const int64_t at = abi.w_transposed != 0 ? j * abi.k + x : x * abi.n + j;
          sum += a_.values[static_cast<size_t>(i * abi.k + x)] * w_.values[static_cast<size_t>(at)];
        }
        if (c_[static_cast<size_t>(i * abi.n + j)] != factor * abi.alpha * sum) return false;
      }
    }
    return true;
  }
  BwrtCudaWave abi{};

 private:
  struct Matrix {
    std::vector<std::byte> bytes;
    std::vector<float> values;
  };
  void Draw(Matrix& to, int64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    to.bytes.resize(static_cast<size_t>(count * ElementBytes(values_)));
    to.values.resize(static_cast<size_t>(count));
    for (size_t i = 0; i < to.values.size(); ++i) {
      to.values[i] = static_cast<float>(static_cast<int>(random() % 5) - 2);
      if (ElementBytes(values_) == 1) {
        to.bytes[i] =
            std::byte{values_ == BWRT_CUDA_F8_E4M3 ? kernels::ToF8E4M3(to.values[i]) : kernels::ToF8E5M2(to.values[i])};
      } else {
        kernels::FromF32(values_ == BWRT_CUDA_F16 ? kernels::DType::kF16 : kernels::DType::kBF16, &to.values[i], 1,
                         to.bytes.data() + 2 * i);
      }
    }
  }
  const int32_t values_;
  Matrix a_, w_;
  std::vector<float> c_;
  std::vector<uint32_t> tiles_;
};

class CudaWgmmaTest : public ::testing::Test {
 protected:
  CudaWgmmaTest() {
    options_.memory_limit = int64_t{64} << 20;
    options_.lane_piece = 4096;
    options_.upload_piece = 4096;
    options_.read_piece = 4096;
  }
  ~CudaWgmmaTest() override {
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }
  CudaStatus Open() { return CudaEngine::Create(std::make_unique<FakeCudaDriver>(&gpu_), options_, &engine_); }
  CudaStatus Run(NarrowWave& wave, const CudaMemory* w = nullptr) {
    EngineProgress progress;
    wave.Forget();
    return engine_->Run(wave.abi, w, progress.abi, &report_);
  }
  BwrtCudaEffective Plan(const NarrowWave& wave) {
    BwrtCudaEffective effective{};
    EXPECT_TRUE(engine_->Plan(wave.abi, &effective).ok());
    return effective;
  }
  // "requested -> executed: reason" of a field; "" where there is no note.
  static std::string NoteOf(const BwrtCudaEffective& effective, const std::string& field) {
    for (int i = 0; i < effective.note_count; ++i) {
      const BwrtCudaNote& note = effective.notes[i];
      if (field == note.field) return std::string(note.requested) + " -> " + note.executed + ": " + note.reason;
    }
    return "";
  }
  int64_t Calls(const std::string& name) {
    const auto log = gpu_.log();
    return std::count(log.begin(), log.end(), name);
  }

  FakeGpu gpu_;
  CudaEngineOptions options_;
  std::unique_ptr<CudaEngine> engine_;
  BwrtCudaReport report_{};
};

TEST_F(CudaWgmmaTest, EveryKernelIsCheckedBeforeItsFirstUse) {
  ASSERT_TRUE(Open().ok());
  const auto all = static_cast<int64_t>(kernels::AllWgmmaKernels().size());
  EXPECT_EQ(Calls("run Wgmma"), all);
  EXPECT_EQ(Calls("run Launch"), all);
  EXPECT_EQ(std::string(engine_->info().own_kernel), std::to_string(all) + " kernels checked");
  EXPECT_EQ(gpu_.counting_launches(), all) << "those that waves will run, which are other instantiations";
  engine_.reset();
  options_.counters = false;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Calls("run Wgmma"), 2 * all);
  EXPECT_EQ(gpu_.counting_launches(), all);
}

TEST_F(CudaWgmmaTest, RunsWhatItCan) {
  ASSERT_TRUE(Open().ok());
  for (const int32_t dtype : {BWRT_CUDA_BF16, BWRT_CUDA_F16, BWRT_CUDA_F8_E4M3, BWRT_CUDA_F8_E5M2}) {
    for (const bool transposed : {true, false}) {
      for (const int64_t m : {5, 140}) {
        NarrowWave wave(m, 264, 96, dtype, transposed);
        const bool f8 = ElementBytes(dtype) == 1;
        SCOPED_TRACE(dtype * 10 + transposed);
        gpu_.ClearLog();
        ASSERT_TRUE(Run(wave).ok());
        EXPECT_TRUE(wave.Right());
        EXPECT_EQ(Calls("run Wgmma"), f8 && !transposed ? 0 : 1);
        if (f8 && !transposed) {
          EXPECT_THAT(report_.effective.kernel, StartsWith("bwrt_plain_f8"));
          EXPECT_THAT(NoteOf(report_.effective, "cuda_kernel"), HasSubstr("[N, K]"));
          continue;
        }
        EXPECT_THAT(report_.effective.kernel, StartsWith(m == 5 ? "bwrt_skinny_" : "bwrt_wgmma_"));
        EXPECT_EQ(report_.effective.traversal_honoured, 1);
        EXPECT_EQ(NoteOf(report_.effective, "cuda_kernel"), "");
      }
    }
  }
}

TEST_F(CudaWgmmaTest, TellsWhatIsNotAsAsked) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  BwrtCudaEffective e = Plan(wave);
  EXPECT_EQ(e.stages, 2);
  EXPECT_EQ(e.cluster_x, 2);
  EXPECT_EQ(e.k_step, 64);
  // Row by row, three columns: the first two and the last two share a row, those in between nothing.
  EXPECT_THAT(NoteOf(e, "multicast"), StartsWith("all tiles -> 4 of 6: "));
  EXPECT_EQ(e.note_count, 1);
}

TEST_F(CudaWgmmaTest, TellsOfTilesWithoutAPartner) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  const std::vector<uint32_t> tiles = {0x00000, 0x10001, 0x00001, 0x10000, 0x00002, 0x10002};
  wave.abi.tiles = tiles.data();
  const BwrtCudaEffective e = Plan(wave);
  EXPECT_THAT(NoteOf(e, "multicast"), StartsWith("all tiles -> 2 of 6: "));
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right());
}

TEST_F(CudaWgmmaTest, TellsOfStagesThatDoNotFitAndOfStepsOfFp8) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_F8_E4M3, true);
  wave.abi.stages = 8;
  const BwrtCudaEffective e = Plan(wave);
  EXPECT_EQ(e.stages, 6);
  EXPECT_THAT(NoteOf(e, "spec.stage_hint"), StartsWith("8 -> 6: "));
  EXPECT_THAT(NoteOf(e, "spec.bk"), StartsWith("64 -> 128: "));
}

TEST_F(CudaWgmmaTest, TellsThatFewRowsRunSwapped) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(3, 264, 1024, BWRT_CUDA_BF16, true);
  const BwrtCudaEffective e = Plan(wave);
  EXPECT_THAT(NoteOf(e, "spec.bm,bn"), StartsWith("128,128 -> 16,128: "));
  EXPECT_THAT(NoteOf(e, "spec.cluster_shape"), StartsWith("2,1 -> 1,1: "));
  EXPECT_EQ(e.k_step, 128);
}

TEST_F(CudaWgmmaTest, ScalesOfFp8MultiplyTheProduct) {
  struct Case {
    BwrtCudaKernel kernel;
    std::string name;
  };
  for (const Case& c : {Case{BWRT_CUDA_KERNEL_OWN, "bwrt_wgmma_f8_e4m3"}, Case{BWRT_CUDA_KERNEL_CUBLASLT, "cublaslt-"},
                        Case{BWRT_CUDA_KERNEL_PLAIN, "bwrt_plain_f8_e4m3"}}) {
    options_.kernel = c.kernel;
    ASSERT_TRUE(Open().ok());
    NarrowWave wave(140, 272, 96, BWRT_CUDA_F8_E4M3, true);
    wave.abi.a_scale = 0.5f;
    wave.abi.w_scale = 4;
    wave.abi.alpha = 3;
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right(2)) << report_.effective.kernel;
    EXPECT_THAT(report_.effective.kernel, StartsWith(c.name));
    NarrowWave other(140, 264, 96, BWRT_CUDA_BF16, true);
    other.abi.a_scale = 0.5f;
    ASSERT_TRUE(Run(other).ok());
    EXPECT_TRUE(other.Right()) << "other types have none";
    engine_.reset();
  }
}

TEST_F(CudaWgmmaTest, CountsUnlessToldNotTo) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  ASSERT_TRUE(Run(wave).ok());
  // One step of 512 cycles in 1000, on one of two multiprocessors.
  EXPECT_FLOAT_EQ(report_.wgmma_active, 0.256f);
  EXPECT_FLOAT_EQ(report_.tma_occ, 0.75f);
  EXPECT_FLOAT_EQ(report_.ring_occ, 1.0f);
  EXPECT_LT(report_.l2_hit, 0);
  // What is replayed counts anew.
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_FLOAT_EQ(report_.wgmma_active, 0.256f);
  }
  engine_.reset();
  options_.counters = false;
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right());
  EXPECT_LT(report_.wgmma_active, 0);
  EXPECT_LT(report_.tma_occ, 0);
  EXPECT_LT(report_.ring_occ, 0);
}

// Regression: an algorithm of cuBLASLt's was timed and reported for waves that never run it.
TEST_F(CudaWgmmaTest, WhatItRunsHasNoAlgorithmToTune) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  BwrtCudaTuneOptions options{};
  options.size = sizeof(options);
  options.candidates = 8;
  options.repeats = 1;
  options.budget_ns = int64_t{1} << 40;
  EngineProgress progress;
  CudaTuneResult result;
  ASSERT_TRUE(engine_->Tune(wave.abi, options, progress.abi, &result).ok());
  EXPECT_FALSE(result.tuning);
  EXPECT_EQ(result.timed, 0);
  EXPECT_EQ(Calls("run Matmul"), 0);
}

TEST_F(CudaWgmmaTest, PartsOfTheGridLeaveTheRestAlone) {
  ASSERT_TRUE(Open().ok());
  for (const int64_t m : {5, 140}) {
    NarrowWave wave(m, 264, 96, BWRT_CUDA_BF16, true);
    const std::vector<uint32_t> tiles = {0x00001};
    wave.abi.tiles = tiles.data();
    wave.abi.tile_count = 1;
    wave.abi.whole = 0;
    wave.abi.c_read = 1;
    ASSERT_TRUE(Run(wave).ok());
    const auto* const c = static_cast<const float*>(wave.abi.c);
    EXPECT_EQ(c[0], -7777.0f);
    EXPECT_EQ(c[256], -7777.0f);
    EXPECT_NE(c[128], -7777.0f);
  }
}

TEST_F(CudaWgmmaTest, LongWavesGoInLaunches) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  BwrtCudaWave abi = wave.abi;
  abi.k = int64_t{1} << 40;
  EXPECT_EQ(CudaWaveRun::TilesPerLaunch(abi, 1, /*tensor_cores=*/true), 4);
  abi.k = 8192;
  EXPECT_GT(CudaWaveRun::TilesPerLaunch(abi, 132, true), 16 * CudaWaveRun::TilesPerLaunch(abi, 132));
  EXPECT_EQ(CudaWaveRun::TilesPerLaunch(abi, 132, true) % 2, 0) << "pairs stay together";
}

TEST_F(CudaWgmmaTest, AStoppedWaveLeavesNothingOnTheDevice) {
  ASSERT_TRUE(Open().ok());
  for (const int64_t m : {5, 140}) {
    NarrowWave wave(m, 264, 96, BWRT_CUDA_BF16, true);
    EngineProgress stop([](int64_t, int64_t) { return true; });
    gpu_.ClearLog();
    EXPECT_EQ(engine_->Run(wave.abi, nullptr, stop.abi, &report_).code(), BWRT_CUDA_STOPPED);
    EXPECT_FALSE(gpu_.busy());
    EXPECT_THAT(gpu_.log(), Not(Contains("run Wgmma")));
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right());
  }
}

// ---- graphs

TEST_F(CudaWgmmaTest, GraphsAreReplayedUntilTheirWeightsAreGone) {
  ASSERT_TRUE(Open().ok());
  for (const int64_t m : {5, 140}) {
    NarrowWave wave(m, 264, 96, BWRT_CUDA_BF16, true);
    wave.UseBuffer();
    CudaMemory memory;
    const auto bytes = static_cast<int64_t>(wave.w().size());
    ASSERT_TRUE(engine_->Allocate(bytes, &memory).ok());
    ASSERT_TRUE(engine_->Upload(memory, 0, wave.w().data(), bytes).ok());
    gpu_.ClearLog();
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(Run(wave, &memory).ok());
      EXPECT_TRUE(wave.Right());
    }
    EXPECT_EQ(Calls("Wgmma"), 2) << "queued, captured, then replayed";
    EXPECT_EQ(Calls("LaunchGraph"), 3);
    wave.abi.alpha = 2;
    ASSERT_TRUE(Run(wave, &memory).ok());
    EXPECT_TRUE(wave.Right());
    EXPECT_EQ(Calls("EndCapture update"), 1);
    // Other tiles of the same count: their table is read where it lies.
    const DevicePtr before = memory.at;
    engine_->Free(memory);
    wave.DrawW(77);
    ASSERT_TRUE(engine_->Allocate(bytes, &memory).ok());
    ASSERT_EQ(memory.at, before) << "or the test shows nothing";
    ASSERT_TRUE(engine_->Upload(memory, 0, wave.w().data(), bytes).ok());
    gpu_.ClearLog();
    ASSERT_TRUE(Run(wave, &memory).ok());
    EXPECT_TRUE(wave.Right());
    EXPECT_EQ(Calls("LaunchGraph"), 0) << "its graph went with the version";
    engine_->Free(memory);
  }
}

// ---- the choice

TEST_F(CudaWgmmaTest, AFlagForcesOne) {
  struct Case {
    BwrtCudaKernel kernel;
    std::string name;
  };
  for (const Case& c : {Case{BWRT_CUDA_KERNEL_CUBLASLT, "cublaslt-"}, Case{BWRT_CUDA_KERNEL_PLAIN, "bwrt_plain_bf16"},
                        Case{BWRT_CUDA_KERNEL_OWN, "bwrt_wgmma_bf16"}}) {
    options_.kernel = c.kernel;
    gpu_.ClearLog();
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(Calls("Wgmma") > 0, c.kernel == BWRT_CUDA_KERNEL_OWN) << "what is not used is not checked";
    NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right());
    EXPECT_THAT(report_.effective.kernel, StartsWith(c.name));
    EXPECT_EQ(NoteOf(report_.effective, "cuda_kernel"), "");
    engine_.reset();
  }
}

TEST_F(CudaWgmmaTest, WhatIsForcedAndCannotBeIsTold) {
  options_.kernel = BWRT_CUDA_KERNEL_OWN;
  gpu_.info.compute_major = 8;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Calls("Wgmma"), 0);
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  EXPECT_THAT(NoteOf(Plan(wave), "cuda_kernel"), StartsWith("own -> cublaslt: "));
  EXPECT_THAT(NoteOf(Plan(wave), "cuda_kernel"), HasSubstr("9.0"));
}

TEST_F(CudaWgmmaTest, OtherGpusAreNotToldOfIt) {
  gpu_.info.compute_major = 8;
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  EXPECT_EQ(NoteOf(Plan(wave), "cuda_kernel"), "");
  EXPECT_EQ(std::string(engine_->info().own_kernel), "");
}

// ---- the check

// What a broken kernel may do to the result of a launch.
using Spoil = void (*)(const kernels::WgmmaGemm&);

class CudaProbeTest : public CudaWgmmaTest, public ::testing::WithParamInterface<Spoil> {};

TEST_P(CudaProbeTest, AKernelThatIsWrongIsOff) {
  const Spoil spoil = GetParam();
  gpu_.after_wgmma = [spoil](const kernels::WgmmaGemm& g) {
    // One instantiation alone.
    if (g.kernel.rows == 128 && g.kernel.cols == 128 && g.kernel.slabs == 1 && g.kernel.dtype == BWRT_CUDA_BF16 &&
        g.kernel.c_dtype == BWRT_CUDA_F32 && g.kernel.w_transposed) {
      spoil(g);
    }
  };
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(std::string(engine_->info().own_kernel), HasSubstr("1 of"));
  EXPECT_THAT(std::string(engine_->info().own_kernel), HasSubstr("bwrt_wgmma_bf16_128x128x64_nk"));
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right()) << "never wrong numbers";
  EXPECT_THAT(report_.effective.kernel, StartsWith("cublaslt-"));
  EXPECT_THAT(NoteOf(report_.effective, "cuda_kernel"), HasSubstr("failed its check"));
  // The others are on.
  NarrowWave other(140, 264, 96, BWRT_CUDA_BF16, false);
  ASSERT_TRUE(Run(other).ok());
  EXPECT_THAT(report_.effective.kernel, StartsWith("bwrt_wgmma_"));
  // Also when a new context finds it right.
  gpu_.after_wgmma = nullptr;
  gpu_.FailNext("CopyToDevice", BWRT_CUDA_DEVICE_LOST);
  EXPECT_TRUE(Run(wave).lost());
  ASSERT_TRUE(engine_->Recreate().ok());
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_THAT(report_.effective.kernel, StartsWith("cublaslt-")) << "for good";
}

INSTANTIATE_TEST_SUITE_P(Bugs, CudaProbeTest,
                         ::testing::Values(
                             [](const kernels::WgmmaGemm& g) {  // One column is not what it should be.
                               for (int64_t row = 0; row < g.m; ++row)
                                 static_cast<float*>(g.c)[row * g.ldc + g.n - 1] += 2;
                             },
                             [](const kernels::WgmmaGemm& g) {  // An element that was not written.
                               static_cast<uint32_t*>(g.c)[(g.m - 1) * g.ldc + g.n - 1] = 0xffffffffu;
                             },
                             [](const kernels::WgmmaGemm& g) {
                               static_cast<float*>(g.c)[0] = 0;
                             },  // A tile that is not listed.
                             [](const kernels::WgmmaGemm& g) { static_cast<float*>(g.c)[g.n] = 0; }  // Between rows.
                             ));

TEST_F(CudaWgmmaTest, AKernelThatCannotBeLaunchedIsOff) {
  gpu_.FailNext("Wgmma", BWRT_CUDA_FAILED);
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(std::string(engine_->info().own_kernel), StartsWith("1 of "));
}

TEST_F(CudaWgmmaTest, AKernelThatLosesTheDeviceTakesAllWithIt) {
  // In the middle of the checks, at a launch or while it runs.
  for (const char* call : {"Wgmma", "SynchronizeStream", "CreateStream"}) {
    SCOPED_TRACE(call);
    gpu_.ClearLog();
    gpu_.FailNext(call, BWRT_CUDA_DEVICE_LOST);
    ASSERT_TRUE(Open().ok()) << "nothing was there to be lost";
    EXPECT_EQ(Calls("Reset"), 1);
    EXPECT_THAT(std::string(engine_->info().own_kernel), StartsWith("off: "));
    gpu_.ClearLog();
    NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
    ASSERT_TRUE(Run(wave).ok());
    EXPECT_TRUE(wave.Right());
    EXPECT_EQ(Calls("Wgmma"), 0);
    EXPECT_THAT(report_.effective.kernel, StartsWith("cublaslt-"));
    EXPECT_THAT(NoteOf(report_.effective, "cuda_kernel"), HasSubstr("its check failed"));
    engine_.reset();
  }
}

TEST_F(CudaWgmmaTest, AContextThatIsNotToBeHadFailsTheOpening) {
  gpu_.FailNext("Wgmma", BWRT_CUDA_DEVICE_LOST);
  gpu_.FailNext("Reset", BWRT_CUDA_FAILED);
  EXPECT_FALSE(Open().ok());
  ASSERT_TRUE(FakeCudaDriver(&gpu_).Reset().ok());
}

TEST_F(CudaWgmmaTest, ChecksThatFindNoMemoryTurnItOff) {
  for (const char* call : {"Allocate", "AllocatePinned", "CreateStream"}) {
    SCOPED_TRACE(call);
    gpu_.FailNext(call, BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
    ASSERT_TRUE(Open().ok());
    EXPECT_THAT(std::string(engine_->info().own_kernel), HasSubstr("could not be checked"));
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
  }
}

TEST_F(CudaWgmmaTest, ANewContextIsCheckedAnew) {
  ASSERT_TRUE(Open().ok());
  NarrowWave wave(140, 264, 96, BWRT_CUDA_BF16, true);
  gpu_.FailNext("Wgmma", BWRT_CUDA_DEVICE_LOST);
  EXPECT_TRUE(Run(wave).lost());
  gpu_.ClearLog();
  ASSERT_TRUE(engine_->Recreate().ok());
  EXPECT_EQ(Calls("run Wgmma"), static_cast<int64_t>(kernels::AllWgmmaKernels().size()));
  ASSERT_TRUE(Run(wave).ok());
  EXPECT_TRUE(wave.Right());
  EXPECT_THAT(report_.effective.kernel, StartsWith("bwrt_wgmma_"));
}

}  // namespace
}  // namespace bwrt::cuda
