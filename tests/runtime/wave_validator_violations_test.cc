// Everything that can be wrong with a wave, and how much of it is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/wave_validator.h"
#include "tests/runtime/validated_wave.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

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
       "spec.dtype=4: not a dtype this daemon computes with; use F32, F16, BF16, F8_E4M3 or F8_E5M2"},
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

}  // namespace
}  // namespace bwrt::runtime
