#include "runtime/tile_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "tests/runtime/cpu_device_fixture.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;
using ::testing::ElementsAre;

// ---------------------------------------------------------------------------------------- order of writing

class WriteOrderTest : public CpuDeviceTest {
 protected:
  // Runs the wave and returns the order in which its tiles were written, found by looking at C before each
  // tile and after the last. C starts as poison, which no tile leaves behind. At every look each tile must be
  // either whole or untouched, and at most one may be new.
  Order ObservedOrder(const CpuWaveCase& wave, const Wave& validated) {
    Order observed;
    std::string c;
    const auto look = [&] {
      Order fresh;
      for (int32_t i = 0; i < validated.grid.rows(); ++i) {
        for (int32_t j = 0; j < validated.grid.cols(); ++j) {
          const TileCoord tile{i, j};
          const bool seen = std::find(observed.begin(), observed.end(), tile) != observed.end();
          EXPECT_NE(wave.Written(c, tile), wave.Untouched(c, tile)) << "half a tile: " << i << "," << j;
          if (wave.Written(c, tile) && !seen) fresh.push_back(tile);
        }
      }
      EXPECT_LE(fresh.size(), 1u) << "after " << observed.size() << " tiles";
      observed.insert(observed.end(), fresh.begin(), fresh.end());
    };
    Steps steps([&](size_t index) {
      look();
      EXPECT_EQ(observed.size(), index) << "each tile is done before the next one's step, and no other";
      return absl::OkStatus();
    });
    const auto report = device_->Run(validated, nullptr, steps, c);
    EXPECT_TRUE(report.ok()) << report.status();
    look();
    ExpectRight(wave, c);
    return observed;
  }
};

TEST_F(WriteOrderTest, ASnakeAndThenWhatItLeftOut) {
  CpuWaveCase wave;
  wave.m = 60;
  wave.n = 90;  // 2 x 3 tiles.
  wave.Draw();
  const Order snake = {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}};
  EXPECT_THAT(ObservedOrder(wave, Validated(wave.Request().Order(snake))),
              ElementsAre(TileCoord{0, 0}, TileCoord{0, 1}, TileCoord{0, 2}, TileCoord{1, 2}, TileCoord{1, 1},
                          TileCoord{1, 0}));
}

TEST_F(WriteOrderTest, ARandomPermutation) {
  CpuWaveCase wave;
  wave.m = 150;
  wave.n = 130;  // 5 x 5 tiles.
  wave.Draw();
  for (uint32_t seed = 0; seed < 5; ++seed) {
    std::mt19937 random(seed);
    Order order = Validated(wave.Request()).traversal.order;
    ASSERT_EQ(order.size(), 25u);
    std::shuffle(order.begin(), order.end(), random);
    EXPECT_EQ(ObservedOrder(wave, Validated(wave.Request().Order(order))), order) << "seed " << seed;
  }
}

TEST_F(WriteOrderTest, AppendedTilesComeLastInRowMajorOrder) {
  CpuWaveCase wave;
  wave.m = 96;
  wave.n = 96;
  wave.Draw();
  EXPECT_THAT(ObservedOrder(wave, Validated(wave.Request().Order({{2, 2}, {1, 1}}))),
              ElementsAre(TileCoord{2, 2}, TileCoord{1, 1}, TileCoord{0, 0}, TileCoord{0, 1}, TileCoord{0, 2},
                          TileCoord{1, 0}, TileCoord{1, 2}, TileCoord{2, 0}, TileCoord{2, 1}));
}

TEST_F(WriteOrderTest, SwizzleAndFlatOrders) {
  CpuWaveCase wave;
  wave.m = 96;
  wave.n = 64;
  wave.Draw();
  EXPECT_THAT(
      ObservedOrder(wave, Validated(wave.Request().Edit([](WaveRequest& r) { r.spec.swizzle_group_size = 2; }))),
      ElementsAre(TileCoord{0, 0}, TileCoord{1, 0}, TileCoord{0, 1}, TileCoord{1, 1}, TileCoord{2, 0},
                  TileCoord{2, 1}));
  EXPECT_THAT(ObservedOrder(wave, Validated(wave.Request().Flat({2u << 16 | 1, 0, 1u << 16}))),
              ElementsAre(TileCoord{2, 1}, TileCoord{0, 0}, TileCoord{1, 0}, TileCoord{0, 1}, TileCoord{1, 1},
                          TileCoord{2, 0}));
}

TEST_F(WriteOrderTest, PeeledTilesComeAfterTheFullOnes) {
  CpuWaveCase wave;
  wave.m = 40;
  wave.n = 70;  // 2 x 3 tiles, full: (0,0), (0,1).
  wave.Draw();
  EXPECT_THAT(
      ObservedOrder(
          wave,
          Validated(wave.Request().Order({{1, 0}, {0, 1}, {0, 2}, {1, 1}, {0, 0}, {1, 2}}).Tails(TailPolicy::kPeel))),
      ElementsAre(TileCoord{0, 1}, TileCoord{0, 0}, TileCoord{1, 0}, TileCoord{0, 2}, TileCoord{1, 1},
                  TileCoord{1, 2}));
}

// -------------------------------------------------------------------------------------------------- tokens

class TokensTest : public CpuDeviceTest {
 protected:
  std::vector<Step> StepsOf(const WaveRequestBuilder& request) {
    Steps steps;
    std::string c;
    const auto report = device_->Run(Validated(request), nullptr, steps, c);
    EXPECT_TRUE(report.ok()) << report.status();
    return steps.steps();
  }
  // A wave of P extents and a row of 16-wide tiles, T of them listed of `grid`.
  WaveRequestBuilder Request(int64_t prefetch, int32_t grid, int32_t listed) {
    WaveRequestBuilder builder;
    builder.Tile({16, 16, 8, 1, 1, 1}).Dims(16, 16 * grid, 8).Edit([=](WaveRequest& r) {
      r.spec.io_extents.assign(static_cast<size_t>(prefetch), IoExtent{"l", 0, 0});
      for (int32_t i = 0; i < listed; ++i) r.spec.tile_order.push_back({0, i});
    });
    return builder;
  }
};

// The extents' tokens, 0 and 1, are over when the device is called, but for the end of the last one.
TEST_F(TokensTest, EachTokenStartsAsTheOneBeforeFinishes) {
  EXPECT_THAT(StepsOf(Request(2, 3, 3)), ElementsAre(Step(1, 2), Step(2, 3), Step(3, 4)));
}

TEST_F(TokensTest, AWaveWithoutExtentsBeginsWithItsFirstTile) {
  EXPECT_THAT(StepsOf(Request(0, 2, 2)), ElementsAre(Step(std::nullopt, 0), Step(0, 1)));
}

TEST_F(TokensTest, OneExtentAndOneTile) { EXPECT_THAT(StepsOf(Request(1, 1, 1)), ElementsAre(Step(0, 1))); }

TEST_F(TokensTest, AppendedTilesOnlyAskWhetherToGoOn) {
  EXPECT_THAT(StepsOf(Request(1, 4, 2)),
              ElementsAre(Step(0, 1), Step(1, 2), Step(std::nullopt, std::nullopt), Step(std::nullopt, std::nullopt)));
}

// PEEL runs an appended full tile before a listed partial one: the last token, whose tiles include the appended ones,
// then starts early, and is finished only by the end of the wave.
TEST_F(TokensTest, AnAppendedTileThatPeelMovesForwardStartsTheLastToken) {
  WaveRequestBuilder builder;
  builder.Tile({16, 16, 8, 1, 1, 1}).Dims(16, 40, 8).Tails(TailPolicy::kPeel).Order({{0, 2}, {0, 0}});
  EXPECT_THAT(StepsOf(builder), ElementsAre(Step(std::nullopt, 0), Step(0, 1), Step(std::nullopt, 1)));
}

TEST_F(TokensTest, SynthesizedTilesOwnTokens) {
  EXPECT_THAT(StepsOf(Request(0, 3, 0)), ElementsAre(Step(std::nullopt, 0), Step(0, 1), Step(1, 2)));
}

TEST_F(TokensTest, DroppedTilesPassThroughTheirTokens) {
  EXPECT_THAT(StepsOf(Request(0, 3, 0).Dims(15, 48, 8).Tails(TailPolicy::kDrop)),
              ElementsAre(Step(std::nullopt, 0), Step(0, 1), Step(1, 2)));
}

// Whatever P, T and the grid are: every token P .. P+T-1 starts exactly once, in order, as the one before it
// finishes; the wave's end finishes the last.
TEST_F(TokensTest, EveryTokenOnceAndInOrder) {
  for (int64_t prefetch = 0; prefetch < 4; ++prefetch) {
    for (int32_t grid = 1; grid < 4; ++grid) {
      for (int32_t listed = 1; listed <= grid; ++listed) {
        std::vector<Step> expected;
        for (int64_t token = prefetch; token < prefetch + listed; ++token) {
          expected.emplace_back(token == 0 ? std::nullopt : std::optional(token - 1), token);
        }
        expected.resize(static_cast<size_t>(grid));  // Appended tiles start and finish nothing.
        EXPECT_EQ(StepsOf(Request(prefetch, grid, listed)), expected) << prefetch << " " << grid << " " << listed;
      }
    }
  }
}

// With several threads tiles finish in any order, but they start in theirs.
TEST_F(TokensTest, ThreadsStartTokensInOrderAndFinishEachOnce) {
  for (int round = 0; round < 50; ++round) {
    for (const auto& [grid, listed] : {std::pair(1, 1), std::pair(9, 9), std::pair(9, 4)}) {
      Steps steps;
      std::string c;
      const int64_t prefetch = round % 3;
      ASSERT_TRUE(shared_->Run(Validated(Request(prefetch, grid, listed)), nullptr, steps, c).ok());
      std::vector<int64_t> started;
      std::vector<int64_t> finished;
      for (const Step& step : steps.steps()) {
        if (step.first) {
          EXPECT_TRUE(*step.first < prefetch || std::count(started.begin(), started.end(), *step.first) == 1)
              << "finished before it started: " << *step.first;
          finished.push_back(*step.first);
        }
        if (step.second) started.push_back(*step.second);
      }
      std::sort(finished.begin(), finished.end());
      std::vector<int64_t> tokens(static_cast<size_t>(listed));
      std::iota(tokens.begin(), tokens.end(), prefetch);
      EXPECT_EQ(started, tokens);
      tokens.pop_back();  // The last is finished by the end of the wave.
      if (prefetch > 0) tokens.insert(tokens.begin(), prefetch - 1);
      EXPECT_EQ(finished, tokens);
    }
  }
}

// ------------------------------------------------------------------------------------------------ stopping

TEST_F(CpuDeviceTest, ThreadsStopWithTheStatusGiven) {
  CpuWaveCase wave;
  wave.m = 32 * 20;
  wave.n = 32;
  wave.Draw();
  const Wave validated = Validated(wave.Request());
  for (size_t stop = 0; stop < 20; ++stop) {
    Steps steps([&](size_t index) { return index == stop ? absl::CancelledError("enough") : absl::OkStatus(); });
    std::string c;
    EXPECT_TRUE(absl::IsCancelled(shared_->Run(validated, nullptr, steps, c).status()));
    EXPECT_EQ(steps.steps().size(), stop + 1) << "nothing is asked after a refusal";
  }
}

// A wave of one tile, or of few, is cut so that every thread has its share; and never beyond what there is.
TEST_F(CpuDeviceTest, SharesTilesOfAnyShape) {
  uint32_t seed = 100;
  for (const auto& [m, n] : {std::pair(1, 1), std::pair(1, 64), std::pair(1, 65), std::pair(1, 1000), std::pair(200, 1),
                             std::pair(65, 65), std::pair(130, 700), std::pair(513, 30)}) {
    for (const int tile : {32, 100, 600}) {
      CpuWaveCase wave;
      wave.m = m;
      wave.n = n;
      wave.bm = tile;
      wave.bn = tile;
      wave.dtype = tile == 100 ? DType::kBF16 : DType::kF32;
      wave.Draw(++seed);
      ExpectRight(wave, Run(Validated(wave.Request())));
    }
  }
}

TEST_F(CpuDeviceTest, StopsBetweenTilesWithTheStatusGiven) {
  CpuWaveCase wave;
  wave.m = 32 * 5;
  wave.n = 32;
  wave.Draw();
  const Wave validated = Validated(wave.Request());
  for (size_t stop = 0; stop < 5; ++stop) {
    const absl::Status why = MakeError(absl::StatusCode::kCancelled, "CANCELLED", "enough");
    Steps steps([&](size_t index) { return index == stop ? why : absl::OkStatus(); });
    std::string c;
    const auto report = device_->Run(validated, nullptr, steps, c);
    EXPECT_EQ(report.status(), why);
    EXPECT_EQ(steps.steps().size(), stop + 1) << "nothing is asked after a refusal";
    for (size_t tile = 0; tile < 5; ++tile) {
      EXPECT_EQ(wave.Untouched(c, {static_cast<int32_t>(tile), 0}), tile >= stop) << "tile " << tile;
    }
  }
}

TEST_F(CpuDeviceTest, StopsAmongAppendedTiles) {
  CpuWaveCase wave;
  wave.m = 32 * 3;
  wave.n = 32;
  wave.Draw();
  Steps steps([](size_t index) { return index == 2 ? absl::DeadlineExceededError("late") : absl::OkStatus(); });
  std::string c;
  const auto report = device_->Run(Validated(wave.Request().Order({{0, 0}})), nullptr, steps, c);
  EXPECT_TRUE(absl::IsDeadlineExceeded(report.status()));
  EXPECT_TRUE(wave.Written(c, {1, 0}));
  EXPECT_TRUE(wave.Untouched(c, {2, 0}));
}

}  // namespace
}  // namespace bwrt::runtime
