// The lists of a wave: its traversal, its rows, its pages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "runtime/wave_validator.h"
#include "tests/runtime/validated_wave.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::StartsWith;

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

}  // namespace
}  // namespace bwrt::runtime
