#include "client/wave_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "client/dtype.h"

namespace bwrt::client {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

using Tiles = std::vector<std::pair<int64_t, int64_t>>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string Bytes(DType dtype, const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) AppendElement(dtype, value, &bytes);
  return bytes;
}

// A wave of m x n in tiles of bm x bn, all of whose tiles are 2 x 2 unless said otherwise; K = 1, A and W ones.
v1::SubmitWaveRequest Wave(int64_t m, int64_t n, int32_t bm = 2, int32_t bn = 2) {
  v1::SubmitWaveRequest request;
  request.set_m(m);
  request.set_n(n);
  request.set_k(1);
  request.mutable_spec()->set_bm(bm);
  request.mutable_spec()->set_bn(bn);
  request.mutable_spec()->set_bk(1);
  request.mutable_spec()->set_swap_end(1);
  request.mutable_a()->set_inline_(Bytes(F32, std::vector<float>(static_cast<size_t>(m), 1)));
  request.mutable_w()->set_inline_(Bytes(F32, std::vector<float>(static_cast<size_t>(n), 1)));
  return request;
}

void List(const Tiles& tiles, v1::SubmitWaveRequest* request) {
  for (const auto& [m, n] : tiles) {
    TileCoord* tile = request->mutable_spec()->add_tile_order();
    tile->set_m(static_cast<int32_t>(m));
    tile->set_n(static_cast<int32_t>(n));
  }
}

void AddRows(int64_t id, int64_t begin, int64_t end, v1::SubmitWaveRequest* request) {
  v1::RowRange* range = request->add_rows();
  range->set_id(id);
  range->set_begin(begin);
  range->set_end(end);
}

Tiles OrderOf(const TileSchedule& schedule) {
  Tiles tiles;
  for (const ScheduledTile& tile : schedule.order) tiles.emplace_back(tile.m, tile.n);
  return tiles;
}

std::vector<int64_t> TokensOf(const TileSchedule& schedule) {
  std::vector<int64_t> tokens;
  for (const ScheduledTile& tile : schedule.order) tokens.push_back(tile.token);
  return tokens;
}

// What a right result looks like.
v1::WaveResult RightResult(const v1::SubmitWaveRequest& request, const std::vector<float>& c) {
  v1::WaveResult result;
  result.set_c(Bytes(F32, c));
  result.set_model("default");
  const auto oracle = WaveOracle::Create(request);
  EXPECT_TRUE(oracle.ok()) << oracle.status();
  const TileSchedule& schedule = oracle->schedule();
  v1::EffectiveSpec* effective = result.mutable_effective();
  effective->set_bm(request.spec().bm());
  effective->set_bn(request.spec().bn());
  effective->set_dtype(F32);
  effective->set_c_dtype(F32);
  effective->set_tail_policy(request.spec().tail_policy());
  effective->set_tiles_listed(static_cast<uint64_t>(schedule.listed));
  effective->set_tiles_appended(static_cast<uint64_t>(schedule.appended));
  effective->set_tiles_dropped(static_cast<uint64_t>(schedule.dropped));
  effective->set_tiles_omitted(static_cast<uint64_t>(schedule.omitted));
  v1::TokenPlan* tokens = result.mutable_tokens();
  tokens->set_prefetch_tokens(static_cast<uint64_t>(schedule.prefetch_tokens));
  tokens->set_tile_tokens(static_cast<uint64_t>(schedule.tile_tokens));
  tokens->set_swap_begin(request.spec().swap_begin());
  tokens->set_swap_end(request.spec().swap_end());
  return result;
}

Verdict Judge(const v1::SubmitWaveRequest& request, const v1::WaveResult& result) {
  const auto oracle = WaveOracle::Create(request);
  EXPECT_TRUE(oracle.ok()) << oracle.status();
  return oracle->Judge(result);
}

TEST(TileScheduleTest, PlannersTruncatedSnakeOfFiveTiles) {
  v1::SubmitWaveRequest request = Wave(4, 6);
  List({{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}}, &request);
  for (int i = 0; i < 5; ++i) request.mutable_spec()->add_io_extents()->set_layer("0");
  const TileSchedule schedule = ScheduleOf(request);
  EXPECT_THAT(OrderOf(schedule), ElementsAreArray(Tiles{{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}, {1, 0}}));
  EXPECT_THAT(TokensOf(schedule), ElementsAre(5, 6, 7, 8, 9, 9)) << "the appended tile belongs to the last token";
  EXPECT_EQ(schedule.prefetch_tokens, 5);
  EXPECT_EQ(schedule.tile_tokens, 5);
  EXPECT_EQ(schedule.listed, 5);
  EXPECT_EQ(schedule.appended, 1);
  EXPECT_EQ(schedule.omitted, 0);
}

TEST(TileScheduleTest, PartialOmitsWhatIsMissing) {
  v1::SubmitWaveRequest request = Wave(4, 6);
  List({{1, 1}, {0, 0}}, &request);
  request.set_coverage(v1::PARTIAL);
  const TileSchedule schedule = ScheduleOf(request);
  EXPECT_THAT(OrderOf(schedule), ElementsAreArray(Tiles{{1, 1}, {0, 0}}));
  EXPECT_EQ(schedule.omitted, 4);
}

TEST(TileScheduleTest, WithoutAnOrderItIsRowMajorWhateverTheCoverage) {
  for (const v1::Coverage coverage : {v1::COMPLETE, v1::EXACT, v1::PARTIAL}) {
    v1::SubmitWaveRequest request = Wave(4, 4);
    request.set_coverage(coverage);
    const TileSchedule schedule = ScheduleOf(request);
    EXPECT_THAT(OrderOf(schedule), ElementsAreArray(Tiles{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
    EXPECT_EQ(schedule.omitted, 0);
    EXPECT_EQ(schedule.tile_tokens, 4);
  }
}

TEST(TileScheduleTest, SwizzleWalksGroupsOfRowsColumnByColumn) {
  v1::SubmitWaveRequest request = Wave(6, 4);
  request.mutable_spec()->set_swizzle_group_size(2);
  EXPECT_THAT(OrderOf(ScheduleOf(request)), ElementsAreArray(Tiles{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {2, 1}}));
  request.mutable_spec()->set_swizzle_group_size(5);
  EXPECT_THAT(OrderOf(ScheduleOf(request)), ElementsAreArray(Tiles{{0, 0}, {1, 0}, {2, 0}, {0, 1}, {1, 1}, {2, 1}}));
}

TEST(TileScheduleTest, AnExplicitOrderComesBeforeTheSwizzle) {
  v1::SubmitWaveRequest request = Wave(4, 2);
  request.mutable_spec()->set_swizzle_group_size(2);
  request.mutable_spec()->add_tile_order_flat(1 << 16);
  request.mutable_spec()->add_tile_order_flat(0);
  EXPECT_THAT(OrderOf(ScheduleOf(request)), ElementsAreArray(Tiles{{1, 0}, {0, 0}}));
}

TEST(TileScheduleTest, PeelRunsPartialTilesAfterEveryFullOne) {
  v1::SubmitWaveRequest request = Wave(4, 3);  // Column 1 is partial.
  request.mutable_spec()->set_tail_policy(PEEL);
  EXPECT_THAT(OrderOf(ScheduleOf(request)), ElementsAreArray(Tiles{{0, 0}, {1, 0}, {0, 1}, {1, 1}}));
  List({{1, 1}, {1, 0}, {0, 1}, {0, 0}}, &request);
  const TileSchedule schedule = ScheduleOf(request);
  EXPECT_THAT(OrderOf(schedule), ElementsAreArray(Tiles{{1, 0}, {0, 0}, {1, 1}, {0, 1}}));
  EXPECT_THAT(TokensOf(schedule), ElementsAre(0, 1, 2, 3)) << "token P+j is the j-th to run";
}

TEST(TileScheduleTest, PeelRunsPartialTilesAfterAppendedFullOnesToo) {
  v1::SubmitWaveRequest request = Wave(4, 3);
  request.mutable_spec()->set_tail_policy(PEEL);
  List({{1, 1}, {1, 0}}, &request);
  const TileSchedule schedule = ScheduleOf(request);
  EXPECT_THAT(OrderOf(schedule), ElementsAreArray(Tiles{{1, 0}, {0, 0}, {1, 1}, {0, 1}}));
  EXPECT_THAT(TokensOf(schedule), ElementsAre(0, 1, 1, 1));
}

TEST(TileScheduleTest, DropCountsPartialTilesThatWouldHaveRun) {
  v1::SubmitWaveRequest request = Wave(3, 3);  // Only tile (0,0) is full.
  request.mutable_spec()->set_tail_policy(DROP);
  List({{1, 1}, {0, 0}}, &request);
  const TileSchedule all = ScheduleOf(request);
  EXPECT_EQ(all.dropped, 3);
  EXPECT_EQ(all.tile_tokens, 2) << "a dropped tile keeps its token";
  request.set_coverage(v1::PARTIAL);
  const TileSchedule some = ScheduleOf(request);
  EXPECT_EQ(some.dropped, 1);
  EXPECT_EQ(some.omitted, 2);
}

TEST(TileScheduleTest, PackOrderOrdersTheRowsOfRequests) {
  v1::SubmitWaveRequest request = Wave(6, 2);
  AddRows(30, 4, 6, &request);
  AddRows(10, 0, 1, &request);
  AddRows(20, 1, 4, &request);
  EXPECT_THAT(ScheduleOf(request).packed_rows, ElementsAre(0, 1, 2, 3, 4, 5)) << "none is named";
  for (const int64_t id : {30, 99, 30, 10}) request.mutable_spec()->add_pack_order(id);
  EXPECT_THAT(ScheduleOf(request).packed_rows, ElementsAre(4, 5, 0, 1, 2, 3));
  request.clear_rows();
  EXPECT_THAT(ScheduleOf(request).packed_rows, ElementsAre(0, 1, 2, 3, 4, 5)) << "advisory without rows";
}

TEST(WaveOracleTest, SmokeWave) {
  v1::SubmitWaveRequest request = Wave(2, 2);
  request.set_k(2);
  request.mutable_a()->set_inline_(Bytes(F32, {1, 2, 3, 4}));
  request.mutable_w()->set_inline_(Bytes(F32, {5, 6, 7, 8}));
  const auto oracle = WaveOracle::Create(request);
  ASSERT_TRUE(oracle.ok()) << oracle.status();
  EXPECT_THAT(oracle->want(), ElementsAre(19, 22, 43, 50));
  EXPECT_TRUE(Judge(request, RightResult(request, {19, 22, 43, 50})).ok());
  request.set_w_transposed(true);
  EXPECT_THAT(WaveOracle::Create(request)->want(), ElementsAre(17, 23, 39, 53));
}

TEST(WaveOracleTest, AlphaBetaBiasActivationAndStrides) {
  v1::SubmitWaveRequest request = Wave(2, 2);
  request.set_k(2);
  request.mutable_a()->set_row_stride(3);
  request.mutable_a()->set_inline_(Bytes(F32, {1, 2, kNaN, 3, 4}));
  request.mutable_w()->set_row_stride(4);
  request.mutable_w()->set_inline_(Bytes(F32, {5, 6, kNaN, kNaN, 7, 8}));
  request.mutable_c()->set_row_stride(3);
  request.mutable_c()->set_inline_(Bytes(F32, {1, 100, -7, 1, 1}));
  request.set_alpha(2);
  request.set_beta(-1);
  request.add_bias(0.5);
  request.add_bias(10);
  request.set_activation(v1::RELU);
  // 2 * {19, 22, 43, 50} - {1, 100, 1, 1} + {0.5, 10}
  EXPECT_THAT(WaveOracle::Create(request)->want(), ElementsAre(37.5, 0, 85.5, 109));
  EXPECT_TRUE(Judge(request, RightResult(request, {37.5, 0, -7, 85.5, 109})).ok());
  EXPECT_THAT(Judge(request, RightResult(request, {37.5, 0, -6, 85.5, 109})).mismatch, HasSubstr("in a gap"));
}

TEST(WaveOracleTest, ActivationsAtOne) {
  v1::SubmitWaveRequest request = Wave(1, 1);
  const std::vector<std::pair<v1::Activation, double>> cases = {{v1::IDENTITY, 1},
                                                                {v1::RELU, 1},
                                                                {v1::GELU_TANH, 0.841191990608},
                                                                {v1::GELU_ERF, 0.841344746069},
                                                                {v1::SILU, 0.731058578630}};
  for (const auto& [activation, want] : cases) {
    request.set_activation(activation);
    EXPECT_NEAR(WaveOracle::Create(request)->want()[0], want, 1e-11) << v1::Activation_Name(activation);
  }
}

TEST(WaveOracleTest, BetaZeroLeavesANaNInCOut) {
  v1::SubmitWaveRequest request = Wave(1, 1);
  request.mutable_c()->set_inline_(Bytes(F32, {kNaN}));
  EXPECT_TRUE(Judge(request, RightResult(request, {1})).ok());
  EXPECT_FALSE(Judge(request, RightResult(request, {kNaN})).ok());
}

TEST(WaveOracleTest, SkippedTilesKeepEveryBit) {
  v1::SubmitWaveRequest request = Wave(2, 3);  // The second tile is partial.
  request.mutable_spec()->set_tail_policy(DROP);
  request.mutable_c()->set_inline_(Bytes(F32, {9, 9, kNaN, 9, 9, -0.0f}));
  const v1::WaveResult right = RightResult(request, {1, 1, kNaN, 1, 1, -0.0f});
  EXPECT_TRUE(Judge(request, right).ok()) << Judge(request, right).mismatch;
  EXPECT_THAT(Judge(request, RightResult(request, {1, 1, kNaN, 1, 1, 0.0f})).mismatch,
              HasSubstr("row 1, column 2 (in a skipped tile)"));
  request.clear_c();
  EXPECT_TRUE(Judge(request, RightResult(request, {1, 1, 0, 1, 1, 0})).ok()) << "zeros without a C";
}

TEST(WaveOracleTest, PackedTilesSkipScatteredRows) {
  v1::SubmitWaveRequest request = Wave(4, 1, 2, 1);
  request.mutable_a()->set_inline_(Bytes(F32, {1, 2, 3, 4}));
  AddRows(1, 0, 1, &request);
  AddRows(2, 1, 3, &request);
  AddRows(3, 3, 4, &request);
  request.mutable_spec()->add_pack_order(3);  // Packed: 3, 0, 1, 2.
  request.set_coverage(v1::PARTIAL);
  List({{0, 0}}, &request);
  EXPECT_TRUE(Judge(request, RightResult(request, {1, 0, 0, 4})).ok());
  EXPECT_FALSE(Judge(request, RightResult(request, {1, 2, 0, 0})).ok());
}

TEST(WaveOracleTest, AStoredWGivesItsBytesAndDtype) {
  v1::SubmitWaveRequest request = Wave(1, 2);
  request.mutable_a()->set_inline_(Bytes(BF16, {3}));
  request.mutable_w()->set_tensor("t");
  v1::Tensor tensor;
  tensor.set_dtype(BF16);
  tensor.set_data(Bytes(BF16, {2, -4}));
  const auto oracle = WaveOracle::Create(request, &tensor);
  ASSERT_TRUE(oracle.ok()) << oracle.status();
  EXPECT_EQ(oracle->dtype(), BF16);
  EXPECT_EQ(oracle->c_dtype(), F32);
  EXPECT_THAT(oracle->want(), ElementsAre(6, -12));
  EXPECT_EQ(oracle->tolerance(), 1e-2);
}

TEST(WaveOracleTest, ErrorsAreRelativeToTheirTile) {
  v1::SubmitWaveRequest request = Wave(1, 4, 1, 2);
  request.mutable_w()->set_inline_(Bytes(F32, {3, 4, 3000, 4000}));
  const Verdict verdict = Judge(request, RightResult(request, {3, 4.5, 3000, 4000}));
  EXPECT_NEAR(verdict.worst_rel_error, 0.1, 1e-12);
  EXPECT_EQ(verdict.worst_n, 0);
  EXPECT_THAT(verdict.mismatch, HasSubstr("tile (0,0) is off by 0.1"));
  EXPECT_TRUE(Judge(request, RightResult(request, {3, 4.00001f, 3000, 4000})).ok());
}

TEST(WaveOracleTest, CancellationIsMeasuredAgainstTheTerms) {
  v1::SubmitWaveRequest request = Wave(1, 1);
  request.set_beta(-1);
  request.mutable_c()->set_inline_(Bytes(F32, {1}));
  // 1 - 1: against a quarter of sqrt(1 + 1).
  const Verdict verdict = Judge(request, RightResult(request, {1e-7f}));
  EXPECT_NEAR(verdict.worst_rel_error, 1e-7 / (std::sqrt(2.0) / 4), 1e-12);
  EXPECT_TRUE(verdict.ok());
  EXPECT_FALSE(Judge(request, RightResult(request, {1e-5f})).ok());
}

TEST(WaveOracleTest, ReportsAreJudgedToo) {
  const v1::SubmitWaveRequest request = Wave(2, 4);
  const v1::WaveResult right = RightResult(request, std::vector<float>(8, 1));
  EXPECT_TRUE(Judge(request, right).ok()) << Judge(request, right).mismatch;
  v1::WaveResult wrong = right;
  wrong.mutable_effective()->set_tiles_appended(1);
  EXPECT_EQ(Judge(request, wrong).mismatch, "effective.tiles_appended is 1, want 0");
  wrong = right;
  wrong.mutable_tokens()->set_tile_tokens(3);
  EXPECT_EQ(Judge(request, wrong).mismatch, "tokens.tile_tokens is 3, want 2");
  wrong = right;
  wrong.mutable_tokens()->set_swap_end(2);
  EXPECT_EQ(Judge(request, wrong).mismatch, "tokens.swap_end is 2, want 1");
  wrong = right;
  wrong.mutable_c()->pop_back();
  EXPECT_EQ(Judge(request, wrong).mismatch, "c has 31 bytes, want 32");
  wrong = right;
  wrong.set_model("other");
  EXPECT_THAT(Judge(request, wrong).mismatch, HasSubstr("model"));
}

TEST(WaveOracleTest, OrdersAreJudged) {
  const v1::SubmitWaveRequest request = Wave(2, 4);
  const v1::WaveResult right = RightResult(request, std::vector<float>(8, 1));
  v1::ValidateWaveResponse preview;
  *preview.mutable_effective() = right.effective();
  *preview.mutable_tokens() = right.tokens();
  preview.add_order();
  preview.add_order()->set_n(1);
  const auto oracle = WaveOracle::Create(request);
  EXPECT_TRUE(oracle->Judge(preview).ok()) << oracle->Judge(preview).mismatch;
  preview.mutable_order()->SwapElements(0, 1);
  EXPECT_EQ(oracle->Judge(preview).mismatch, "order[0] is (0,1), want (0,0)");
  preview.mutable_order()->RemoveLast();
  EXPECT_EQ(oracle->Judge(preview).mismatch, "the number of tiles in order is 1, want 2");
}

TEST(WaveOracleTest, OperandsThatDoNotFitAreNoWave) {
  v1::SubmitWaveRequest request = Wave(2, 2);
  request.mutable_a()->mutable_inline_()->append(4, '\0');
  EXPECT_TRUE(absl::IsInvalidArgument(WaveOracle::Create(request).status()));
}

// m x 6 with C given, gaps behind its rows, values of all kinds; tiles of 2 x 3, some listed, some dropped.
v1::SubmitWaveRequest VariedWave(bool transposed) {
  v1::SubmitWaveRequest request = Wave(5, 6, 2, 3);
  request.set_k(3);
  request.mutable_spec()->set_tail_policy(DROP);
  request.set_coverage(v1::PARTIAL);
  List({{1, 1}, {0, 0}, {2, 0}, {1, 0}}, &request);
  AddRows(1, 0, 3, &request);
  AddRows(2, 3, 5, &request);
  request.mutable_spec()->add_pack_order(2);
  const auto values = [](int count, float step) {
    std::vector<float> result;
    for (int i = 0; i < count; ++i) result.push_back(step * static_cast<float>(i % 7 - 3));
    return result;
  };
  request.mutable_a()->set_row_stride(4);
  request.mutable_a()->set_inline_(Bytes(F32, values(4 * 4 + 3, 0.5f)));
  request.set_w_transposed(transposed);
  request.mutable_w()->set_row_stride(transposed ? 5 : 7);
  request.mutable_w()->set_inline_(Bytes(F32, values(transposed ? 5 * 5 + 3 : 2 * 7 + 6, 0.25f)));
  request.mutable_c()->set_row_stride(8);
  request.mutable_c()->set_inline_(Bytes(F32, values(4 * 8 + 6, 1)));
  request.set_alpha(2);
  request.set_beta(0.5f);
  request.mutable_bias()->Resize(6, 0.125f);
  return request;
}

TEST(WaveOracleTest, APartIsWhatTheWholeHasThere) {
  for (const bool transposed : {false, true}) {
    const v1::SubmitWaveRequest request = VariedWave(transposed);
    const auto whole = WaveOracle::Create(request);
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (const MatrixRect part : {MatrixRect{0, 5, 0, 6}, MatrixRect{1, 4, 2, 5}, MatrixRect{4, 5, 5, 6}}) {
      const auto of_part = WaveOracle::Create(request, nullptr, {.part = part});
      ASSERT_TRUE(of_part.ok()) << of_part.status();
      EXPECT_EQ(of_part->part(), part);
      size_t at = 0;
      for (int64_t row = part.row_begin; row < part.row_end; ++row) {
        for (int64_t column = part.column_begin; column < part.column_end; ++column, ++at) {
          const auto in_whole = static_cast<size_t>(row * 6 + column);
          EXPECT_EQ(of_part->computed()[at], whole->computed()[in_whole]) << row << "," << column;
          EXPECT_EQ(of_part->want()[at], whole->want()[in_whole]) << row << "," << column;
        }
      }
      EXPECT_EQ(of_part->want().size(), at);
      EXPECT_EQ(of_part->JudgedBytes(of_part->WantedC()), of_part->JudgedBytes(whole->WantedC()));
      EXPECT_TRUE(of_part->JudgeC(whole->WantedC()).ok());
    }
  }
}

TEST(WaveOracleTest, APartLiesWithinC) {
  const v1::SubmitWaveRequest request = Wave(2, 4);
  for (const MatrixRect part : {MatrixRect{0, 3, 0, 4}, MatrixRect{0, 2, 0, 5}, MatrixRect{1, 1, 0, 4}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(WaveOracle::Create(request, nullptr, {.part = part}).status()));
  }
}

TEST(WaveOracleTest, WhatIsBeyondThePartIsNotJudged) {
  const v1::SubmitWaveRequest request = VariedWave(false);
  const auto whole = WaveOracle::Create(request);
  const auto part = WaveOracle::Create(request, nullptr, {.part = MatrixRect{1, 4, 2, 5}});
  for (int64_t element = 0; element < 4 * 8 + 6; ++element) {
    std::string wrong = whole->WantedC();
    char& upper = wrong[static_cast<size_t>(element * 4 + 3)];
    upper = static_cast<char>(upper ^ 0x40);
    const int64_t row = element / 8, column = element % 8;
    const bool within = 1 <= row && row < 4 && 2 <= column && column < 5;
    const Verdict verdict = part->JudgeC(wrong);
    EXPECT_EQ(verdict.ok(), !within) << row << "," << column;
    EXPECT_EQ(part->JudgedBytes(wrong) == part->JudgedBytes(part->WantedC()), !within) << row << "," << column;
    // Gaps too, where there is no part; and the first difference is the only one.
    const Verdict of_all = whole->JudgeC(wrong);
    EXPECT_FALSE(of_all.ok());
    ASSERT_TRUE(of_all.first_difference.has_value()) << of_all.mismatch;
    EXPECT_EQ(*of_all.first_difference, (ElementIndex{row, column}));
  }
}

TEST(WaveOracleTest, TheFirstDifferenceIsThatOfTheFirstRow) {
  const v1::SubmitWaveRequest request = Wave(4, 4);
  const auto oracle = WaveOracle::Create(request);
  std::vector<float> c(16, 1);
  c[1 * 4 + 3] = 2;
  c[2 * 4 + 0] = kNaN;
  c[0] = 1.000001f;  // Within the tolerance.
  const Verdict verdict = oracle->JudgeC(Bytes(F32, c));
  EXPECT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.first_difference, (ElementIndex{1, 3}));
  EXPECT_TRUE(std::isinf(verdict.worst_rel_error));
  EXPECT_FALSE(oracle->JudgeC(Bytes(F32, std::vector<float>(16, 1))).first_difference.has_value());
  EXPECT_FALSE(oracle->JudgeC("short").first_difference.has_value());
}

TEST(WaveOracleTest, AnotherDevicesResultMayBeWhatIsWanted) {
  const v1::SubmitWaveRequest request = VariedWave(false);
  std::string peer = WaveOracle::Create(request)->WantedC();
  // Row 0 is computed, as the second packed tile row's; it is off, and the other device must be off as well.
  const float strange = 5;
  std::memcpy(peer.data(), &strange, sizeof strange);
  const auto oracle = WaveOracle::Create(request, nullptr, {.peer_c = peer});
  ASSERT_TRUE(oracle.ok()) << oracle.status();
  ASSERT_TRUE(oracle->computed()[0]);
  EXPECT_EQ(oracle->want()[0], 5);
  EXPECT_EQ(oracle->WantedC(), peer);
  EXPECT_TRUE(oracle->JudgeC(peer).ok()) << oracle->JudgeC(peer).mismatch;
  EXPECT_EQ(oracle->JudgeC(WaveOracle::Create(request)->WantedC()).first_difference, (ElementIndex{0, 0}));
  EXPECT_TRUE(absl::IsInvalidArgument(WaveOracle::Create(request, nullptr, {.peer_c = "short"}).status()));
}

}  // namespace
}  // namespace bwrt::client
