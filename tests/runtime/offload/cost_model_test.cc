#include "runtime/offload/cost_model.h"

#include <gtest/gtest.h>

namespace bwrt::runtime {
namespace {

using std::chrono::nanoseconds;

Wave Square(int64_t m, int64_t n, int64_t k, kernels::DType dtype) {
  Wave wave;
  wave.grid = {m, n, 64, 64};
  wave.k = k;
  wave.dtype = wave.c_dtype = dtype;
  for (int32_t i = 0; i < wave.grid.rows(); ++i) {
    for (int32_t j = 0; j < wave.grid.cols(); ++j) wave.traversal.order.push_back({i, j});
  }
  return wave;
}

TEST(WaveWorkTest, CountsFlopsAndBytes) {
  const Wave wave = Square(128, 256, 64, kernels::DType::kBF16);
  const WaveWork work = WaveWork::Of(wave, /*resident=*/true);
  EXPECT_EQ(work.flops, 2.0 * 128 * 256 * 64);
  EXPECT_EQ(work.weight_bytes, 2.0 * 256 * 64);
  EXPECT_EQ(work.operand_bytes, 2.0 * (128 * 64 + 128 * 256));
  EXPECT_EQ(work.load_bytes, 0);
}

TEST(WaveWorkTest, WeightsThatAreNotThereAreLoaded) {
  Wave wave = Square(128, 256, 64, kernels::DType::kF32);
  EXPECT_EQ(WaveWork::Of(wave, /*resident=*/false).load_bytes, 4.0 * 256 * 64);
  wave.w = kernels::ConstMatrix{};
  EXPECT_EQ(WaveWork::Of(wave, /*resident=*/true).load_bytes, 4.0 * 256 * 64) << "it comes with the wave";
}

TEST(WaveWorkTest, CIsReadWhereItCounts) {
  Wave wave = Square(128, 256, 64, kernels::DType::kF32);
  wave.beta = 1;
  EXPECT_EQ(WaveWork::Of(wave, true).operand_bytes, 4.0 * (128 * 64 + 2 * 128 * 256));
}

TEST(WaveWorkTest, TilesThatDoNotRunAreNotCounted) {
  Wave wave = Square(128, 256, 64, kernels::DType::kF32);
  wave.traversal.order.resize(2);  // Of eight.
  const WaveWork work = WaveWork::Of(wave, true);
  EXPECT_EQ(work.flops, 2.0 * 128 * 256 * 64 / 4);
  EXPECT_EQ(work.operand_bytes, 4.0 * (128 * 64 + 2 * 128 * 256)) << "the other tiles' C is kept";
  wave.traversal.dropped = 1;
  EXPECT_EQ(WaveWork::Of(wave, true).flops, 2.0 * 128 * 256 * 64 / 8);
}

TEST(PredictTest, AddsCopiesToTheLongerOfArithmeticAndWeights) {
  DeviceCosts costs;
  costs.fixed = 1e-6;
  costs.per_flop = {1e-9, 2e-9, 3e-9};
  costs.per_weight_byte = 10e-9;
  costs.per_operand_byte = 5e-9;
  costs.per_load_byte = 7e-9;
  WaveWork work;
  work.dtype = kernels::DType::kF16;
  work.flops = 1000;
  work.weight_bytes = 100;
  work.operand_bytes = 10;
  EXPECT_EQ(Predict(costs, work), nanoseconds(1000 + 2000 + 50));
  work.weight_bytes = 300;
  EXPECT_EQ(Predict(costs, work), nanoseconds(1000 + 3000 + 50)) << "memory-bound";
  work.load_bytes = 300;
  EXPECT_EQ(Predict(costs, work), nanoseconds(1000 + 3000 + 50 + 2100));
  work.dtype = kernels::DType::kBF16;
  work.flops = 2000;
  EXPECT_EQ(Predict(costs, work), nanoseconds(1000 + 6000 + 50 + 2100));
}

TEST(PredictTest, NothingOverflows) {
  DeviceCosts costs;
  costs.per_flop = {1, 1, 1};
  WaveWork work;
  work.flops = 1e30;
  EXPECT_EQ(Predict(costs, work), std::chrono::seconds(1'000'000));
}

}  // namespace
}  // namespace bwrt::runtime
