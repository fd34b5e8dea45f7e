#include "runtime/wave_validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/runtime/validated_wave.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// ------------------------------------------------------------------------------------------ accepted waves

TEST(WaveValidatorTest, APlainWaveComesThrough) {
  const Wave wave = Accepted(Valid());
  EXPECT_EQ(wave.model, "default");
  EXPECT_EQ(wave.tile, (TileShape{128, 128, 64, 2, 2, 1}));
  EXPECT_FALSE(wave.tolerated);
  EXPECT_EQ(wave.stages, 2);
  EXPECT_EQ(wave.grid.tiles(), 1);
  EXPECT_EQ(wave.k, 64);
  EXPECT_EQ(wave.tokens, (TokenPlan{0, 1}));
  EXPECT_EQ(wave.window, (SwapWindow{0, 1}));
  EXPECT_EQ(wave.dtype, kernels::DType::kF32);
  EXPECT_EQ(wave.c_dtype, kernels::DType::kF32);
  EXPECT_EQ(wave.a.rows, 128);
  EXPECT_EQ(wave.a.cols, 64);
  EXPECT_EQ(wave.a.row_stride, 64);
  ASSERT_TRUE(wave.w.has_value());
  EXPECT_EQ(wave.w->rows, 64);
  EXPECT_EQ(wave.w->cols, 128);
  EXPECT_EQ(wave.c, "");
  EXPECT_EQ(wave.c_stride, 128);
  EXPECT_EQ(wave.c_bytes, Bytes(128 * 128 * 4));
  EXPECT_EQ(wave.alpha, 1);
  EXPECT_EQ(wave.beta, 0);
  EXPECT_EQ(wave.activation, kernels::Activation::kIdentity);
  EXPECT_EQ(wave.required_version, Version());
  EXPECT_FALSE(wave.deadline.has_value());
  EXPECT_EQ(wave.held_bytes, Bytes((128 * 64 + 64 * 128 + 128 * 128) * 4));
  EXPECT_NE(wave.owner, nullptr) << "keeps the operands alive";
}

TEST(WaveValidatorTest, EveryFieldArrives) {
  const Wave wave = Accepted(Valid()
                                 .Id("wave", "me")
                                 .Model("team/m")
                                 .Tile({128, 128, 128, 3, 2, 1})
                                 .Dims(200, 300, 160)
                                 .Tokens(2, 3)
                                 .Dims(200, 300, 160)
                                 .Window(2, 8)
                                 .Tails(TailPolicy::kPeel)
                                 .DType(DTypeWish::kBF16)
                                 .CDType(DTypeWish::kBF16)
                                 .Transposed()
                                 .C(std::string(((200 - 1) * 310 + 300) * 2, 'c'), 310)
                                 .Alpha(2)
                                 .Beta(0.5f)
                                 .Bias(std::vector<float>(300, 1.0f))
                                 .Activates(ActivationWish::kSilu)
                                 .Priority(-7)
                                 .RequiresVersion(9)
                                 .Edit([](WaveRequest& r) {
                                   r.spec.stage_hint = 8;
                                   r.spec.tmem_columns = 8;
                                   r.spec.pack_order = {3, 1, 3, kMaxId};
                                   r.spec.swizzle_group_size = 2;
                                 }));
  EXPECT_EQ(wave.wave_id, "wave");
  EXPECT_EQ(wave.client_id, "me");
  EXPECT_EQ(wave.model, "team/m");
  EXPECT_EQ(wave.stages, 8);
  EXPECT_TRUE(wave.tmem_hints);
  EXPECT_EQ(wave.grid.rows(), 2);
  EXPECT_EQ(wave.grid.cols(), 3);
  EXPECT_EQ(wave.tails, TailPolicy::kPeel);
  EXPECT_EQ(wave.tokens, (TokenPlan{2, 6}));
  EXPECT_EQ(wave.io_extents.size(), 2u);
  EXPECT_EQ(wave.window, (SwapWindow{2, 8}));
  EXPECT_EQ(wave.dtype, kernels::DType::kBF16);
  EXPECT_EQ(wave.c_dtype, kernels::DType::kBF16);
  EXPECT_TRUE(wave.w_transposed);
  EXPECT_EQ(wave.w->rows, 300);
  EXPECT_EQ(wave.w->cols, 160);
  EXPECT_EQ(wave.c_stride, 310);
  EXPECT_EQ(wave.c_bytes.value(), static_cast<int64_t>(wave.c.size()));
  EXPECT_EQ(wave.alpha, 2);
  EXPECT_EQ(wave.beta, 0.5f);
  EXPECT_EQ(wave.bias.size(), 300u);
  EXPECT_EQ(wave.activation, kernels::Activation::kSilu);
  EXPECT_EQ(wave.priority, -7);
  EXPECT_EQ(wave.required_version, Version(9));
  // Row 0 whole but for its last column, then the partial tiles.
  EXPECT_THAT(wave.traversal.order, ElementsAre(TileCoord{0, 0}, TileCoord{0, 1}, TileCoord{1, 0}, TileCoord{1, 1},
                                                TileCoord{0, 2}, TileCoord{1, 2}));
}

TEST(WaveValidatorTest, ZeroMeansOneForClusterAndStages) {
  const auto list = TileWhitelist::Parse("128,128,64,1,1,1");
  ASSERT_TRUE(list.ok());
  const WaveValidator validator(*list, /*lenient=*/false, Limits{});
  const auto wave =
      validator.Validate(Valid().Tile({128, 128, 64, 0, 0, 0}).Build(), Mode::kComplete, *Weights(), kNow);
  ASSERT_TRUE(wave.ok()) << wave.status();
  EXPECT_EQ(wave->tile, (TileShape{128, 128, 64, 1, 1, 1}));
  EXPECT_EQ(wave->stages, 1);
}

TEST(WaveValidatorTest, KNeedNotBeAMultipleOfBk) { Accepted(Valid().Dims(128, 128, 72)); }

TEST(WaveValidatorTest, StagesHintDoesNotTouchTheWhitelist) {
  const Wave wave = Accepted(Valid().Edit([](WaveRequest& r) { r.spec.stage_hint = 5; }));
  EXPECT_EQ(wave.stages, 5);
  EXPECT_EQ(wave.tile.stage, 2);
}

TEST(WaveValidatorTest, EmptyExtentsAreWrittenWithTheEndBelowTheStart) {
  const Wave wave = Accepted(Valid().Edit([](WaveRequest& r) {
    r.spec.io_extents = {{"l", 0, -1}, {"l", 5, 4}, {"l", kMaxId, kMaxId}};
  }));
  EXPECT_EQ(wave.tokens, (TokenPlan{3, 1})) << "each still owns a token";
}

TEST(WaveValidatorTest, WindowsMayLieBeyondTheLastToken) { Accepted(Valid().Window(kHuge32 - 1, kHuge32)); }

TEST(WaveValidatorTest, StridedOperandsEndWithTheLastRow) {
  const Wave wave = Accepted(Valid()
                                 .A(std::string((127 * 70 + 64) * 4, 'a'), 70)
                                 .W(std::string((63 * 200 + 128) * 4, 'w'), 200)
                                 .C(std::string((127 * 129 + 128) * 4, 'c'), 129));
  EXPECT_EQ(wave.a.row_stride, 70);
  EXPECT_EQ(wave.w->row_stride, 200);
  EXPECT_EQ(wave.c_stride, 129);
  EXPECT_EQ(wave.c_bytes, Bytes((127 * 129 + 128) * 4));
}

TEST(WaveValidatorTest, AStrideWithoutCShapesTheResult) {
  const Wave wave = Accepted(Valid().Edit([](WaveRequest& r) { r.c.row_stride = 200; }));
  EXPECT_EQ(wave.c_stride, 200);
  EXPECT_EQ(wave.c_bytes, Bytes((127 * 200 + 128) * 4));
}

TEST(WaveValidatorTest, AStrideOfASingleRowHasNoGaps) {
  const Wave wave = Accepted(Valid().Dims(1, 128, 64).Edit([](WaveRequest& r) { r.c.row_stride = kHuge; }));
  EXPECT_EQ(wave.c_bytes, Bytes(128 * 4));
}

// ------------------------------------------------------------------------------------------------- lenient

// The planner handoff's smoke wave.
TEST(WaveValidatorTest, LenientRunsTheSmokeWave) {
  const auto smoke = Valid().Tile({2, 2, 2, 0, 0, 0}).Dims(2, 2, 2).Window(0, 3);
  EXPECT_THAT(ViolationsOf(Check(smoke)), ElementsAre(Pair("k", "K_GRANULARITY"), Pair("spec.bk", "K_GRANULARITY"),
                                                      Pair("spec.bm", "TILE_SHAPE_UNLISTED")));
  const Wave wave = Accepted(smoke, /*lenient=*/true);
  EXPECT_TRUE(wave.tolerated) << "the result has to say so";
  EXPECT_EQ(wave.tile, (TileShape{2, 2, 2, 1, 1, 1}));
  EXPECT_EQ(wave.window, (SwapWindow{0, 3}));
}

TEST(WaveValidatorTest, LenientStillKnowsWhatIsListed) { EXPECT_FALSE(Accepted(Valid(), /*lenient=*/true).tolerated); }

TEST(WaveValidatorTest, LenientIsNotLenientAboutTheRest) {
  EXPECT_THAT(ViolationsOf(CheckLenient(Valid().Tile({0, 2, 2, 1, 1, 1}).Window(3, 3))),
              ElementsAre(Pair("spec.bm", "DIM_OUT_OF_RANGE"), Pair("spec.swap_end", "SWAP_WINDOW")));
}

// -------------------------------------------------------------------------------------------------- digest

TEST(WaveValidatorTest, TheRightDigestPasses) {
  Accepted(Valid().Edit([](WaveRequest& r) { r.whitelist_digest = TileWhitelist::Default().digest(); }));
}

TEST(WaveValidatorTest, AnotherDigestComesFirstAndNamesBoth) {
  const absl::Status status =
      Check(Valid().Alpha(kNaN).Edit([](WaveRequest& r) { r.whitelist_digest = "sha256:00ff"; }));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "WHITELIST_MISMATCH");
  EXPECT_EQ(MetadataOf(status, "planned"), "sha256:00ff");
  EXPECT_EQ(MetadataOf(status, "daemon"), TileWhitelist::Default().digest());
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"sha256:00ff\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr(TileWhitelist::Default().digest()));
}

TEST(WaveValidatorTest, AHugeDigestIsNotEchoed) {
  const absl::Status status = Check(Valid().Edit([](WaveRequest& r) { r.whitelist_digest.assign(1 << 20, '\n'); }));
  EXPECT_EQ(GetReason(status), "WHITELIST_MISMATCH");
  EXPECT_LT(status.message().size(), 1000u);
  EXPECT_LT(MetadataOf(status, "planned").size(), 1000u);
}

// --------------------------------------------------------------------------------------------------- modes

TEST(WaveValidatorTest, DryModeLetsOperandsBeLeftOut) {
  const auto bare = Valid().Beta(2).Edit([](WaveRequest& r) { r.a = r.w = r.c = {}; });
  EXPECT_TRUE(Check(bare, Mode::kDry).ok()) << Check(bare, Mode::kDry);
  EXPECT_THAT(ViolationsOf(Check(bare)),
              ElementsAre(Pair("beta", "BETA_WITHOUT_C"), Pair("a", "MISSING"), Pair("w", "MISSING")));
}

TEST(WaveValidatorTest, DryModeChecksStridesOfAbsentOperands) {
  EXPECT_THAT(ViolationsOf(Check(Valid().Edit([](WaveRequest& r) {
                r.a = r.w = {};
                r.a.row_stride = 1;
                r.w.row_stride = kHuge;
              }),
                                 Mode::kDry)),
              ElementsAre(Pair("a.row_stride", "STRIDE"), Pair("w.row_stride", "STRIDE")));
}

// ----------------------------------------------------------------------------------------------- deadlines

TEST(WaveValidatorTest, TheEarlierOfTimeoutAndDeadlineCounts) {
  EXPECT_EQ(Accepted(Valid().Timeout(seconds(5))).deadline, kNow + seconds(5));
  EXPECT_EQ(Accepted(Valid().Deadline(kNow + seconds(3))).deadline, kNow + seconds(3));
  EXPECT_EQ(Accepted(Valid().Timeout(seconds(5)).Deadline(kNow + seconds(3))).deadline, kNow + seconds(3));
  EXPECT_EQ(Accepted(Valid().Timeout(seconds(2)).Deadline(kNow + seconds(3))).deadline, kNow + seconds(2));
}

TEST(WaveValidatorTest, ATimeoutBeyondTheClockIsNone) {
  EXPECT_FALSE(Accepted(Valid().Timeout(Duration::max())).deadline.has_value());
  EXPECT_EQ(Accepted(Valid().Timeout(Duration::max()).Deadline(kNow + seconds(3))).deadline, kNow + seconds(3));
}

// --------------------------------------------------------------------------------------------- model names

TEST(ModelNameTest, EmptyMeansDefault) {
  EXPECT_EQ(ModelName(""), "default");
  EXPECT_EQ(ModelName("m"), "m");
}

TEST(ModelNameTest, Alphabet) {
  for (const char* name : {"m", "0", "Llama-3.1_8b/lora", "a/../b", "a."}) EXPECT_TRUE(IsModelName(name)) << name;
  for (const char* name : {"", "-m", ".m", "/m", "_m", "a b", "a\n", "m\xc3\xa9", "a:b", "a*"}) {
    EXPECT_FALSE(IsModelName(name)) << name;
  }
  EXPECT_TRUE(IsModelName(std::string(128, 'm')));
  EXPECT_FALSE(IsModelName(std::string(129, 'm')));
  EXPECT_FALSE(IsModelName(absl::string_view("a\0", 2)));
}

}  // namespace
}  // namespace bwrt::runtime
