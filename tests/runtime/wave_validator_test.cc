#include "runtime/wave_validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/blank_version.h"
#include "tests/support/error_details.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {

void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

namespace {

using Mode = WaveValidator::Mode;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr Time kNow{hours(1000)};
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr int32_t kHuge32 = std::numeric_limits<int32_t>::max();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

WeightVersion::Ptr Weights() {
  const auto tensor = [](ElementType dtype, std::vector<int64_t> shape) {
    return std::make_shared<BlankTensor>(TensorType{dtype, std::move(shape)});
  };
  return BlankVersion(*WeightVersion::Empty(), "v",
                      {{"f32", tensor(kernels::DType::kF32, {64, 128})},
                       {"f32_t", tensor(kernels::DType::kF32, {128, 64})},
                       {"bf16", tensor(kernels::DType::kBF16, {64, 128})},
                       {"f16", tensor(kernels::DType::kF16, {64, 128})},
                       {"i8", tensor(*ElementType::FromWire(ElementType::kI8), {64, 128})},
                       {"flat", tensor(kernels::DType::kF32, {64 * 128})}});
}

absl::StatusOr<Wave> Validate(const WaveRequestBuilder& request, Mode mode = Mode::kComplete, bool lenient = false,
                              const Limits& limits = {}) {
  const WaveValidator validator(TileWhitelist::Default(), lenient, limits);
  return validator.Validate(request.Build(), mode, *Weights(), kNow);
}

absl::Status Check(const WaveRequestBuilder& request, Mode mode = Mode::kComplete) {
  return Validate(request, mode).status();
}

absl::Status CheckLenient(const WaveRequestBuilder& request) {
  return Validate(request, Mode::kComplete, /*lenient=*/true).status();
}

Wave Accepted(const WaveRequestBuilder& request, bool lenient = false) {
  auto wave = Validate(request, Mode::kComplete, lenient);
  EXPECT_TRUE(wave.ok()) << wave.status();
  return wave.ok() ? *std::move(wave) : Wave{};
}

WaveRequestBuilder Valid() { return WaveRequestBuilder(); }

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

// ---------------------------------------------------------------------------------------------- traversals

TEST(WaveValidatorTest, ATruncatedSnakeIsCompleted) {
  const Wave wave = Accepted(Valid().Tokens(5, 1).Grid(2, 3).Order({{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}}));
  EXPECT_THAT(wave.traversal.order, ElementsAre(TileCoord{0, 0}, TileCoord{0, 1}, TileCoord{0, 2}, TileCoord{1, 2},
                                                TileCoord{1, 1}, TileCoord{1, 0}));
  EXPECT_EQ(wave.tokens, (TokenPlan{5, 5})) << "the appended tile owns no token";
}

TEST(WaveValidatorTest, FlatAndListedOrdersMeanTheSame) {
  const std::vector<TileCoord> order = {{1, 2}, {0, 0}, {1, 0}};
  const std::vector<uint32_t> flat = {(1u << 16) | 2, 0, 1u << 16};
  const auto run = [](const WaveRequestBuilder& b) { return Accepted(b).traversal.order; };
  EXPECT_EQ(run(Valid().Grid(2, 3).Flat(flat)), run(Valid().Grid(2, 3).Order(order)));
  EXPECT_EQ(run(Valid().Grid(2, 3).Flat(flat).Order(order)), run(Valid().Grid(2, 3).Order(order)));
}

TEST(WaveValidatorTest, FlatAndListedOrdersMustAgree) {
  const absl::Status other = Check(Valid().Grid(2, 3).Order({{0, 0}, {1, 2}}).Flat({0, (1u << 16) | 1}));
  EXPECT_THAT(ViolationsOf(other), ElementsAre(Pair("spec.tile_order_flat[1]", "TRAVERSALS_DIFFER")));
  EXPECT_THAT(DescriptionOf(other, "spec.tile_order_flat[1]"),
              StartsWith("spec.tile_order_flat[1]=65537: tile_order[1] is (1,2)"));

  const absl::Status fewer = Check(Valid().Grid(2, 3).Order({{0, 0}, {1, 2}}).Flat({0}));
  EXPECT_THAT(ViolationsOf(fewer), ElementsAre(Pair("spec.tile_order_flat", "TRAVERSALS_DIFFER")));
}

TEST(WaveValidatorTest, TilesOutsideTheGridAreNamedByCoordinate) {
  const absl::Status status =
      Check(Valid().Grid(2, 3).Order({{0, 0}, {2, 0}, {0, 3}, {-1, -1}, {1, 2}, {kHuge32, kHuge32}}));
  EXPECT_THAT(
      ViolationsOf(status),
      ElementsAre(Pair("spec.tile_order[1].m", "TILE_OUTSIDE_GRID"), Pair("spec.tile_order[2].n", "TILE_OUTSIDE_GRID"),
                  Pair("spec.tile_order[3].m", "TILE_OUTSIDE_GRID"), Pair("spec.tile_order[3].n", "TILE_OUTSIDE_GRID"),
                  Pair("spec.tile_order[5].m", "TILE_OUTSIDE_GRID"),
                  Pair("spec.tile_order[5].n", "TILE_OUTSIDE_GRID")));
  EXPECT_EQ(DescriptionOf(status, "spec.tile_order[1].m"),
            "spec.tile_order[1].m=2: the grid has 2 tile rows (m=256, bm=128), so this must lie in [0, 1]");
}

TEST(WaveValidatorTest, FlatTilesOutsideTheGridAreNamedByIndex) {
  EXPECT_THAT(ViolationsOf(Check(Valid().Grid(2, 3).Flat({0, 2u << 16, 4294967295u}))),
              ElementsAre(Pair("spec.tile_order_flat[1]", "TILE_OUTSIDE_GRID"),
                          Pair("spec.tile_order_flat[2]", "TILE_OUTSIDE_GRID"),
                          Pair("spec.tile_order_flat[2]", "TILE_OUTSIDE_GRID")));
}

TEST(WaveValidatorTest, RepeatedTilesAreNamed) {
  EXPECT_THAT(ViolationsOf(Check(Valid().Grid(2, 2).Order({{0, 1}, {1, 1}, {0, 1}, {0, 1}}))),
              ElementsAre(Pair("spec.tile_order[2]", "TILE_REPEATED"), Pair("spec.tile_order[3]", "TILE_REPEATED")));
  EXPECT_THAT(ViolationsOf(Check(Valid().Grid(2, 2).Flat({1, 1}))),
              ElementsAre(Pair("spec.tile_order_flat[1]", "TILE_REPEATED")));
}

TEST(WaveValidatorTest, ExactNeedsEveryTile) {
  const absl::Status status = Check(Valid().Grid(2, 3).Order({{0, 0}, {1, 1}}).Covers(Coverage::kExact));
  EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair("coverage", "COVERAGE_INCOMPLETE")));
  EXPECT_THAT(DescriptionOf(status, "coverage"), StartsWith("coverage=EXACT: the order lists 2 of 6 tiles"));
  Accepted(Valid().Grid(1, 2).Order({{0, 1}, {0, 0}}).Covers(Coverage::kExact));
  Accepted(Valid().Grid(2, 3).Covers(Coverage::kExact));  // A synthesized order is whole.
}

TEST(WaveValidatorTest, PartialTakesWhatIsListed) {
  const Wave wave = Accepted(Valid().Grid(2, 3).Order({{1, 1}}).Covers(Coverage::kPartial));
  EXPECT_EQ(wave.traversal.omitted, 5);
  EXPECT_EQ(wave.tokens, (TokenPlan{0, 1}));
}

// ---------------------------------------------------------------------------------------------- violations

OperandRequest Stored(std::string tensor) {
  OperandRequest operand;
  operand.source = OperandRequest::Source::kTensor;
  operand.tensor = std::move(tensor);
  return operand;
}

struct BadWave {
  const char* name;
  WaveRequestBuilder request;
  std::string field;
  std::string reason;
  std::string description;  // Some of it.
};

std::vector<BadWave> BadWaves() {
  const auto edit = [](std::function<void(WaveRequest&)> e) { return Valid().Edit(std::move(e)); };
  return {
      // Names.
      {"model name", Valid().Model("no spaces"), "model", "MODEL_NAME", "model=\"no spaces\": use 1 to 128"},
      {"model of control characters", Valid().Model("a\n"), "model", "MODEL_NAME", R"(model="a\n")"},
      {"long model name", Valid().Model(std::string(129, 'm')), "model", "MODEL_NAME", "..."},
      {"long client_id", Valid().Id("w", std::string(65, 'c')), "client_id", "TOO_LONG",
       "client_id=65 bytes: at most 64"},
      {"long wave_id", Valid().Id(std::string(129, 'w')), "wave_id", "TOO_LONG", "wave_id=129 bytes: at most 128"},
      {"wave_id of nobody", Valid().Id("w", ""), "client_id", "MISSING", "a wave_id needs the client_id"},
      // Scalars.
      {"alpha NaN", Valid().Alpha(kNaN), "alpha", "NOT_FINITE", "alpha=nan"},
      {"alpha infinite", Valid().Alpha(-kInfinity), "alpha", "NOT_FINITE", "alpha=-inf"},
      {"beta NaN", Valid().Beta(kNaN), "beta", "NOT_FINITE", "beta=nan"},
      {"beta infinite", Valid().Beta(kInfinity), "beta", "NOT_FINITE", "beta=inf"},
      {"beta without C", Valid().Beta(1), "beta", "BETA_WITHOUT_C", "beta=1: needs c"},
      {"priority too high", Valid().Priority(101), "priority", "OUT_OF_RANGE", "priority=101: must lie in [-100, 100]"},
      {"priority too low", Valid().Priority(-101), "priority", "OUT_OF_RANGE", "priority=-101"},
      {"no time at all", Valid().Timeout(Duration(0)), "timeout", "OUT_OF_RANGE", "timeout=0s: must be positive"},
      {"negative timeout", Valid().Timeout(seconds(-2)), "timeout", "OUT_OF_RANGE", "timeout=-2s"},
      {"unknown activation", Valid().Activates(static_cast<ActivationWish>(5)), "activation", "UNKNOWN_VALUE",
       "activation=5"},
      {"negative activation", Valid().Activates(static_cast<ActivationWish>(-1)), "activation", "UNKNOWN_VALUE",
       "activation=-1"},
      {"unknown coverage", Valid().Covers(static_cast<Coverage>(3)), "coverage", "UNKNOWN_VALUE", "coverage=3"},
      {"unknown tails", Valid().Tails(static_cast<TailPolicy>(3)), "spec.tail_policy", "UNKNOWN_VALUE",
       "spec.tail_policy=3"},
      // Types.
      {"unknown dtype", edit([](auto& r) { r.spec.dtype = static_cast<DTypeWish>(4); }), "spec.dtype", "UNKNOWN_DTYPE",
       "spec.dtype=4: not a dtype this daemon computes with; use F32, F16 or BF16"},
      {"negative dtype", edit([](auto& r) { r.spec.dtype = static_cast<DTypeWish>(-1); }), "spec.dtype",
       "UNKNOWN_DTYPE", "spec.dtype=-1"},
      {"unknown c_dtype", Valid().CDType(static_cast<DTypeWish>(77)), "c_dtype", "UNKNOWN_DTYPE", "c_dtype=77"},
      {"c_dtype of neither", Valid().DType(DTypeWish::kF16).CDType(DTypeWish::kBF16), "c_dtype", "C_DTYPE",
       "c_dtype=bf16: must be f32 or the dtype of A and W (f16)"},
      {"narrow C of f32", Valid().CDType(DTypeWish::kF16), "c_dtype", "C_DTYPE", "c_dtype=f16"},
      // Dimensions.
      {"m zero", edit([](auto& r) { r.m = 0; }), "m", "DIM_OUT_OF_RANGE", "m=0: must lie in [1, 16777216]"},
      {"m negative", edit([](auto& r) { r.m = -128; }), "m", "DIM_OUT_OF_RANGE", "m=-128"},
      {"m huge", edit([](auto& r) { r.m = kHuge; }), "m", "DIM_OUT_OF_RANGE", "m=9223372036854775807"},
      {"n zero", edit([](auto& r) { r.n = 0; }), "n", "DIM_OUT_OF_RANGE", "n=0"},
      {"n least", edit([](auto& r) { r.n = std::numeric_limits<int64_t>::min(); }), "n", "DIM_OUT_OF_RANGE",
       "n=-9223372036854775808"},
      {"k zero", edit([](auto& r) { r.k = 0; }), "k", "DIM_OUT_OF_RANGE", "k=0"},
      {"k one too large", edit([](auto& r) { r.k = (1 << 24) + 1; }), "k", "DIM_OUT_OF_RANGE", "k=16777217"},
      {"K not granular, f32", Valid().Dims(128, 128, 65), "k", "K_GRANULARITY",
       "k=65: K granularity needs k * 4 bytes (f32) to be a multiple of 32; try k=72"},
      {"K not granular, bf16", Valid().DType(DTypeWish::kBF16).Dims(128, 128, 72), "k", "K_GRANULARITY",
       "k=72: K granularity needs k * 2 bytes (bf16) to be a multiple of 32; try k=80"},
      // Tile shape.
      {"unlisted", Valid().Tile({128, 192, 64, 2, 2, 1}), "spec.bm", "TILE_SHAPE_UNLISTED",
       "tile shape (128,192,64,2,(2,1)) (bm,bn,bk,stage_n,(cluster)) is not in the whitelist; nearest listed: "
       "(128,256,64,2,(2,1))"},
      {"unlisted cluster", Valid().Tile({128, 128, 64, 2, 1, 1}), "spec.bm", "TILE_SHAPE_UNLISTED",
       "(128,128,64,2,(1,1))"},
      {"unlisted stages", Valid().Tile({128, 128, 64, 0, 2, 1}), "spec.bm", "TILE_SHAPE_UNLISTED",
       "(128,128,64,1,(2,1))"},
      {"bm zero", Valid().Tile({0, 128, 64, 2, 2, 1}), "spec.bm", "DIM_OUT_OF_RANGE", "spec.bm=0"},
      {"bn negative", Valid().Tile({128, -1, 64, 2, 2, 1}), "spec.bn", "DIM_OUT_OF_RANGE", "spec.bn=-1"},
      {"bk huge", Valid().Tile({128, 128, kHuge32, 2, 2, 1}), "spec.bk", "DIM_OUT_OF_RANGE", "spec.bk=2147483647"},
      {"cluster negative", Valid().Tile({128, 128, 64, 2, -2, 1}), "spec.cluster_shape.x", "NEGATIVE",
       "spec.cluster_shape.x=-2: must be at least 0"},
      {"cluster y negative", Valid().Tile({128, 128, 64, 2, 2, -1}), "spec.cluster_shape.y", "NEGATIVE", "=-1"},
      {"tmem columns", edit([](auto& r) { r.spec.tmem_columns = -1; }), "spec.tmem_layout.columns", "NEGATIVE", "=-1"},
      {"tmem phases", edit([](auto& r) { r.spec.tmem_phases = -5; }), "spec.tmem_layout.phases", "NEGATIVE", "=-5"},
      {"stage_n", Valid().Tile({128, 128, 64, 9, 2, 1}), "spec.tmem_layout.stage_n", "STAGES",
       "=9: must lie in [1, 8], or 0"},
      {"stage_n negative", Valid().Tile({128, 128, 64, -2, 2, 1}), "spec.tmem_layout.stage_n", "STAGES", "=-2"},
      {"stage_hint", edit([](auto& r) { r.spec.stage_hint = 9; }), "spec.stage_hint", "STAGES", "=9"},
      {"stage_hint negative", edit([](auto& r) { r.spec.stage_hint = -1; }), "spec.stage_hint", "STAGES", "=-1"},
      // Window.
      {"window begins below 0", Valid().Window(-1, 4), "spec.swap_begin", "SWAP_WINDOW",
       "spec.swap_begin=-1: must be at least 0"},
      {"window empty", Valid().Window(4, 4), "spec.swap_end", "SWAP_WINDOW",
       "spec.swap_end=4: must be greater than swap_begin=4"},
      {"window backwards", Valid().Window(4, 2), "spec.swap_end", "SWAP_WINDOW", "spec.swap_end=2"},
      {"window left out", Valid().Window(0, 0), "spec.swap_end", "SWAP_WINDOW", "spec.swap_end=0"},
      // Ids.
      {"pack id negative", edit([](auto& r) {
         r.spec.pack_order = {1, -1};
       }),
       "spec.pack_order[1]", "ID_OUT_OF_RANGE", "spec.pack_order[1]=-1"},
      {"pack id beyond int32", edit([](auto& r) { r.spec.pack_order = {int64_t{1} << 31}; }), "spec.pack_order[0]",
       "ID_OUT_OF_RANGE", "spec.pack_order[0]=2147483648: must lie in [0, 2147483647]"},
      {"page beyond int32", edit([](auto& r) {
         r.spec.io_extents = {{"l", int64_t{1} << 32, 5}};
       }),
       "spec.io_extents[0].start_pid", "ID_OUT_OF_RANGE", "=4294967296"},
      {"page negative", edit([](auto& r) {
         r.spec.io_extents = {{"l", -1, 5}};
       }),
       "spec.io_extents[0].start_pid", "ID_OUT_OF_RANGE", "=-1"},
      {"last page negative", edit([](auto& r) {
         r.spec.io_extents = {{"l", 0, 1}, {"l", 0, -2}};
       }),
       "spec.io_extents[1].end_pid", "ID_OUT_OF_RANGE", "spec.io_extents[1].end_pid=-2"},
      {"last page huge", edit([](auto& r) {
         r.spec.io_extents = {{"l", 0, kHuge}};
       }),
       "spec.io_extents[0].end_pid", "ID_OUT_OF_RANGE", "=9223372036854775807"},
      {"layer missing", edit([](auto& r) {
         r.spec.io_extents = {{"", 0, 1}};
       }),
       "spec.io_extents[0].layer", "LAYER_NAME", "spec.io_extents[0].layer=\"\""},
      {"layer long", edit([](auto& r) {
         r.spec.io_extents = {{std::string(129, 'l'), 0, 1}};
       }),
       "spec.io_extents[0].layer", "LAYER_NAME", "use 1 to 128 bytes"},
      {"layer unprintable", edit([](auto& r) {
         r.spec.io_extents = {{"a\x01", 0, 1}};
       }),
       "spec.io_extents[0].layer", "LAYER_NAME", R"("a\x01")"},
      // Operands.
      {"a missing", edit([](auto& r) { r.a = {}; }), "a", "MISSING", "a=(none): required: give its bytes inline"},
      {"w missing", edit([](auto& r) { r.w = {}; }), "w", "MISSING", "or name a tensor"},
      {"a short", Valid().A(std::string(128 * 64 * 4 - 1, 'a')), "a.inline", "OPERAND_SIZE",
       "a.inline=32767 bytes: 128 x 64 f32 with row_stride 64 needs exactly 32768 bytes"},
      {"a long", Valid().A(std::string(128 * 64 * 4 + 4, 'a')), "a.inline", "OPERAND_SIZE", "a.inline=32772 bytes"},
      {"a empty", Valid().A(""), "a.inline", "OPERAND_SIZE", "a.inline=0 bytes"},
      {"a with a full last row", Valid().A(std::string(128 * 70 * 4, 'a'), 70), "a.inline", "OPERAND_SIZE",
       "needs exactly 35816 bytes"},
      {"w of another type", Valid().DType(DTypeWish::kBF16).W(std::string(64 * 128 * 4, 'w')), "w.inline",
       "OPERAND_SIZE", "64 x 128 bf16"},
      {"w transposed", Valid().Dims(128, 256, 64).Transposed().W(std::string(4, 'w')), "w.inline", "OPERAND_SIZE",
       "256 x 64 f32"},
      {"c short", Valid().C("1234"), "c.inline", "OPERAND_SIZE", "c.inline=4 bytes: 128 x 128 f32"},
      {"c of another type", Valid().DType(DTypeWish::kBF16).CDType(DTypeWish::kBF16).C(std::string(128 * 128 * 4, 'c')),
       "c.inline", "OPERAND_SIZE", "128 x 128 bf16"},
      {"a stride too small", Valid().A("", 63), "a.row_stride", "STRIDE",
       "a.row_stride=63: must be 0 (packed) or at least the 64 columns of a"},
      {"a stride negative", edit([](auto& r) { r.a.row_stride = -64; }), "a.row_stride", "STRIDE", "a.row_stride=-64"},
      {"w stride too small", Valid().W("", 127), "w.row_stride", "STRIDE", "w.row_stride=127"},
      {"w transposed stride", Valid().Transposed().W("", 63), "w.row_stride", "STRIDE", "the 64 columns of w"},
      {"c stride negative", edit([](auto& r) { r.c.row_stride = -1; }), "c.row_stride", "STRIDE", "c.row_stride=-1"},
      {"a stride overflows", edit([](auto& r) { r.a.row_stride = kHuge; }), "a.row_stride", "STRIDE",
       "larger than any memory"},
      {"a stride overflows in bytes", edit([](auto& r) { r.a.row_stride = kHuge / 127 - 1; }), "a.row_stride", "STRIDE",
       "with 128 rows the matrix is larger than any memory"},
      {"w stride overflows to little", edit([](auto& r) { r.w.row_stride = int64_t{1} << 62; }), "w.row_stride",
       "STRIDE", "larger than any memory"},
      {"c stride overflows", edit([](auto& r) { r.c.row_stride = kHuge; }), "c.row_stride", "STRIDE",
       "larger than any memory"},
      {"result too large", edit([](auto& r) { r.c.row_stride = int64_t{1} << 30; }), "c", "RESULT_SIZE",
       "a result may have at most 67108864 bytes"},
      {"a as a tensor", edit([](auto& r) { r.a = Stored("f32"); }), "a.tensor", "OPERAND_SOURCE",
       "a.tensor=\"f32\": only w can name a tensor"},
      {"c as a tensor", edit([](auto& r) { r.c = Stored("f32"); }), "c.tensor", "OPERAND_SOURCE", "c.tensor=\"f32\""},
      {"tensor without a name", Valid().WTensor(""), "w.tensor", "TENSOR_NAME", "w.tensor=\"\": use 1 to 512 bytes"},
      {"tensor name too long", Valid().WTensor(std::string(513, 't')), "w.tensor", "TENSOR_NAME", "use 1 to 512 bytes"},
      {"tensor with a stride", Valid().WTensor("f32").W("", 128), "w.row_stride", "STRIDE", "must be 0 for a tensor"},
      {"bias short", Valid().Bias({1, 2, 3}), "bias", "BIAS_SIZE", "bias=3 values: must have n=128 values, or none"},
      {"bias long", Valid().Bias(std::vector<float>(129)), "bias", "BIAS_SIZE", "bias=129 values"},
  };
}

TEST(WaveValidatorTest, EachViolationIsNamedAlone) {
  for (const BadWave& bad : BadWaves()) {
    const absl::Status status = Check(bad.request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.name << ": " << status;
    EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair(bad.field, bad.reason))) << bad.name << ": " << status;
    EXPECT_THAT(DescriptionOf(status, bad.field), HasSubstr(bad.description)) << bad.name;
    EXPECT_THAT(DescriptionOf(status, bad.field), StartsWith(absl::StrCat(bad.field, "="))) << bad.name;
    EXPECT_EQ(GetReason(status), bad.reason) << bad.name;
  }
}

// The example of the design page, word for word.
TEST(WaveValidatorTest, GranularityReadsAsDesigned) {
  const absl::Status status = Check(Valid().DType(DTypeWish::kBF16).Tile({128, 128, 24, 2, 2, 1}));
  EXPECT_THAT(ViolationsOf(status),
              ElementsAre(Pair("spec.bk", "K_GRANULARITY"), Pair("spec.bm", "TILE_SHAPE_UNLISTED")));
  EXPECT_EQ(DescriptionOf(status, "spec.bk"),
            "spec.bk=24: K granularity needs bk * 2 bytes (bf16) to be a multiple of 32; try bk=32");
}

TEST(WaveValidatorTest, EverythingWrongIsSaidAtOnce) {
  const absl::Status status = Check(Valid()
                                        .Model("!")
                                        .Alpha(kNaN)
                                        .Beta(2)
                                        .Tile({100, 128, 64, 2, 2, 1})
                                        .Dims(100, 128, 65)
                                        .Window(-5, -7)
                                        .Order({{0, 0}, {0, 0}, {9, 0}})
                                        .A("short")
                                        .Bias({1})
                                        .Edit([](WaveRequest& r) {
                                          r.spec.pack_order = {-1};
                                          r.spec.io_extents = {{"", -1, -2}};
                                          r.w.row_stride = 1;
                                        }));
  EXPECT_THAT(
      ViolationsOf(status),
      ElementsAre(Pair("model", "MODEL_NAME"), Pair("alpha", "NOT_FINITE"), Pair("beta", "BETA_WITHOUT_C"),
                  Pair("k", "K_GRANULARITY"), Pair("spec.bm", "TILE_SHAPE_UNLISTED"),
                  Pair("spec.swap_begin", "SWAP_WINDOW"), Pair("spec.swap_end", "SWAP_WINDOW"),
                  Pair("spec.pack_order[0]", "ID_OUT_OF_RANGE"), Pair("spec.io_extents[0].layer", "LAYER_NAME"),
                  Pair("spec.io_extents[0].start_pid", "ID_OUT_OF_RANGE"),
                  Pair("spec.io_extents[0].end_pid", "ID_OUT_OF_RANGE"), Pair("spec.tile_order[1]", "TILE_REPEATED"),
                  Pair("spec.tile_order[2].m", "TILE_OUTSIDE_GRID"), Pair("bias", "BIAS_SIZE"),
                  Pair("a.inline", "OPERAND_SIZE"), Pair("w.row_stride", "STRIDE")));
}

TEST(WaveValidatorTest, AllDimensionsWrongAtOnce) {
  EXPECT_THAT(ViolationsOf(Check(Valid().Tile({0, 0, 0, 2, 2, 1}).Edit([](WaveRequest& r) { r.m = r.n = r.k = -1; }))),
              ElementsAre(Pair("m", "DIM_OUT_OF_RANGE"), Pair("n", "DIM_OUT_OF_RANGE"), Pair("k", "DIM_OUT_OF_RANGE"),
                          Pair("spec.bm", "DIM_OUT_OF_RANGE"), Pair("spec.bn", "DIM_OUT_OF_RANGE"),
                          Pair("spec.bk", "DIM_OUT_OF_RANGE")));
}

TEST(WaveValidatorTest, AnEmptyRequestGetsAnAnswer) {
  const WaveValidator validator(TileWhitelist::Default(), false, Limits{});
  for (const Mode mode : {Mode::kComplete, Mode::kDry}) {
    const absl::Status status = validator.Validate({}, mode, *WeightVersion::Empty(), kNow).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_GE(ViolationsOf(status).size(), 7u);
  }
}

TEST(WaveValidatorTest, ViolationsBeyondSixtyFourAreCounted) {
  const absl::Status status = Check(Valid().Edit([](WaveRequest& r) { r.spec.pack_order.assign(1000, -1); }));
  const auto violations = ViolationsOf(status);
  ASSERT_EQ(violations.size(), 65u);
  EXPECT_EQ(violations[63], std::make_pair(std::string("spec.pack_order[63]"), std::string("ID_OUT_OF_RANGE")));
  EXPECT_EQ(violations[64].second, "TOO_MANY_VIOLATIONS");
  EXPECT_THAT(DescriptionOf(status, ""), StartsWith("936 further violations"));
}

// ---------------------------------------------------------------------------------------------------- caps

TEST(WaveValidatorTest, ListedTilesAreCapped) {
  // 65,536 tiles of one element; the daemon must be lenient to have a grid that large in 64 MiB.
  const TileShape tiny = {1, 1, 8, 1, 1, 1};
  std::vector<TileCoord> order;
  std::vector<uint32_t> flat;
  for (int32_t i = 0; i < 65'537; ++i) {
    order.push_back({i / 256, i % 256});
    flat.push_back(static_cast<uint32_t>(i / 256) << 16 | static_cast<uint32_t>(i % 256));
  }
  const auto wave = [&] { return Valid().Tile(tiny).Dims(257, 256, 8); };
  const absl::Status too_many = CheckLenient(wave().Order(order));
  EXPECT_THAT(ViolationsOf(too_many), ElementsAre(Pair("spec.tile_order", "TOO_MANY")));
  EXPECT_THAT(DescriptionOf(too_many, "spec.tile_order"), HasSubstr("65537 entries: at most 65536"));
  EXPECT_THAT(ViolationsOf(CheckLenient(wave().Flat(flat))), ElementsAre(Pair("spec.tile_order_flat", "TOO_MANY")));
  order.pop_back();
  flat.pop_back();
  EXPECT_TRUE(CheckLenient(wave().Order(order)).ok());
  EXPECT_TRUE(CheckLenient(wave().Flat(flat)).ok());
}

TEST(WaveValidatorTest, ExtentsAndPackOrderAreCapped) {
  const auto extents = [](size_t n) {
    return Check(Valid().Edit([n](WaveRequest& r) { r.spec.io_extents.assign(n, IoExtent{"l", 0, 0}); }));
  };
  EXPECT_TRUE(extents(65'536).ok());
  EXPECT_THAT(ViolationsOf(extents(65'537)), ElementsAre(Pair("spec.io_extents", "TOO_MANY")));
  const auto pack = [](size_t n) {
    return Check(Valid().Edit([n](WaveRequest& r) { r.spec.pack_order.assign(n, 1); }));
  };
  EXPECT_TRUE(pack(65'536).ok());
  EXPECT_THAT(ViolationsOf(pack(65'537)), ElementsAre(Pair("spec.pack_order", "TOO_MANY")));
}

TEST(WaveValidatorTest, GridsAreCapped) {
  const auto check = [](int64_t m, int64_t n) {
    return CheckLenient(Valid().Tile({1, 1, 8, 1, 1, 1}).Dims(m, n, 8).A("").W(""));
  };
  const absl::Status tiles = check(4096, 257);
  EXPECT_THAT(ViolationsOf(tiles), ElementsAre(Pair("spec.bm", "TOO_MANY_TILES"), Pair("a.inline", "OPERAND_SIZE"),
                                               Pair("w.inline", "OPERAND_SIZE")));
  EXPECT_THAT(DescriptionOf(tiles, "spec.bm"), HasSubstr("the grid of 4096 x 257 tiles is over the limit of 1048576"));
  // tile_order_flat has 16 bits for a coordinate.
  EXPECT_THAT(ViolationsOf(check(65'537, 1)), ::testing::Contains(Pair("spec.bm", "TOO_MANY_TILES")));
  EXPECT_THAT(ViolationsOf(check(1, 65'537)), ::testing::Contains(Pair("spec.bm", "TOO_MANY_TILES")));
  EXPECT_THAT(ViolationsOf(check(65'536, 1)), Not(::testing::Contains(Pair("spec.bm", "TOO_MANY_TILES"))));
  // The product of two dimensions in range does not overflow on the way.
  EXPECT_THAT(ViolationsOf(check(1 << 24, 1 << 24)), ::testing::Contains(Pair("spec.bm", "TOO_MANY_TILES")));
}

TEST(WaveValidatorTest, LimitsAreTheDaemons) {
  Limits limits;
  limits.max_dim = 127;
  limits.max_message_bytes = 1;
  EXPECT_THAT(ViolationsOf(Validate(Valid(), Mode::kComplete, false, limits).status()),
              ElementsAre(Pair("m", "DIM_OUT_OF_RANGE"), Pair("n", "DIM_OUT_OF_RANGE"),
                          Pair("spec.bm", "DIM_OUT_OF_RANGE"), Pair("spec.bn", "DIM_OUT_OF_RANGE")));
}

// --------------------------------------------------------------------------------------------------- rows

std::vector<std::pair<std::string, std::string>> RowViolations(std::vector<RowRange> rows) {
  return ViolationsOf(Check(Valid().Dims(10, 128, 64).Edit([&](WaveRequest& r) { r.rows = std::move(rows); })));
}

TEST(WaveValidatorTest, RowsArePackedInPackOrder) {
  const Wave wave = Accepted(Valid().Dims(4, 128, 64).Edit([](WaveRequest& r) {
    r.rows = {{1, 0, 1}, {2, 1, 3}, {kMaxId, 3, 4}};
    r.spec.pack_order = {kMaxId, 2, 2, 77};
  }));
  EXPECT_THAT(wave.packed_rows, ElementsAre(3, 1, 2, 0));
  EXPECT_TRUE(Accepted(Valid().Edit([](WaveRequest& r) {
                r.spec.pack_order = {3, 1};
              })).packed_rows.empty())
      << "advisory without rows";
}

TEST(WaveValidatorTest, RowsMustPartitionA) {
  EXPECT_THAT(RowViolations({{1, 0, 6}, {2, 5, 10}}),
              ElementsAre(Pair("rows[1].begin", "ROWS_OVERLAP"), Pair("rows", "ROWS_TOTAL")));
  EXPECT_THAT(RowViolations({{1, 0, 10}, {2, 0, 10}}),
              ElementsAre(Pair("rows[1].begin", "ROWS_OVERLAP"), Pair("rows", "ROWS_TOTAL")));
  EXPECT_THAT(RowViolations({{1, 0, 5}, {2, 0, 5}}), ElementsAre(Pair("rows[1].begin", "ROWS_OVERLAP")));
  EXPECT_THAT(RowViolations({{1, 0, 10}, {2, 4, 5}, {3, 6, 7}}),
              ElementsAre(Pair("rows[1].begin", "ROWS_OVERLAP"), Pair("rows[2].begin", "ROWS_OVERLAP"),
                          Pair("rows", "ROWS_TOTAL")));
  EXPECT_THAT(RowViolations({{1, 0, 4}, {2, 6, 10}}), ElementsAre(Pair("rows", "ROWS_TOTAL")));
  EXPECT_THAT(RowViolations({{1, 0, 9}}), ElementsAre(Pair("rows", "ROWS_TOTAL")));
  EXPECT_THAT(RowViolations({{2, 4, 10}, {1, 0, 4}}), ElementsAre()) << "in any order";
}

TEST(WaveValidatorTest, RowRangesAreNamedByPart) {
  EXPECT_THAT(
      RowViolations(
          {{-1, 0, 1}, {1, -1, 3}, {2, 10, 11}, {3, 4, 4}, {4, 5, 11}, {int64_t{1} << 31, 0, kHuge}, {3, 4, 3}}),
      ElementsAre(Pair("rows[0].id", "ID_OUT_OF_RANGE"), Pair("rows[1].begin", "ROW_OUT_OF_RANGE"),
                  Pair("rows[2].begin", "ROW_OUT_OF_RANGE"), Pair("rows[3].end", "ROW_OUT_OF_RANGE"),
                  Pair("rows[4].end", "ROW_OUT_OF_RANGE"), Pair("rows[5].id", "ID_OUT_OF_RANGE"),
                  Pair("rows[5].end", "ROW_OUT_OF_RANGE"), Pair("rows[6].id", "ID_REPEATED"),
                  Pair("rows[6].end", "ROW_OUT_OF_RANGE")));
}

TEST(WaveValidatorTest, RowsOfAWaveWithoutRowsAreViolations) {
  EXPECT_THAT(ViolationsOf(Check(Valid().Edit([](WaveRequest& r) {
                r.m = -5;
                r.rows = {{1, 0, 1}};
              }))),
              ::testing::Contains(Pair("m", "DIM_OUT_OF_RANGE")));
}

TEST(WaveValidatorTest, RowRangesAreCapped) {
  EXPECT_THAT(RowViolations(std::vector<RowRange>(65'537)), ElementsAre(Pair("rows", "TOO_MANY")));
}

// --------------------------------------------------------------------------------------------------- pages

std::vector<std::pair<std::string, std::string>> PageViolations(std::vector<IoExtent> extents) {
  Limits limits;
  limits.max_wave_pages = 10;
  const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/false, limits, /*paged=*/true);
  const WaveRequest request = Valid().Edit([&](WaveRequest& r) { r.spec.io_extents = std::move(extents); }).Build();
  return ViolationsOf(validator.Validate(request, Mode::kComplete, *Weights(), kNow).status());
}

TEST(WaveValidatorTest, PagesThatWillBeReadAreCounted) {
  EXPECT_THAT(PageViolations({{"0", 5, 9}, {"1", 0, 4}, {"2", 7, 6}}), ElementsAre());
  EXPECT_THAT(PageViolations({{"0", 5, 9}, {"1", 0, 5}}), ElementsAre(Pair("spec.io_extents", "TOO_MANY")));
  EXPECT_THAT(PageViolations({{"0", 0, kMaxId}, {"0", 0, kMaxId}}), ElementsAre(Pair("spec.io_extents", "TOO_MANY")));
}

// Found by the fuzzer: the number of pages must not overflow before the ids are refused.
TEST(WaveValidatorTest, PageIdsOutOfRangeAreNotCounted) {
  EXPECT_THAT(PageViolations({{"0", kHuge, -2}}), ElementsAre(Pair("spec.io_extents[0].start_pid", "ID_OUT_OF_RANGE"),
                                                              Pair("spec.io_extents[0].end_pid", "ID_OUT_OF_RANGE")));
  EXPECT_THAT(PageViolations({{"0", 0, std::numeric_limits<int64_t>::min()}}),
              ElementsAre(Pair("spec.io_extents[0].end_pid", "ID_OUT_OF_RANGE")));
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

// ------------------------------------------------------------------------------------------- stored weights

TEST(WaveValidatorTest, AStoredWGivesItsType) {
  const auto request = [](const char* tensor) {
    return Valid().DType(DTypeWish::kUnspecified).WTensor(tensor).Edit([](WaveRequest& r) {
      r.a.bytes = r.a.bytes.substr(0, 128 * 64 * 2);
    });
  };
  const Wave bf16 = Accepted(request("bf16"));
  EXPECT_EQ(bf16.dtype, kernels::DType::kBF16);
  EXPECT_EQ(bf16.w_tensor, "bf16");
  EXPECT_FALSE(bf16.w.has_value());
  EXPECT_EQ(bf16.a.dtype, kernels::DType::kBF16);
  EXPECT_EQ(Accepted(request("f16")).dtype, kernels::DType::kF16);
  EXPECT_EQ(Accepted(Valid().DType(DTypeWish::kUnspecified).WTensor("f32")).dtype, kernels::DType::kF32);
}

TEST(WaveValidatorTest, WithoutAWishOrAStoredWItIsF32) {
  EXPECT_EQ(Accepted(Valid().DType(DTypeWish::kUnspecified)).dtype, kernels::DType::kF32);
}

TEST(WaveValidatorTest, TheStoredTypeDecidesGranularity) {
  // 72 columns are granular in f32, not in bf16.
  EXPECT_THAT(
      ViolationsOf(Check(
          Valid().DType(DTypeWish::kUnspecified).WTensor("bf16").Dims(128, 128, 72).A(std::string(128 * 72 * 2, 'a')))),
      ElementsAre(Pair("k", "K_GRANULARITY")));
}

TEST(WaveValidatorTest, AStoredWOfAnotherTypeIsNotCast) {
  const absl::Status status = Check(Valid().WTensor("bf16"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "WEIGHT_DTYPE");
  EXPECT_EQ(MetadataOf(status, "tensor"), "bf16");
  EXPECT_EQ(MetadataOf(status, "model"), "default");
  EXPECT_EQ(MetadataOf(status, "version"), "1");
  EXPECT_THAT(std::string(status.message()), HasSubstr("stores it as bf16, not f32"));
}

TEST(WaveValidatorTest, AnOpaqueTensorIsNoW) {
  for (const DTypeWish dtype : {DTypeWish::kUnspecified, DTypeWish::kF32, DTypeWish::kBF16}) {
    const absl::Status status = Check(Valid().WTensor("i8").Edit([dtype](WaveRequest& r) {
      r.spec.dtype = dtype;
      r.a.bytes = r.a.bytes.substr(0, dtype == DTypeWish::kBF16 ? 128 * 64 * 2 : 128 * 64 * 4);
    }));
    EXPECT_EQ(GetReason(status), "WEIGHT_DTYPE") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("i8"));
  }
}

TEST(WaveValidatorTest, AStoredWMustHaveTheShape) {
  const absl::Status wide = Check(Valid().WTensor("f32").Dims(128, 256, 64));
  EXPECT_EQ(wide.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(wide), "WEIGHT_SHAPE");
  EXPECT_THAT(std::string(wide.message()), HasSubstr("stores it as [64 x 128], but the wave needs [64 x 256] (k x n)"));

  EXPECT_EQ(GetReason(Check(Valid().WTensor("flat"))), "WEIGHT_SHAPE");
  EXPECT_EQ(GetReason(Check(Valid().WTensor("f32_t"))), "WEIGHT_SHAPE");
  EXPECT_EQ(GetReason(Check(Valid().WTensor("f32").Transposed())), "WEIGHT_SHAPE");
  EXPECT_TRUE(Check(Valid().WTensor("f32_t").Transposed()).ok());
}

TEST(WaveValidatorTest, AnUnknownTensorIsNamed) {
  const absl::Status status = Check(Valid().WTensor("layer.7\n"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(status), "TENSOR_NOT_FOUND");
  EXPECT_EQ(MetadataOf(status, "tensor"), "layer.7\n");
  EXPECT_THAT(std::string(status.message()),
              StartsWith(R"(w.tensor="layer.7\n": model "default" version 1 has no such tensor)"));
  EXPECT_EQ(GetReason(Check(Valid().DType(DTypeWish::kUnspecified).WTensor("nope"))), "TENSOR_NOT_FOUND");
}

TEST(WaveValidatorTest, ViolationsComeBeforeAMissingTensor) {
  EXPECT_THAT(ViolationsOf(Check(Valid().WTensor("nope").Window(1, 1))),
              ElementsAre(Pair("spec.swap_end", "SWAP_WINDOW")));
}

// An inline W must not be mistaken for a stored one, whatever else the request carries.
TEST(WaveValidatorTest, AnInlineWIgnoresATensorName) {
  const Wave wave = Accepted(Valid().Edit([](WaveRequest& r) { r.w.tensor = "f32"; }));
  EXPECT_TRUE(wave.w.has_value());
  EXPECT_EQ(wave.w_tensor, "");
}

TEST(CheckWeightTest, AWaveWithItsOwnWNeedsNone) {
  const auto weight = CheckWeight(Accepted(Valid()), *WeightVersion::Empty());
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(*weight, nullptr);
}

TEST(CheckWeightTest, IsAskedAgainOfTheVersionThatRuns) {
  const Wave wave = Accepted(Valid().WTensor("f32"));
  const auto weights = Weights();
  const auto weight = CheckWeight(wave, *weights);
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(*weight, weights->Find("f32"));
  EXPECT_EQ(GetReason(CheckWeight(wave, *WeightVersion::Empty()).status()), "TENSOR_NOT_FOUND");
}

// --------------------------------------------------------------------------------------------------- modes

TEST(WaveValidatorTest, DryModeLetsOperandsBeLeftOut) {
  const auto bare = Valid().Beta(2).Edit([](WaveRequest& r) { r.a = r.w = r.c = {}; });
  EXPECT_TRUE(Check(bare, Mode::kDry).ok()) << Check(bare, Mode::kDry);
  EXPECT_THAT(ViolationsOf(Check(bare)),
              ElementsAre(Pair("beta", "BETA_WITHOUT_C"), Pair("a", "MISSING"), Pair("w", "MISSING")));
}

TEST(WaveValidatorTest, DryModeChecksWhatIsThere) {
  EXPECT_THAT(ViolationsOf(Check(Valid().A("x").C("y").Edit([](WaveRequest& r) { r.w = {}; }), Mode::kDry)),
              ElementsAre(Pair("c.inline", "OPERAND_SIZE"), Pair("a.inline", "OPERAND_SIZE")));
  EXPECT_EQ(GetReason(Check(Valid().WTensor("nope"), Mode::kDry)), "TENSOR_NOT_FOUND");
  for (const BadWave& bad : BadWaves()) {
    if (bad.reason == "MISSING" && bad.field != "client_id") continue;
    if (bad.reason == "BETA_WITHOUT_C") continue;
    EXPECT_THAT(ViolationsOf(Check(bad.request, Mode::kDry)), ElementsAre(Pair(bad.field, bad.reason))) << bad.name;
  }
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
