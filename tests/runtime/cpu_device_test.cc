#include "runtime/cpu_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernel_dtype.h"
#include "runtime/error.h"
#include "tests/runtime/cpu_wave_case.h"
#include "tests/support/blank_version.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {

void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

namespace {

using kernels::DType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<TileCoord>;
using Step = std::pair<std::optional<int64_t>, std::optional<int64_t>>;

// Records every step, and lets a test look around, or stop the wave, at each.
class Steps final : public WaveProgress {
 public:
  using AtStep = std::function<absl::Status(size_t index)>;
  explicit Steps(AtStep at_step = nullptr) : at_step_(std::move(at_step)) {}
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    steps_.emplace_back(finished, started);
    return at_step_ ? at_step_(steps_.size() - 1) : absl::OkStatus();
  }
  const std::vector<runtime::Step>& steps() const { return steps_; }

 private:
  const AtStep at_step_;
  std::vector<runtime::Step> steps_;
};

class CpuDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cpu_.model = "test";
    cpu_.l2_bytes = 1 << 20;
    auto device = CpuDevice::Create(cpu_, &clock_);
    if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    shared_ = *CpuDevice::Create(cpu_, &clock_, {.threads = 4, .worth_sharing = Duration(0)});
  }

  // Waves here have small tiles of any shape, so the daemon is lenient.
  Wave Validated(const WaveRequestBuilder& request, const WeightVersion& version = *WeightVersion::Empty()) {
    const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/true, Limits{});
    auto wave = validator.Validate(request.Build(), WaveValidator::Mode::kComplete, version, clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    return wave.ok() ? *std::move(wave) : Wave{};
  }

  std::shared_ptr<const DeviceTensor> Uploaded(const ByteMatrix& w) {
    auto tensor = device_->Upload({"w", {w.dtype, {w.rows, w.cols}}, WeightBuffer(w.bytes)}, budget_);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    if (!tensor.ok()) return nullptr;
    EXPECT_TRUE(device_->Prepare(**tensor, nullptr, {}).ok());
    return *tensor;
  }

  // On one thread; several threads that share the wave give the same, bit by bit.
  std::string Run(const Wave& wave, const DeviceTensor* w = nullptr) {
    Steps steps;
    std::string c;
    const auto report = device_->Run(wave, w, steps, c);
    EXPECT_TRUE(report.ok()) << report.status();
    Steps steps_of_shared;
    std::string c_of_shared;
    EXPECT_TRUE(shared_->Run(wave, w, steps_of_shared, c_of_shared).ok());
    EXPECT_EQ(c, c_of_shared);
    return c;
  }

  // Every tile of the grid against the reference.
  void ExpectRight(const CpuWaveCase& wave, const std::string& result) {
    ASSERT_EQ(result.size(), wave.c.bytes.size());
    for (int32_t i = 0; i < (wave.m + wave.bm - 1) / wave.bm; ++i) {
      for (int32_t j = 0; j < (wave.n + wave.bn - 1) / wave.bn; ++j) {
        // Written so that a NaN fails.
        EXPECT_TRUE(wave.TileError(result, {i, j}) <= wave.Tolerance())
            << "tile (" << i << "," << j << "): " << wave.TileError(result, {i, j});
      }
    }
    EXPECT_TRUE(wave.GapsKept(result));
  }

  kernels::CpuInfo cpu_;
  ManualClock clock_;
  WeightBudget budget_{Bytes(1 << 26)};
  std::unique_ptr<CpuDevice> device_;  // One thread,
  std::unique_ptr<CpuDevice> shared_;  // and four that share the smallest waves.
};

// --------------------------------------------------------------------------------------------- whole waves

TEST_F(CpuDeviceTest, ComputesEveryPairOfTypes) {
  for (const auto& [in, out] : {std::pair(DType::kF32, DType::kF32), std::pair(DType::kBF16, DType::kF32),
                                std::pair(DType::kBF16, DType::kBF16), std::pair(DType::kF16, DType::kF32),
                                std::pair(DType::kF16, DType::kF16)}) {
    SCOPED_TRACE(absl::StrCat(kernels::Name(in), " -> ", kernels::Name(out)));
    CpuWaveCase wave;
    wave.dtype = in;
    wave.c_dtype = out;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, ComputesStridedOperandsAndKeepsTheGapsOfC) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    CpuWaveCase wave;
    wave.dtype = wave.c_dtype = dtype;
    wave.a_gap = 3;
    wave.w_gap = 5;
    wave.c_gap = 7;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, ComputesWithATransposedInlineW) {
  CpuWaveCase wave;
  wave.transposed = true;
  wave.w_gap = 4;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, ComputesWithAStoredW) {
  for (const bool transposed : {false, true}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat(kernels::Name(dtype), transposed ? " transposed" : ""));
      CpuWaveCase wave;
      wave.dtype = dtype;
      wave.transposed = transposed;
      wave.Draw();
      const auto w = Uploaded(wave.w);
      const auto version = BlankVersion(*WeightVersion::Empty(), "", {{"w", w}});
      const std::string result = Run(
          Validated(wave.Request().WTensor("w").Edit([](WaveRequest& r) { r.w.row_stride = 0; }), *version), w.get());
      ExpectRight(wave, result);
    }
  }
}

TEST_F(CpuDeviceTest, AppliesTheWholeEpilogue) {
  for (const ActivationWish activation : {ActivationWish::kIdentity, ActivationWish::kRelu, ActivationWish::kGeluTanh,
                                          ActivationWish::kGeluErf, ActivationWish::kSilu}) {
    SCOPED_TRACE(static_cast<int>(activation));
    CpuWaveCase wave;
    wave.alpha = 0.5f;
    wave.beta = -2;
    wave.with_bias = true;
    wave.activation = activation;
    wave.c_gap = 3;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, AlphaZeroLeavesTheEpilogueAlone) {
  CpuWaveCase wave;
  wave.alpha = 0;
  wave.beta = 1;
  wave.with_bias = true;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, BetaZeroDoesNotReadC) {
  CpuWaveCase wave;
  wave.Draw();  // C is NaN everywhere.
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, WithoutCItStartsAsZeros) {
  CpuWaveCase wave;
  wave.c_gap = 2;
  wave.Draw();
  const std::string result = Run(Validated(
      wave.Request().Edit([](WaveRequest& r) { r.c.source = OperandRequest::Source::kAbsent, r.c.bytes = {}; })));
  wave.c.bytes.assign(wave.c.bytes.size(), '\0');  // What the gaps must hold.
  ExpectRight(wave, result);
}

TEST_F(CpuDeviceTest, PadsPartialTiles) {
  for (const auto& [m, n, k] :
       {std::tuple(1, 1, 8), std::tuple(33, 31, 40), std::tuple(65, 97, 24), std::tuple(31, 64, 8)}) {
    SCOPED_TRACE(absl::StrCat(m, " x ", n, " x ", k));
    CpuWaveCase wave;
    wave.m = m;
    wave.n = n;
    wave.k = k;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, TilesMayBeLargerThanC) {
  CpuWaveCase wave;
  wave.m = 20;
  wave.n = 10;
  wave.bm = wave.bn = 1 << 20;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, TheSmokeWave) {
  CpuWaveCase wave;
  wave.m = wave.n = wave.k = wave.bm = wave.bn = wave.bk = 2;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request().Window(0, 3))));
}

TEST_F(CpuDeviceTest, LongKIsSummedAccurately) {
  CpuWaveCase wave;
  wave.m = wave.n = 16;
  wave.k = 1544;  // Three chunks and a rest.
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

// ------------------------------------------------------------------------------------------------ coverage

TEST_F(CpuDeviceTest, DropKeepsCWhereTilesArePartial) {
  CpuWaveCase wave;  // 4 x 3 tiles, the last row and column partial.
  wave.Draw();
  const Wave validated = Validated(wave.Request().Tails(TailPolicy::kDrop));
  EXPECT_EQ(validated.traversal.dropped, 6);
  const std::string result = Run(validated);
  for (int32_t i = 0; i < 4; ++i) {
    for (int32_t j = 0; j < 3; ++j) {
      const TileCoord tile{i, j};
      if (i == 3 || j == 2) {
        EXPECT_TRUE(wave.Untouched(result, tile)) << i << "," << j;
      } else {
        EXPECT_TRUE(wave.TileError(result, tile) <= wave.Tolerance()) << i << "," << j;
      }
    }
  }
}

TEST_F(CpuDeviceTest, PeelComputesEverything) {
  CpuWaveCase wave;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request().Tails(TailPolicy::kPeel))));
}

TEST_F(CpuDeviceTest, PartialKeepsCWhereNothingIsListed) {
  CpuWaveCase wave;
  wave.Draw();
  const Order listed = {{3, 2}, {0, 1}, {1, 0}};
  const std::string result = Run(Validated(wave.Request().Order(listed).Covers(Coverage::kPartial)));
  for (int32_t i = 0; i < 4; ++i) {
    for (int32_t j = 0; j < 3; ++j) {
      const TileCoord tile{i, j};
      if (std::find(listed.begin(), listed.end(), tile) == listed.end()) {
        EXPECT_TRUE(wave.Untouched(result, tile)) << i << "," << j;
      } else {
        EXPECT_TRUE(wave.TileError(result, tile) <= wave.Tolerance()) << i << "," << j;
      }
    }
  }
}

TEST_F(CpuDeviceTest, TheTraversalDoesNotChangeTheResult) {
  CpuWaveCase wave;
  wave.Draw();
  const std::string row_major = Run(Validated(wave.Request()));
  const std::string swizzled =
      Run(Validated(wave.Request().Edit([](WaveRequest& r) { r.spec.swizzle_group_size = 2; })));
  const std::string listed = Run(Validated(wave.Request().Order({{3, 2}, {0, 0}, {2, 1}})));
  EXPECT_EQ(swizzled, row_major);
  EXPECT_EQ(listed, row_major);
}

// ------------------------------------------------------------------------------------------------- packing

// Rows 0..59 belong to request 1, 60..69 to 2, 70..99 to 3; packed as 3, 1, 2.
void PackRows(WaveRequest& r) {
  r.rows = {{1, 0, 60}, {2, 60, 70}, {3, 70, 100}};
  r.spec.pack_order = {3, 1};
}

TEST_F(CpuDeviceTest, PackedRowsComeBackInTheirOwnOrder) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    CpuWaveCase wave;
    wave.dtype = wave.c_dtype = dtype;
    wave.a_gap = 3;
    wave.c_gap = 5;
    wave.beta = 0.5f;
    wave.with_bias = true;
    wave.Draw();
    const Wave packed = Validated(wave.Request().Edit(PackRows));
    ASSERT_EQ(packed.packed_rows.size(), 100u);
    const std::string result = Run(packed);
    ExpectRight(wave, result);
    EXPECT_EQ(result, Run(Validated(wave.Request()))) << "packing does not change a bit";
  }
}

TEST_F(CpuDeviceTest, TileRowsCountPackedRows) {
  CpuWaveCase wave;
  wave.n = 32;
  wave.Draw();
  // Tile row 0 is packed rows 0..31: request 3's 30 rows, then request 1's first two.
  const std::string result = Run(Validated(wave.Request().Edit(PackRows).Order({{0, 0}}).Covers(Coverage::kPartial)));
  wave.bm = 1;  // From here on one row of C at a time.
  for (int32_t row = 0; row < 100; ++row) {
    EXPECT_EQ(wave.Written(result, {row, 0}), row >= 70 || row < 2) << "row " << row;
    EXPECT_EQ(wave.Untouched(result, {row, 0}), row < 70 && row >= 2) << "row " << row;
    if (row >= 70 || row < 2) {
      EXPECT_TRUE(wave.TileError(result, {row, 0}) <= wave.Tolerance()) << "row " << row;
    }
  }
}

TEST_F(CpuDeviceTest, DroppedTilesOfPackedRowsKeepC) {
  CpuWaveCase wave;
  wave.n = 32;  // Tile row 3, packed rows 96..99, is partial: request 2's last four, rows 66..69.
  wave.Draw();
  const std::string result = Run(Validated(wave.Request().Edit(PackRows).Tails(TailPolicy::kDrop)));
  wave.bm = 1;
  for (int32_t row = 0; row < 100; ++row) {
    EXPECT_EQ(wave.Untouched(result, {row, 0}), row >= 66 && row < 70) << "row " << row;
  }
}

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

// ------------------------------------------------------------------------------------------ what it reports

std::vector<std::string> Downgraded(const EffectiveSpec& effective) {
  std::vector<std::string> fields;
  for (const Downgrade& d : effective.downgrades) fields.push_back(d.field);
  return fields;
}

TEST_F(CpuDeviceTest, DescribesItself) {
  EXPECT_EQ(device_->info().name, "cpu");
  EXPECT_THAT(device_->info().dtypes, ElementsAre(DType::kF32, DType::kF16, DType::kBF16));
  const bool bf16 = kernels::KernelDType(DType::kBF16) == DType::kBF16;
  EXPECT_EQ(device_->info().kernels.size(), bf16 ? 2u : 1u) << "one for each type that it multiplies";
  EXPECT_THAT(device_->info().description, HasSubstr("test"));
}

TEST_F(CpuDeviceTest, NothingIsSilentlyIgnored) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(2, 1).Edit([](WaveRequest& r) {
    r.spec.tmem_columns = 8;
    r.spec.stage_hint = 4;
  }));
  const EffectiveSpec effective = device_->Plan(wave);
  EXPECT_EQ(effective.device, "cpu");
  EXPECT_EQ(effective.kernel, device_->info().kernels[0]);
  EXPECT_EQ(effective.stages, 1);
  EXPECT_EQ(effective.cluster_x, 1);
  EXPECT_EQ(effective.cluster_y, 1);
  EXPECT_TRUE(effective.traversal_honoured);
  EXPECT_THAT(Downgraded(effective), ElementsAre("spec.stage_hint", "spec.cluster_shape", "spec.tmem_layout"));
  for (const Downgrade& d : effective.downgrades) {
    EXPECT_FALSE(d.reason.empty()) << d.field;
    EXPECT_NE(d.requested, d.executed) << d.field;
  }
  EXPECT_EQ(effective.downgrades[0].requested, "4");
  EXPECT_EQ(effective.downgrades[1].requested, "2,1");
  EXPECT_EQ(effective.downgrades[1].executed, "1,1");
}

// What is called short runs on the thread that serves everybody: nothing may be short that has few flops but costs
// much.
TEST_F(CpuDeviceTest, WavesOfFewFlopsMayStillBeLong) {
  const auto time = [&](int32_t tile, int64_t m, int64_t n, int64_t k) {
    return device_->RoughTime(Validated(WaveRequestBuilder().Tile({tile, tile, 8, 1, 1, 1}).Dims(m, n, k)));
  };
  EXPECT_LT(time(128, 1, 64, 128), std::chrono::microseconds(30));
  EXPECT_GT(time(2, 128, 128, 8), std::chrono::milliseconds(4)) << "4,096 tiles";
  EXPECT_GT(time(128, 20000, 1, 8), std::chrono::milliseconds(1)) << "a column is computed as a panel of 64";
  EXPECT_GT(time(128, 1, 4096, 4096), std::chrono::milliseconds(1)) << "its weights come from memory";
}

TEST_F(CpuDeviceTest, AnotherKStepIsTold) {
  const Wave wave = Validated(WaveRequestBuilder().Tile({16, 16, 16, 1, 1, 1}).Dims(16, 16, 1024));
  const EffectiveSpec effective = device_->Plan(wave);
  ASSERT_THAT(Downgraded(effective), ElementsAre("spec.bk"));
  EXPECT_EQ(effective.downgrades[0].requested, "16");
  EXPECT_EQ(effective.downgrades[0].executed, absl::StrCat(effective.k_step));
}

TEST_F(CpuDeviceTest, AWaveAsItLikesHasNoDowngrades) {
  const Wave wave = Validated(WaveRequestBuilder().Tile({16, 16, 64, 1, 1, 1}).Dims(16, 16, 64));
  EXPECT_THAT(Downgraded(device_->Plan(wave)), IsEmpty());
}

TEST_F(CpuDeviceTest, RunReportsWhatPlanPromised) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(1, 2));
  Steps steps;
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok()) << report.status();
  const EffectiveSpec plan = device_->Plan(wave);
  EXPECT_EQ(Downgraded(report->effective), Downgraded(plan));
  EXPECT_EQ(report->effective.k_step, plan.k_step);
  EXPECT_EQ(report->effective.kernel, plan.kernel);
}

TEST_F(CpuDeviceTest, ReadingsWithoutASourceAreAbsent) {
  // Time stands still, so the share of time in the kernel is not known either.
  const Wave wave = Validated(WaveRequestBuilder().Tokens(0, 2));
  Steps steps;
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->readings.wgmma_active.has_value());
  EXPECT_FALSE(report->readings.tma_occ.has_value());
  EXPECT_FALSE(report->readings.ring_occ.has_value());
  ASSERT_TRUE(report->readings.l2_hit.has_value());
  EXPECT_EQ(report->readings.l2_hit->source, Source::kModel);
  EXPECT_GT(report->readings.l2_hit->ratio, 0) << "two tiles of a column share W";
  EXPECT_LT(report->readings.l2_hit->ratio, 1);
}

TEST_F(CpuDeviceTest, TimesItsPhasesByTheClock) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(2, 2));
  Steps steps([&](size_t) {
    clock_.Advance(std::chrono::seconds(10));
    return absl::OkStatus();
  });
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->timings.copy, Duration(0));
  EXPECT_EQ(report->timings.compute, std::chrono::seconds(20));
  ASSERT_TRUE(report->readings.wgmma_active.has_value());
  EXPECT_EQ(report->readings.wgmma_active->source, Source::kKernel);
  EXPECT_GE(report->readings.wgmma_active->ratio, 0);
  EXPECT_LE(report->readings.wgmma_active->ratio, 1);
}

TEST(CpuDeviceCreateTest, WithoutAKnownCacheThereIsNoL2Reading) {
  ManualClock clock;
  kernels::CpuInfo cpu;  // l2_bytes = 0: not known.
  auto device = CpuDevice::Create(cpu, &clock);
  if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
  ASSERT_TRUE(device.ok());
  const WaveValidator validator(TileWhitelist::Default(), false, Limits{});
  const auto wave = validator.Validate(WaveRequestBuilder().Build(), WaveValidator::Mode::kComplete,
                                       *WeightVersion::Empty(), clock.Now());
  ASSERT_TRUE(wave.ok());
  Steps steps;
  std::string c;
  const auto report = (*device)->Run(*wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->readings.l2_hit.has_value());
}

}  // namespace
}  // namespace bwrt::runtime
