// Graphs of an engine: when waves are replayed, and that nothing of a version that is gone ever is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cuda/cuda_engine.h"
#include "tests/runtime/cuda/engine_wave.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::IsEmpty;

class CudaGraphTest : public ::testing::TestWithParam<bool> {
 protected:
  CudaGraphTest() {
    options_.memory_limit = int64_t{64} << 20;
    options_.lane_piece = 1024;
    options_.upload_piece = 2048;
    options_.read_piece = 512;
    options_.kernel = BWRT_CUDA_KERNEL_CUBLASLT;  // The Hopper kernel has its own test.
  }
  ~CudaGraphTest() override {
    engine_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }

  void Open() { ASSERT_TRUE(CudaEngine::Create(std::make_unique<FakeCudaDriver>(&gpu_), options_, &engine_).ok()); }

  // On cuBLASLt or on the plain kernel, as the parameter says.
  EngineWave Wave(int64_t n = 24) {
    EngineWave wave(20, n, 16, 8, 8);
    if (GetParam()) wave.UsePlain();
    return wave;
  }

  CudaMemory Upload(EngineWave& wave) {
    CudaMemory memory;
    const auto bytes = static_cast<int64_t>(wave.w().size() * sizeof(float));
    EXPECT_TRUE(engine_->Allocate(bytes, &memory).ok());
    EXPECT_TRUE(engine_->Upload(memory, 0, reinterpret_cast<const std::byte*>(wave.w().data()), bytes).ok());
    return memory;
  }

  // Runs it on what is stored, and looks at the numbers.
  void RunRight(EngineWave& wave, const CudaMemory& memory) {
    wave.UseBuffer();
    wave.Forget();
    EngineProgress progress;
    BwrtCudaReport report{};
    const CudaStatus status = engine_->Run(wave.abi, &memory, progress.abi, &report);
    ASSERT_TRUE(status.ok()) << status.text();
    EXPECT_TRUE(wave.Right());
  }

  int64_t Calls(const std::string& name) {
    const auto log = gpu_.log();
    return std::count(log.begin(), log.end(), name);
  }

  CudaEngineOptions options_;
  FakeGpu gpu_;
  std::unique_ptr<CudaEngine> engine_;
};

INSTANTIATE_TEST_SUITE_P(Kernels, CudaGraphTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "plain" : "cublaslt"; });

TEST_P(CudaGraphTest, TheSecondWaveIsCapturedAndTheThirdReplayed) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  const CudaMemory memory = Upload(wave);
  RunRight(wave, memory);
  EXPECT_EQ(Calls("BeginCapture"), 0);
  RunRight(wave, memory);
  EXPECT_EQ(Calls("BeginCapture"), 1);
  EXPECT_EQ(Calls("LaunchGraph"), 1);
  const std::string kernel = GetParam() ? "Launch" : "Matmul";
  const int64_t queued = Calls(kernel);
  for (int i = 0; i < 5; ++i) RunRight(wave, memory);
  EXPECT_EQ(Calls("BeginCapture"), 1);
  EXPECT_EQ(Calls("LaunchGraph"), 6);
  EXPECT_EQ(Calls(kernel), queued) << "nothing is queued by hand any more";
  EXPECT_EQ(Calls("run " + kernel), 7);
  engine_->Free(memory);
}

TEST_P(CudaGraphTest, OtherOperandsAreReadFromTheSamePlace) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  for (int i = 0; i < 4; ++i) {
    // Its own W comes along to the same place each time.
    wave.DrawW(i);
    wave.Forget();
    EngineProgress progress;
    BwrtCudaReport report{};
    ASSERT_TRUE(engine_->Run(wave.abi, nullptr, progress.abi, &report).ok());
    EXPECT_TRUE(wave.Right());
  }
  EXPECT_EQ(Calls("LaunchGraph"), 3);
  EXPECT_EQ(Calls("BeginCapture"), 1);
}

TEST_P(CudaGraphTest, AnotherAlphaIsPutIntoTheGraph) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  const CudaMemory memory = Upload(wave);
  for (const float alpha : {1.0f, 1.0f, 2.0f, 2.0f, 1.0f}) {
    wave.abi.alpha = alpha;
    RunRight(wave, memory);
  }
  EXPECT_EQ(Calls("EndCapture"), 1);
  EXPECT_EQ(Calls("EndCapture update"), 2);
  EXPECT_EQ(Calls("LaunchGraph"), 4);
  engine_->Free(memory);
}

TEST_P(CudaGraphTest, EachTensorHasItsOwn) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave first = Wave();
  EngineWave second = Wave();
  second.DrawW(1);
  const CudaMemory one = Upload(first);
  const CudaMemory two = Upload(second);
  for (int i = 0; i < 4; ++i) {
    RunRight(first, one);
    RunRight(second, two);
  }
  EXPECT_EQ(Calls("EndCapture"), 2);
  EXPECT_EQ(Calls("EndCapture update"), 0) << "they do not push each other out";
  engine_->Free(one);
  engine_->Free(two);
}

// The pool gives the memory of weights that are gone to the next ones: the most treacherous case.
TEST_P(CudaGraphTest, ARetiredVersionIsNeverReplayed) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  CudaMemory memory = Upload(wave);
  for (int i = 0; i < 3; ++i) RunRight(wave, memory);
  const DevicePtr before = memory.at;
  engine_->Free(memory);

  wave.DrawW(1);
  memory = Upload(wave);
  ASSERT_EQ(memory.at, before) << "or the test shows nothing";
  gpu_.ClearLog();
  RunRight(wave, memory);
  EXPECT_EQ(Calls("LaunchGraph"), 0) << "its graph went with the version";
  EXPECT_EQ(Calls("DestroyGraph"), 1);
  RunRight(wave, memory);
  EXPECT_EQ(Calls("EndCapture"), 1) << "captured for the new one";
  engine_->Free(memory);
}

TEST_P(CudaGraphTest, ARetirementIsSeenByLanesThatAreOut) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  const CudaMemory memory = Upload(wave);
  for (int i = 0; i < 2; ++i) RunRight(wave, memory);
  // While the only lane is out with another wave, its weights are freed.
  EngineWave other = Wave(16);
  EngineProgress progress([&](int64_t, int64_t) {
    engine_->Free(memory);
    return false;
  });
  BwrtCudaReport report{};
  ASSERT_TRUE(engine_->Run(other.abi, nullptr, progress.abi, &report).ok());
  wave.DrawW(1);
  const CudaMemory next = Upload(wave);
  ASSERT_EQ(next.at, memory.at) << "or the test shows nothing";
  gpu_.ClearLog();
  RunRight(wave, next);
  EXPECT_EQ(Calls("LaunchGraph"), 0);
  engine_->Free(next);
}

TEST_P(CudaGraphTest, ManyVersionsInAnyOrder) {
  options_.graphs = 4;  // So that some are pushed out.
  ASSERT_NO_FATAL_FAILURE(Open());
  std::mt19937 random(9);
  const auto draw = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
  struct Tensor {
    EngineWave wave;
    CudaMemory memory;
  };
  std::vector<Tensor> tensors;
  for (int i = 0; i < 400; ++i) {
    if (tensors.size() < 2 || (tensors.size() < 7 && draw(4) == 0)) {
      EngineWave wave = Wave(16 + 8 * draw(2));
      wave.DrawW(i);
      const CudaMemory memory = Upload(wave);
      tensors.push_back({std::move(wave), memory});
    } else if (draw(5) == 0) {
      const auto at = tensors.begin() + draw(static_cast<int>(tensors.size()));
      engine_->Free(at->memory);
      tensors.erase(at);
    } else {
      Tensor& tensor = tensors[static_cast<size_t>(draw(static_cast<int>(tensors.size())))];
      tensor.wave.abi.alpha = draw(3) == 0 ? 2.0f : 1.0f;
      ASSERT_NO_FATAL_FAILURE(RunRight(tensor.wave, tensor.memory));
    }
    ASSERT_THAT(gpu_.violations(), IsEmpty());
  }
  EXPECT_GT(Calls("LaunchGraph"), 50);
  EXPECT_GT(Calls("EndCapture update"), 5);
  for (const Tensor& tensor : tensors) engine_->Free(tensor.memory);
}

TEST_P(CudaGraphTest, ManyThreads) {
  ASSERT_NO_FATAL_FAILURE(Open());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([this, t, &wrong] {
      for (int i = 0; i < 10; ++i) {
        EngineWave wave = Wave();
        wave.DrawW(static_cast<int>(t) * 100 + i);
        const CudaMemory memory = Upload(wave);
        wave.UseBuffer();
        for (int j = 0; j < 4; ++j) {
          wave.Forget();
          EngineProgress progress;
          BwrtCudaReport report{};
          if (!engine_->Run(wave.abi, &memory, progress.abi, &report).ok() || !wave.Right()) ++wrong[t];
        }
        engine_->Free(memory);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::ElementsAre(0, 0, 0, 0));
}

TEST_P(CudaGraphTest, AGraphThatFailsFailsOneWave) {
  ASSERT_NO_FATAL_FAILURE(Open());
  struct Case {
    std::string call;
    int runs;     // Before it fails: one, and the next is captured; two, and there is a graph.
    float alpha;  // Of the one that fails.
  };
  for (const Case& c : {Case{"BeginCapture", 1, 1}, Case{GetParam() ? "Launch" : "Matmul", 1, 1},
                        Case{"EndCapture", 1, 1}, Case{"LaunchGraph", 1, 1}, Case{"LaunchGraph", 2, 1},
                        Case{"BeginCapture", 2, 3}, Case{"EndCapture update", 2, 3}}) {
    SCOPED_TRACE(c.call);
    EngineWave wave = Wave();
    const CudaMemory memory = Upload(wave);
    for (int i = 0; i < c.runs; ++i) RunRight(wave, memory);
    wave.abi.alpha = c.alpha;
    EngineProgress progress;
    BwrtCudaReport report{};
    gpu_.FailNext(c.call, BWRT_CUDA_FAILED);
    EXPECT_EQ(engine_->Run(wave.abi, &memory, progress.abi, &report).code(), BWRT_CUDA_FAILED);
    EXPECT_FALSE(gpu_.busy());
    // What is kept of it, if anything, is whole.
    for (int i = 0; i < 3; ++i) RunRight(wave, memory);
    engine_->Free(memory);
  }
}

TEST_P(CudaGraphTest, ANewContextHasNone) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  const CudaMemory memory = Upload(wave);
  for (int i = 0; i < 2; ++i) RunRight(wave, memory);
  gpu_.FailNext("LaunchGraph", BWRT_CUDA_DEVICE_LOST);
  EngineProgress progress;
  BwrtCudaReport report{};
  EXPECT_TRUE(engine_->Run(wave.abi, &memory, progress.abi, &report).lost());
  ASSERT_TRUE(engine_->Recreate().ok());
  engine_->Free(memory);
  const CudaMemory fresh = Upload(wave);
  gpu_.ClearLog();
  RunRight(wave, fresh);
  EXPECT_EQ(Calls("LaunchGraph"), 0);
  engine_->Free(fresh);
}

TEST_P(CudaGraphTest, NoneWhereTheyAreOff) {
  options_.graphs = 0;
  ASSERT_NO_FATAL_FAILURE(Open());
  EngineWave wave = Wave();
  const CudaMemory memory = Upload(wave);
  for (int i = 0; i < 4; ++i) RunRight(wave, memory);
  EXPECT_EQ(Calls("BeginCapture"), 0);
  engine_->Free(memory);
}

}  // namespace
}  // namespace bwrt::cuda
