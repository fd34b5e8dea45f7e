#include "runtime/traversal_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;
using Order = std::vector<TileCoord>;

constexpr TraversalChoice kGiven{TraversalKind::kGiven};
constexpr TraversalChoice kRowMajor{TraversalKind::kRowMajor};
constexpr TraversalChoice kRowSnake{TraversalKind::kRowSnake};

TraversalChoice Grouped(uint32_t rows) { return {TraversalKind::kGrouped, rows}; }

bool Never() { return false; }

// A device's.
SharedCache Cache(int64_t bytes, int64_t tiles = 1) { return {"L3", bytes, tiles}; }
const SharedCache kUnknown;

// Of tiles of 4 x 4 in steps of 4 over K = 10; `order` may leave tiles out.
TilePlan MakePlan(int64_t m, int64_t n, Order order = {}, TailPolicy tails = TailPolicy::kPad,
                  Coverage coverage = Coverage::kComplete) {
  TilePlan plan;
  plan.grid = {.m = m, .n = n, .bm = 4, .bn = 4};
  plan.bk = 4;
  plan.k = 10;
  plan.tails = tails;
  plan.traversal = ResolveTraversal(plan.grid, std::move(order), 0, coverage, tails);
  return plan;
}

// Of the plan's tiles in exactly that order, in a cache of that size.
int64_t Misses(const TilePlan& plan, const Order& order, int64_t l2_bytes, int64_t concurrent) {
  std::vector<kernels::TileRect> rects;
  for (const TileCoord tile : order) {
    rects.push_back({tile.m * 4, tile.n * 4, std::min<int64_t>(4, plan.grid.m - tile.m * 4),
                     std::min<int64_t>(4, plan.grid.n - tile.n * 4)});
  }
  return kernels::ModelL2Traffic(rects, plan.k, plan.bk, plan.dtype, l2_bytes, concurrent)->miss_bytes();
}

// That `choice` runs the plan's tiles in `order`: in caches of all sizes, one and two at a time.
void ExpectOrder(const TilePlan& plan, const TraversalChoice& choice, const Order& order) {
  bool differ = false;
  for (uint64_t l2_bytes = 64; l2_bytes < 4096; l2_bytes += 64) {
    for (const uint32_t concurrent : {1u, 2u}) {
      const auto answer = ModelTraversals(
          plan, {.l2_bytes = l2_bytes, .concurrent_tiles = concurrent, .traversals = {choice, kRowMajor}}, kUnknown,
          Never);
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->traversals[0].traffic.miss_bytes(),
                Misses(plan, order, static_cast<int64_t>(l2_bytes), concurrent))
          << l2_bytes;
      differ |= answer->traversals[0].traffic.miss_bytes() != answer->traversals[1].traffic.miss_bytes();
    }
  }
  // Else an order could be taken for another here.
  EXPECT_EQ(differ, !(choice == kRowMajor));
}

TEST(TraversalModelTest, RunsTilesInTheOrderAskedFor) {
  const TilePlan plan = MakePlan(12, 12, {{2, 2}, {0, 0}, {1, 1}, {2, 0}, {0, 2}});
  ExpectOrder(plan, kGiven, {{2, 2}, {0, 0}, {1, 1}, {2, 0}, {0, 2}, {0, 1}, {1, 0}, {1, 2}, {2, 1}});
  ExpectOrder(plan, kRowMajor, {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}});
  ExpectOrder(plan, kRowSnake, {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}, {1, 0}, {2, 0}, {2, 1}, {2, 2}});
  ExpectOrder(plan, Grouped(2), {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {1, 2}, {2, 0}, {2, 1}, {2, 2}});
  // Wider than high: column-major misses as row-major does in a square grid.
  const TilePlan wide = MakePlan(8, 16);
  ExpectOrder(wide, Grouped(2), {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}});
  ExpectOrder(wide, Grouped(7), {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}});
}

TEST(TraversalModelTest, AllOrdersRunTheSameTiles) {
  // The last row and column are partial.
  const TilePlan dropped = MakePlan(10, 10, {{1, 1}, {2, 2}}, TailPolicy::kDrop);
  ExpectOrder(dropped, kGiven, {{1, 1}, {0, 0}, {0, 1}, {1, 0}});
  ExpectOrder(dropped, kRowSnake, {{0, 0}, {0, 1}, {1, 1}, {1, 0}});
  const TilePlan peeled = MakePlan(10, 10, {}, TailPolicy::kPeel);
  ExpectOrder(peeled, kRowSnake, {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 2}, {1, 2}, {2, 0}, {2, 1}, {2, 2}});
  const TilePlan part = MakePlan(12, 12, {{1, 2}, {0, 1}, {1, 0}, {0, 2}}, TailPolicy::kPad, Coverage::kPartial);
  ExpectOrder(part, kRowSnake, {{0, 1}, {0, 2}, {1, 2}, {1, 0}});
  ExpectOrder(part, Grouped(3), {{1, 0}, {0, 1}, {0, 2}, {1, 2}});
  for (const TilePlan* plan : {&dropped, &peeled, &part}) {
    const auto answer = ModelTraversals(*plan, {.l2_bytes = 256}, kUnknown, Never);
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->tiles, plan == &peeled ? 9 : 4);
    for (const ModelledTraversal& modelled : answer->traversals) {
      EXPECT_EQ(modelled.traffic.read_bytes, answer->traversals[0].traffic.read_bytes);
      EXPECT_EQ(modelled.traffic.distinct_bytes, answer->traversals[0].traffic.distinct_bytes);
    }
  }
}

TEST(TraversalModelTest, DefaultsAreTheWavesOwnAndGroupsUpToAllRows) {
  const auto rows = [](int64_t count) { return DefaultTraversals({.m = count, .n = 8, .bm = 1, .bn = 1}); };
  EXPECT_EQ(rows(1), (std::vector<TraversalChoice>{kGiven, kRowMajor, kRowSnake}));
  EXPECT_EQ(rows(4), (std::vector<TraversalChoice>{kGiven, kRowMajor, kRowSnake, Grouped(2), Grouped(4)}));
  EXPECT_EQ(rows(5), (std::vector<TraversalChoice>{kGiven, kRowMajor, kRowSnake, Grouped(2), Grouped(4), Grouped(5)}));
  // As many as may be modelled.
  const TileGrid largest{.m = 1 << 16, .n = 16, .bm = 1, .bn = 1};
  EXPECT_EQ(DefaultTraversals(largest).size(), static_cast<size_t>(kMaxModelledTiles >> 20));
}

TEST(TraversalModelTest, TakesTheDevicesCacheWhereNoneIsGiven) {
  const TilePlan plan = MakePlan(12, 12);
  const auto own = ModelTraversals(plan, {}, Cache(640), Never);
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->l2_bytes, 640);
  EXPECT_EQ(own->concurrent_tiles, 1);
  EXPECT_EQ(own->cache, "L3");
  const auto other = ModelTraversals(plan, {.l2_bytes = 640, .concurrent_tiles = 3}, Cache(64), Never);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->l2_bytes, 640);
  EXPECT_EQ(other->concurrent_tiles, 3);
  EXPECT_EQ(other->cache, "") << "not the device's";
  EXPECT_EQ(GetReason(ModelTraversals(plan, {}, kUnknown, Never).status()), "L2_UNKNOWN");
}

TEST(TraversalModelTest, AsManyTilesAtOnceAsShareTheDevicesCache) {
  const TilePlan plan = MakePlan(12, 12);
  const auto at_once = [&](const TraversalQuestion& question) {
    const auto answer = ModelTraversals(plan, question, Cache(640, 5), Never);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->concurrent_tiles : -1;
  };
  EXPECT_EQ(at_once({}), 5);
  EXPECT_EQ(at_once({.concurrent_tiles = 2}), 2);
  EXPECT_EQ(at_once({.l2_bytes = 640}), 1) << "of some other cache nothing is known";
  EXPECT_EQ(at_once({.l2_bytes = 640, .concurrent_tiles = 4}), 4);
}

TEST(TraversalModelTest, NamesEveryBadField) {
  TraversalQuestion question{.l2_bytes = std::numeric_limits<uint64_t>::max(), .concurrent_tiles = 65537};
  question.traversals = {kGiven,
                         {},
                         {static_cast<TraversalKind>(5)},
                         {static_cast<TraversalKind>(-1)},
                         Grouped(0),
                         {TraversalKind::kRowSnake, 3}};
  const absl::Status status = ModelTraversals(MakePlan(8, 8), question, Cache(64), Never).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  std::map<std::string, std::string> reasons;
  const auto details = GetDetails(status);
  ASSERT_TRUE(details.has_value());
  for (const FieldViolation& violation : details->fields) reasons[violation.field] = violation.reason;
  EXPECT_EQ(reasons, (std::map<std::string, std::string>{{"l2_bytes", "OUT_OF_RANGE"},
                                                         {"concurrent_tiles", "OUT_OF_RANGE"},
                                                         {"traversals[1].kind", "UNKNOWN_VALUE"},
                                                         {"traversals[2].kind", "UNKNOWN_VALUE"},
                                                         {"traversals[3].kind", "UNKNOWN_VALUE"},
                                                         {"traversals[4].group_size", "MISSING"},
                                                         {"traversals[5].group_size", "NOT_APPLICABLE"}}));
  question = {.l2_bytes = 64, .traversals = std::vector<TraversalChoice>(65, kGiven)};
  EXPECT_THAT(ModelTraversals(MakePlan(8, 8), question, Cache(64), Never).status().message(),
              HasSubstr("traversals=65 entries: at most 64"));
}

TEST(TraversalModelTest, RefusesWhatWouldCostTooMuchOrMeansNothing) {
  TilePlan large = MakePlan(4 << 10, 4 << 10);  // 2^20 tiles.
  const absl::Status tiles =
      ModelTraversals(large, {.l2_bytes = 64, .traversals = std::vector<TraversalChoice>(9, kGiven)}, kUnknown, Never)
          .status();
  EXPECT_EQ(tiles.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(GetReason(tiles), "TOO_MANY_TILES");
  EXPECT_THAT(tiles.message(), HasSubstr("at most 8"));

  TilePlan deep = MakePlan(8, 8);
  deep.k = std::numeric_limits<int64_t>::max() / 64;
  EXPECT_EQ(GetReason(ModelTraversals(deep, {.l2_bytes = 64}, kUnknown, Never).status()), "TOO_MANY_BYTES");
  EXPECT_EQ(
      GetReason(ModelTraversals(MakePlan(3, 3, {}, TailPolicy::kDrop), {.l2_bytes = 64}, kUnknown, Never).status()),
      "NO_TILES");
}

TEST(TraversalModelTest, StopsBetweenTraversalsWhenTheClientHasGone) {
  int asked = 0;
  const auto answer = ModelTraversals(MakePlan(16, 16), {.l2_bytes = 64}, kUnknown, [&asked] { return ++asked == 3; });
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace bwrt::runtime
