#include "client/commands/explained_wave.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

absl::StatusOr<ExplainedWave> Read(absl::string_view json, ExplainFlags flags = {}) {
  flags.spec = testing::TempDir() + "explained.json";
  EXPECT_TRUE(WriteFile(flags.spec, json).ok());
  return ReadExplainedWave(flags);
}

TEST(ReadExplainedWave, TheFirstWaveOfAPlan) {
  const auto wave = ReadExplainedWave({.spec = "tests/data/bcache_waves.json"});
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_EQ(wave->name, "windows[0].waves[0]");
  EXPECT_EQ(wave->request.m(), 256);
  EXPECT_EQ(wave->request.n(), 256);
  EXPECT_EQ(wave->request.k(), 512);
}

TEST(ReadExplainedWave, WavesCountThroughAllWindows) {
  ExplainFlags flags{.spec = "tests/data/bcache_waves.json", .wave = 3};
  auto wave = ReadExplainedWave(flags);
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_EQ(wave->name, "windows[1].waves[0]");
  flags.wave = 18;
  wave = ReadExplainedWave(flags);
  EXPECT_EQ(wave.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(wave.status().message(), "0 to 17")) << wave.status();
}

TEST(ReadExplainedWave, DimensionsAsFlagsAsStatedOrAsListed) {
  const char kRequest[] = R"({"m": 500, "spec": {"bm": 16, "bn": 32, "tileOrder": [{"m": 3, "n": 1}]}})";
  auto wave = Read(kRequest, {.k = 64});
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_EQ(wave->request.m(), 500);
  EXPECT_EQ(wave->request.n(), 64);
  EXPECT_EQ(wave->request.k(), 64);
  // Also nonsense: the daemon says what is wrong with it.
  wave = Read(kRequest, {.m = 0, .n = 7});
  ASSERT_TRUE(wave.ok());
  EXPECT_EQ(wave->request.m(), 0);
  EXPECT_EQ(wave->request.n(), 7);
}

TEST(ReadExplainedWave, OperandsAreLeftOut) {
  const auto wave = Read(R"({"m": 1, "a": {"inline": "AAAA"}, "w": {"tensor": "w"}, "c": {"inline": ""}, "beta": 1,
                             "coverage": "PARTIAL", "spec": {"bm": 1}})");
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_FALSE(wave->request.has_a() || wave->request.has_w() || wave->request.has_c());
  EXPECT_EQ(wave->request.coverage(), v1::PARTIAL);
}

TEST(ReadExplainedWave, ASpecAloneIsNotTakenForAPlannersWave) {
  for (const char* json : {
           R"({"bm": 16, "bn": 16, "bk": 16, "tile_order": [{"m": 1, "n": 0}], "swap_end": 2})",
           R"({"bm": 16, "bn": 16, "bk": 16, "tile_order_flat": [65536], "cluster_shape": {"x": 1}, "swap_end": 2})",
           R"({"bm": 16, "bn": 16, "bk": 16, "tileOrderFlat": [65536], "swapEnd": 2})",
           R"({"bm": 16, "bn": 16, "bk": 16, "tile_order_flat": [65536], "tail_policy": "PEEL", "swap_end": 2})",
       }) {
    const auto wave = Read(json);
    ASSERT_TRUE(wave.ok()) << json << wave.status();
    EXPECT_EQ(wave->name, "spec") << json;
    EXPECT_EQ(wave->request.m(), 32) << json;
    EXPECT_EQ(wave->request.spec().swap_end(), 2) << json;
  }
}

TEST(ReadExplainedWave, APlannersWaveAloneIsNotTakenForASpec) {
  for (const char* json : {
           R"({"bm": 16, "bn": 16, "tile_order": [[1, 0]]})",
           R"({"bm": 16, "bn": 16, "tile_order_flat": [65536], "cluster_shape": [2, 1]})",
           R"({"bm": 16, "bn": 16, "tile_order_flat": [65536]})",
       }) {
    const auto wave = Read(json);
    ASSERT_TRUE(wave.ok()) << json << wave.status();
    EXPECT_EQ(wave->name, "wave") << json;
    EXPECT_EQ(wave->request.m(), 32) << json;
    EXPECT_EQ(wave->request.spec().swap_end(), 1) << json;
  }
}

TEST(ReadExplainedWave, KeysThatMeanNothingAreNamed) {
  const auto wave = Read(R"([{"bm": 16, "bn": 16, "colour": 1}])");
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_EQ(wave->ignored_keys, std::vector<std::string>{"colour"});
}

TEST(ReadExplainedWave, RefusesWhatIsNoWave) {
  for (const char* json : {
           "",
           "{",
           "7",
           "[]",
           R"({"waves": []})",
           R"({"nonsense": 1})",
           R"({"m": "x", "spec": {}})",
           R"([{"tile_order": 3}])",
           R"({"tile_order": [{"m": "x"}]})",
           R"({"tile_order": [{"m": 0}, [1, 1]]})",
           R"({"tail_policy": "SHRED"})",
       }) {
    EXPECT_EQ(Read(json).status().code(), absl::StatusCode::kInvalidArgument) << json;
  }
  EXPECT_EQ(Read(R"({"m": 1, "spec": {"bm": 1}})", {.wave = 1}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Read(R"({"m": 1, "spec": {"bm": 1}})", {.wave = 0}).ok());
  EXPECT_FALSE(ReadExplainedWave({.spec = "no/such/file"}).ok());
}

}  // namespace
}  // namespace bwrt::client
