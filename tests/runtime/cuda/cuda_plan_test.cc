#include "runtime/cuda/cuda_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "runtime/cuda/cublaslt_numbers.h"
#include "runtime/cuda/cuda_plan_cache.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

// A bf16 wave of the default whitelist's first shape.
CudaPlanKey Key() {
  CudaPlanKey key;
  key.dtype = key.c_dtype = BWRT_CUDA_BF16;
  key.m = 512;
  key.n = 768;
  key.k = 256;
  key.lda = 256;
  key.ldw = 768;
  key.ldc = 768;
  key.bm = key.bn = 128;
  key.bk = 64;
  key.stages = 2;
  key.cluster_x = 2;
  return key;
}

// Field -> "requested -> executed".
std::map<std::string, std::string> Notes(const BwrtCudaEffective& effective) {
  std::map<std::string, std::string> notes;
  for (int i = 0; i < effective.note_count; ++i) {
    const BwrtCudaNote& note = effective.notes[i];
    EXPECT_STRNE(note.reason, "") << note.field;
    notes[note.field] = std::string(note.requested) + " -> " + note.executed;
  }
  return notes;
}

class CudaPlanTest : public ::testing::Test {
 protected:
  ~CudaPlanTest() override { EXPECT_EQ(gpu_.leftovers(), ""); }
  std::shared_ptr<const CudaPlan> Plan(const CudaPlanKey& key) {
    std::shared_ptr<const CudaPlan> plan;
    const CudaStatus status = MakePlan(driver_, key, kernels_, &tunings_, &plan);
    EXPECT_TRUE(status.ok()) << status.text();
    return plan;
  }
  FakeGpu gpu_;
  FakeCudaDriver driver_{&gpu_};
  CudaKernels kernels_;  // Without a Hopper.
  CudaTuningTable tunings_;
};

TEST(CudaPlanKeyTest, PadsWhatComesWithTheWave) {
  BwrtCudaWave wave{};
  float w = 0;
  wave.m = 3;
  wave.n = 5;
  wave.k = 7;
  wave.c_dtype = BWRT_CUDA_BF16;
  wave.w = &w;
  CudaPlanKey key = CudaPlanKey::Of(wave);
  EXPECT_EQ(key.lda, 8);
  EXPECT_EQ(key.ldw, 8);
  EXPECT_EQ(key.ldc, 8) << "16 bytes of bf16";
  wave.w = nullptr;
  EXPECT_EQ(CudaPlanKey::Of(wave).ldw, 5) << "a stored tensor lies as published";
  wave.w_transposed = 1;
  EXPECT_EQ(CudaPlanKey::Of(wave).ldw, 7);
}

TEST(CudaPlanKeyTest, SwapsOperandsForColumns) {
  CudaPlanKey key = Key();
  key.bias = true;
  key.activation = BWRT_CUDA_GELU_TANH;
  LtProblem problem = ToLtProblem(key);
  EXPECT_EQ(problem.rows, key.n);
  EXPECT_EQ(problem.cols, key.m);
  EXPECT_FALSE(problem.a_transposed);
  EXPECT_EQ(problem.lda, key.ldw);
  EXPECT_EQ(problem.ldb, key.lda);
  EXPECT_EQ(problem.ldc, key.ldc);
  EXPECT_EQ(problem.activation, LtActivation::kGelu);
  EXPECT_TRUE(problem.bias);
  key.w_transposed = true;
  EXPECT_TRUE(ToLtProblem(key).a_transposed);
}

TEST_F(CudaPlanTest, EachWhitelistedTileOnCublasLt) {
  struct Case {
    int32_t bm, bn, bk, stages;
    uint32_t tile;  // In the library's orientation: rows are our columns.
  };
  for (const Case& c :
       {Case{128, 128, 64, 2, 20}, Case{128, 256, 64, 2, 24}, Case{256, 128, 64, 2, 23}, Case{128, 128, 128, 3, 20}}) {
    SCOPED_TRACE(c.bm * 1000 + c.bn);
    CudaPlanKey key = Key();
    key.bm = c.bm;
    key.bn = c.bn;
    key.bk = c.bk;
    key.stages = c.stages;
    const auto plan = Plan(key);
    ASSERT_NE(plan->matmul, nullptr);
    EXPECT_EQ(plan->algorithm.config.tile, c.tile);
    EXPECT_EQ(plan->algorithm.config.cluster, 5) << "two along m are two columns";
    EXPECT_EQ(plan->effective.cluster_x, 2);
    EXPECT_EQ(plan->effective.cluster_y, 1);
    EXPECT_EQ(plan->effective.k_step, 64);
    EXPECT_EQ(plan->effective.traversal_honoured, 0);
    EXPECT_THAT(plan->effective.kernel, StartsWith("cublaslt-66-tile"));
    std::map<std::string, std::string> expected = {{"spec.stage_hint", std::to_string(c.stages) + " -> as many as fit"},
                                                   {"spec.tile_order", "as listed -> the library's"}};
    if (c.bk == 128) expected["spec.bk"] = "128 -> 64";
    EXPECT_EQ(Notes(plan->effective), expected);
  }
}

TEST_F(CudaPlanTest, WhatTheLibraryDoesNotTakeIsTold) {
  gpu_.legal = [](const LtConfig&) { return false; };
  gpu_.recommended = {{66, 15, 35, 3, 0}};
  CudaPlanKey key = Key();
  key.bn = 256;
  key.tmem_hints = true;
  const auto plan = Plan(key);
  EXPECT_EQ(plan->algorithm.config.tile, 15u);
  EXPECT_THAT(
      Notes(plan->effective),
      ElementsAre(Pair("spec.bm,bn", "128,256 -> 64,64"), Pair("spec.cluster_shape", "2,1 -> 1,2"),
                  Pair("spec.stage_hint", "2 -> as many as fit"), Pair("spec.tile_order", "as listed -> the library's"),
                  Pair("spec.tmem_layout", "columns, phases, double_buffer -> none")));
}

TEST_F(CudaPlanTest, AWaveOfOneTileHasItsTraversal) {
  CudaPlanKey key = Key();
  key.single_tile = true;
  EXPECT_EQ(Plan(key)->effective.traversal_honoured, 1);
}

TEST_F(CudaPlanTest, ThePlainKernelTakesWhatCublasLtCannot) {
  const auto plain = [this](void (*change)(CudaPlanKey&)) {
    CudaPlanKey key = Key();
    change(key);
    const auto plan = Plan(key);
    EXPECT_EQ(plan->matmul, nullptr);
    EXPECT_STREQ(plan->effective.kernel, "bwrt_plain_bf16");
    EXPECT_EQ(plan->effective.traversal_honoured, 1);
    return Notes(plan->effective);
  };
  const auto notes = plain([](CudaPlanKey& key) { key.whole = false; });
  EXPECT_THAT(notes, ElementsAre(Pair("spec.bk", "64 -> 16"), Pair("spec.cluster_shape", "2,1 -> 1,1"),
                                 Pair("spec.stage_hint", "2 -> 1")));
  plain([](CudaPlanKey& key) { key.activation = BWRT_CUDA_SILU; });
  plain([](CudaPlanKey& key) { key.activation = BWRT_CUDA_GELU_ERF; });
  plain([](CudaPlanKey& key) { key.m = int64_t{1} << 31; });
  gpu_.recommended.clear();
  plain([](CudaPlanKey&) {});
}

TEST(CudaPlanNotesTest, NotesThatDoNotFitAreCut) {
  BwrtCudaEffective effective{};
  for (int i = 0; i < 2 * BWRT_CUDA_MAX_NOTES; ++i) AddNote(&effective, "field", std::string(1000, 'x'), "", "reason");
  EXPECT_EQ(effective.note_count, BWRT_CUDA_MAX_NOTES);
  EXPECT_EQ(std::string(effective.notes[0].requested), std::string(sizeof(effective.notes[0].requested) - 1, 'x'));
}

TEST_F(CudaPlanTest, TheCacheTellsEveryKindApartAndForgetsTheOldest) {
  CudaPlanCache cache(&driver_, &kernels_, 2);
  std::shared_ptr<const CudaPlan> first, again, other, third;
  CudaPlanKey key = Key();
  ASSERT_TRUE(cache.Get(key, &first).ok());
  ASSERT_TRUE(cache.Get(key, &again).ok());
  EXPECT_EQ(first, again);
  key.stages = 3;  // The spec is part of the key, also where the library can't follow it: the notes differ.
  ASSERT_TRUE(cache.Get(key, &other).ok());
  EXPECT_NE(first, other);
  ASSERT_TRUE(cache.Get(Key(), &again).ok());
  key.ldc = 800;
  ASSERT_TRUE(cache.Get(key, &third).ok());
  EXPECT_EQ(cache.hits(), 2u);
  EXPECT_EQ(cache.misses(), 3u);
  ASSERT_TRUE(cache.Get(Key(), &again).ok());
  EXPECT_EQ(first, again) << "used later than the second";
  key = Key();
  key.stages = 3;
  ASSERT_TRUE(cache.Get(key, &again).ok());
  EXPECT_NE(other, again) << "forgotten, but still there for who had it";
  cache.Clear();
  ASSERT_TRUE(cache.Get(Key(), &again).ok());
  EXPECT_NE(first, again);
}

TEST_F(CudaPlanTest, AFailureIsNotCached) {
  CudaPlanCache cache(&driver_, &kernels_, 2);
  std::shared_ptr<const CudaPlan> plan;
  gpu_.FailNext("Heuristics", BWRT_CUDA_FAILED);
  EXPECT_EQ(cache.Get(Key(), &plan).code(), BWRT_CUDA_FAILED);
  EXPECT_TRUE(cache.Get(Key(), &plan).ok());
  EXPECT_NE(plan->matmul, nullptr);
}

// ---- the numbers

TEST(CublasltNumbersTest, RoundTrip) {
  int tiles = 0, clusters = 0, stages = 0;
  for (uint32_t number = 0; number < 1000; ++number) {
    if (const auto tile = LtTileOf(number)) {
      EXPECT_EQ(LtTileNumber(*tile), number);
      ++tiles;
    }
    if (const auto cluster = LtClusterOf(static_cast<uint16_t>(number))) {
      EXPECT_EQ(LtClusterNumber(*cluster), number);
      ++clusters;
    }
    if (LtStagesOf(number)) ++stages;
  }
  EXPECT_EQ(tiles, 35);
  EXPECT_EQ(clusters, 13);
  EXPECT_EQ(stages, 36);
  EXPECT_EQ(LtTileNumber({128, 256}), 23u);
  EXPECT_EQ(LtTileNumber({2, 2}), std::nullopt);
  EXPECT_EQ(LtClusterNumber({1, 2}), 5);
  EXPECT_EQ(LtStagesOf(35), (LtStages{64, 0}));
  EXPECT_EQ(LtStagesOf(16), (LtStages{64, 4}));
  EXPECT_EQ(LtStagesOf(0), std::nullopt);
}

}  // namespace
}  // namespace bwrt::cuda
