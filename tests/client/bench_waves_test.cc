#include "client/commands/bench_waves.h"

#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/match.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

constexpr char kPlan[] = "tests/data/bcache_waves.json";

v1::GetCapabilitiesResponse Whitelist() {
  v1::GetCapabilitiesResponse capabilities;
  for (const auto& [bm, bn, bk, stage] : {std::tuple{128, 128, 64, 2}, {128, 256, 64, 2}, {128, 128, 128, 3}}) {
    v1::TileShape* shape = capabilities.add_tile_whitelist();
    shape->set_bm(bm);
    shape->set_bn(bn);
    shape->set_bk(bk);
    shape->set_stage_n(stage);
    shape->mutable_cluster_shape()->set_x(2);
    shape->mutable_cluster_shape()->set_y(1);
  }
  return capabilities;
}

TEST(BenchWavesTest, TheSmallWaveIsOneTile) {
  const auto waves = ReadBenchWaves({});
  ASSERT_TRUE(waves.ok()) << waves.status();
  ASSERT_EQ(waves->size(), 1u);
  const v1::SubmitWaveRequest& request = (*waves)[0].request;
  EXPECT_EQ((*waves)[0].name, "f32 128x128x128 by 128x128");
  EXPECT_EQ(request.m(), 128);
  EXPECT_EQ(request.n(), 128);
  EXPECT_EQ(request.k(), 128);
  EXPECT_EQ(request.spec().swap_end(), 1);
  EXPECT_EQ(request.w().tensor(), "w.f32.128x128");
  EXPECT_EQ(InFlightOf(BenchPreset::kSmall), (std::vector<int64_t>{1, 8, 64, 512, 2048, 8192}));
}

TEST(BenchWavesTest, OneSweepForEachSizeAndTile) {
  const auto waves = ReadBenchWaves(
      {.preset = BenchPreset::kPrefill, .n = 512, .tiles = {"128x128", "128x256", "128x128x128"}, .dtype = BF16});
  ASSERT_TRUE(waves.ok()) << waves.status();
  std::vector<std::string> names;
  for (const BenchWave& wave : *waves) names.push_back(wave.name);
  EXPECT_EQ(names, (std::vector<std::string>{"bf16 128x512x4096 by 128x128", "bf16 128x512x4096 by 128x256",
                                             "bf16 128x512x4096 by 128x128x128", "bf16 512x512x4096 by 128x128",
                                             "bf16 512x512x4096 by 128x256", "bf16 512x512x4096 by 128x128x128"}));
  EXPECT_EQ((*waves)[3].request.spec().swap_end(), 16);
  EXPECT_EQ((*waves)[4].request.spec().swap_end(), 8);
  // All can take their W from one tensor.
  for (const BenchWave& wave : *waves) EXPECT_EQ(wave.request.w().tensor(), "w.bf16.4096x512");
}

TEST(BenchWavesTest, TheDecodeWaveHasOneRow) {
  const auto waves = ReadBenchWaves({.preset = BenchPreset::kDecode});
  ASSERT_TRUE(waves.ok());
  ASSERT_EQ(waves->size(), 1u);
  EXPECT_EQ((*waves)[0].name, "f32 1x4096x4096 by 128x128");
  EXPECT_EQ((*waves)[0].request.spec().swap_end(), 32);
}

TEST(BenchWavesTest, APlannersWave) {
  const auto waves = ReadBenchWaves({.dtype = BF16, .spec = kPlan, .wave = 1});
  ASSERT_TRUE(waves.ok()) << waves.status();
  ASSERT_EQ(waves->size(), 1u);
  const BenchWave& wave = (*waves)[0];
  EXPECT_TRUE(absl::StartsWith(wave.name, "windows[0].waves[1] bf16 ")) << wave.name;
  EXPECT_GT(wave.request.spec().tile_order_size(), 0);
  EXPECT_EQ(wave.request.k(), 512);
  EXPECT_EQ(wave.request.spec().dtype(), BF16);
  EXPECT_TRUE(wave.request.w().has_tensor());

  const auto sized = ReadBenchWaves({.m = {640}, .k = 64, .spec = kPlan});
  ASSERT_TRUE(sized.ok());
  EXPECT_EQ((*sized)[0].request.m(), 640);
  EXPECT_EQ((*sized)[0].request.k(), 64);
}

TEST(BenchWavesTest, ARequestKeepsWhatItSays) {
  const std::string path = testing::TempDir() + "request.json";
  ASSERT_TRUE(WriteFile(path, R"({"m": 4, "n": 32, "k": 16, "alpha": 2, "wTransposed": true, "a": {"inline": "AAAA"},
                                  "spec": {"bm": 128, "bn": 128, "bk": 64, "dtype": "F16"}})")
                  .ok());
  const auto waves = ReadBenchWaves({.dtype = F32, .spec = path});
  ASSERT_TRUE(waves.ok()) << waves.status();
  const v1::SubmitWaveRequest& request = (*waves)[0].request;
  EXPECT_EQ(request.spec().dtype(), F16);
  EXPECT_EQ(request.alpha(), 2);
  EXPECT_FALSE(request.has_a());
  const auto w = DrawW(request);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->name(), "w.f16.16x32.t");
  EXPECT_EQ(w->shape(0), 32);
  EXPECT_EQ(w->shape(1), 16);
  EXPECT_EQ(w->data().size(), 32u * 16 * 2);
}

TEST(BenchWavesTest, MistakesAreNamed) {
  const auto error = [](const BenchWaveFlags& flags) {
    const auto waves = ReadBenchWaves(flags);
    EXPECT_TRUE(absl::IsInvalidArgument(waves.status())) << waves.status();
    return std::string(waves.status().message());
  };
  for (const char* tile : {"128", "128x", "x128", "0x128", "128x-1", "128x128x0", "128x128x64x2", "128*128"}) {
    EXPECT_TRUE(absl::StrContains(error({.tiles = {tile}}), std::string("--tile=") + tile + ": must be BMxBN"));
  }
  EXPECT_TRUE(absl::StrContains(error({.m = {0}}), "m=0: must be from 1 to 16777216"));
  EXPECT_TRUE(absl::StrContains(error({.n = -4}), "n=-4: must be from 1"));
  EXPECT_TRUE(absl::StrContains(error({.k = int64_t{1} << 40}), "k=1099511627776: must be"));
  EXPECT_TRUE(absl::StrContains(error({.m = {8, 8}}), "asked for twice"));
  EXPECT_TRUE(absl::StrContains(error({.tiles = {"128x128", "128x128"}}), "asked for twice"));
  EXPECT_TRUE(absl::StrContains(error({.m = {1, 2}, .spec = kPlan}), "--m: one size at most"));
  EXPECT_TRUE(absl::IsNotFound(ReadBenchWaves({.spec = "no/such/file"}).status()));
}

TEST(BenchWavesTest, WhatATileLeavesOpenIsTheWhitelists) {
  const auto completed = [](const std::string& tile) {
    auto waves = *ReadBenchWaves({.tiles = {tile}});
    CompleteTile(Whitelist(), &waves[0].request);
    return waves[0].request.spec();
  };
  EXPECT_EQ(completed("128x256").bk(), 64);
  EXPECT_EQ(completed("128x256").tmem_layout().stage_n(), 2);
  EXPECT_EQ(completed("128x256").cluster_shape().x(), 2);
  EXPECT_EQ(completed("128x128x128").bk(), 128);
  EXPECT_EQ(completed("128x128x128").tmem_layout().stage_n(), 3);
  // Not listed: a lenient daemon runs it, another says what is.
  EXPECT_EQ(completed("64x64").bk(), 64);
  EXPECT_EQ(completed("64x64x32").bk(), 32);
  EXPECT_FALSE(completed("64x64").has_cluster_shape());
}

TEST(BenchWavesTest, APlannersTileStaysAsItIs) {
  auto waves = *ReadBenchWaves({.spec = kPlan});
  const WaveSpec before = waves[0].request.spec();
  CompleteTile(Whitelist(), &waves[0].request);
  EXPECT_EQ(waves[0].request.spec().SerializeAsString(), before.SerializeAsString());
}

TEST(BenchWavesTest, WhatAWaveHolds) {
  auto waves = *ReadBenchWaves({.m = {4}, .n = 32, .k = 16, .dtype = BF16});
  v1::SubmitWaveRequest& request = waves[0].request;
  EXPECT_EQ(HeldBytes(request), 4 * 16 * 2 + 4 * 32 * 4);  // C is f32 unless it is said to be something else.
  EXPECT_EQ(FootprintBytes(request), 2 * HeldBytes(request));
  request.set_c_dtype(BF16);
  EXPECT_EQ(HeldBytes(request), 4 * 16 * 2 + 4 * 32 * 2);
  ASSERT_TRUE(DrawA(&request).ok());
  EXPECT_EQ(request.a().inline_().size(), 4u * 16 * 2);
  request.set_m(std::numeric_limits<int64_t>::max() / 2);
  EXPECT_EQ(FootprintBytes(request), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace bwrt::client
