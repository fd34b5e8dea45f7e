#include "runtime/traversal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <vector>

namespace bwrt::runtime {

void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

namespace {

using ::testing::ElementsAreArray;

using Order = std::vector<TileCoord>;

// A grid of `rows` x `cols` tiles of 10 x 10; `ragged`: the last row and column are partial.
TileGrid Grid(int64_t rows, int64_t cols, bool ragged = false) {
  const int64_t cut = ragged ? 3 : 0;
  return {.m = rows * 10 - cut, .n = cols * 10 - cut, .bm = 10, .bn = 10};
}

Traversal Resolve(const TileGrid& grid, Order order, Coverage coverage = Coverage::kComplete,
                  TailPolicy tails = TailPolicy::kPad) {
  return ResolveTraversal(grid, std::move(order), 0, coverage, tails);
}

Order Swizzled(const TileGrid& grid, uint32_t group) {
  const Traversal t = ResolveTraversal(grid, {}, group, Coverage::kComplete, TailPolicy::kPad);
  EXPECT_EQ(t.listed, grid.tiles());
  EXPECT_EQ(t.appended(), 0);
  return t.order;
}

TEST(TileGridTest, CountsWholeAndPartialTiles) {
  const TileGrid grid{.m = 21, .n = 40, .bm = 10, .bn = 20};
  EXPECT_EQ(grid.rows(), 3);
  EXPECT_EQ(grid.cols(), 2);
  EXPECT_EQ(grid.tiles(), 6);
  EXPECT_FALSE(grid.Partial({1, 1}));
  EXPECT_TRUE(grid.Partial({2, 0})) << "row 20 only";
  const TileGrid one{.m = 1, .n = 1, .bm = 128, .bn = 128};
  EXPECT_EQ(one.tiles(), 1);
  EXPECT_TRUE(one.Partial({0, 0}));
}

TEST(TraversalTest, WithoutAnyWishItIsRowMajor) {
  const Traversal t = Resolve(Grid(2, 3), {});
  EXPECT_THAT(t.order, ElementsAreArray(Order{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}}));
  EXPECT_EQ(t.listed, 6);
  EXPECT_EQ(t.appended(), 0);
  EXPECT_EQ(t.omitted, 0);
  EXPECT_EQ(t.dropped, 0);
}

TEST(TraversalTest, SwizzleGoesDownTheRowsOfAGroupFirst) {
  EXPECT_THAT(Swizzled(Grid(4, 2), 2),
              ElementsAreArray(Order{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {3, 0}, {2, 1}, {3, 1}}));
}

TEST(TraversalTest, SwizzlesLastGroupMayBeShort) {
  EXPECT_THAT(Swizzled(Grid(5, 2), 3),
              ElementsAreArray(Order{{0, 0}, {1, 0}, {2, 0}, {0, 1}, {1, 1}, {2, 1}, {3, 0}, {4, 0}, {3, 1}, {4, 1}}));
}

TEST(TraversalTest, SwizzleOfOneIsRowMajorAndOfAllColumnMajor) {
  EXPECT_EQ(Swizzled(Grid(3, 3), 1), Swizzled(Grid(3, 3), 0));
  const Order column_major = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
  EXPECT_EQ(Swizzled(Grid(2, 2), 2), column_major);
  EXPECT_EQ(Swizzled(Grid(2, 2), 1000), column_major);
  EXPECT_EQ(Swizzled(Grid(2, 2), 4294967295u), column_major) << "must not overflow";
}

TEST(TraversalTest, AnExplicitOrderBeatsTheSwizzle) {
  const Order order = {{1, 1}, {0, 0}, {1, 0}, {0, 1}};
  EXPECT_EQ(ResolveTraversal(Grid(2, 2), order, 2, Coverage::kExact, TailPolicy::kPad).order, order);
}

// What real planners emit: a snake through 2 x 3 tiles that stops one short.
TEST(TraversalTest, CompleteAppendsTheSixthTileOfATruncatedSnake) {
  const Traversal t = Resolve(Grid(2, 3), {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}});
  EXPECT_THAT(t.order, ElementsAreArray(Order{{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}, {1, 0}}));
  EXPECT_EQ(t.listed, 5);
  EXPECT_EQ(t.appended(), 1);
  EXPECT_EQ(t.omitted, 0);
}

TEST(TraversalTest, CompleteAppendsInRowMajorOrder) {
  const Traversal t = Resolve(Grid(3, 3), {{2, 2}, {1, 1}});
  EXPECT_THAT(t.order, ElementsAreArray(Order{{2, 2}, {1, 1}, {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}}));
  EXPECT_EQ(t.listed, 2);
  EXPECT_EQ(t.appended(), 7);
}

TEST(TraversalTest, PartialLeavesMissingTilesOut) {
  const Order order = {{2, 2}, {1, 1}};
  const Traversal t = Resolve(Grid(3, 3), order, Coverage::kPartial);
  EXPECT_EQ(t.order, order);
  EXPECT_EQ(t.listed, 2);
  EXPECT_EQ(t.omitted, 7);
  EXPECT_EQ(t.appended(), 0);
}

TEST(TraversalTest, PartialWithoutAListIsEverything) {
  const Traversal t = Resolve(Grid(2, 2), {}, Coverage::kPartial);
  EXPECT_EQ(t.order.size(), 4u);
  EXPECT_EQ(t.omitted, 0);
}

TEST(TraversalTest, ExactAddsNothing) {
  const Order order = {{0, 1}, {0, 0}};
  const Traversal t = Resolve(Grid(1, 2), order, Coverage::kExact);
  EXPECT_EQ(t.order, order);
  EXPECT_EQ(t.appended(), 0);
}

TEST(TraversalTest, PeelMovesPartialTilesBehindAndKeepsTheOrderOtherwise) {
  // Row 1 and column 2 are partial.
  const Traversal t = Resolve(Grid(2, 3, /*ragged=*/true), {{1, 0}, {0, 1}, {0, 2}, {0, 0}, {1, 1}, {1, 2}},
                              Coverage::kExact, TailPolicy::kPeel);
  EXPECT_THAT(t.order, ElementsAreArray(Order{{0, 1}, {0, 0}, {1, 0}, {0, 2}, {1, 1}, {1, 2}}));
  EXPECT_EQ(t.listed, 6);
  EXPECT_EQ(t.dropped, 0);
}

TEST(TraversalTest, PeelRunsAppendedFullTilesBeforeListedPartialOnes) {
  const Traversal t = Resolve(Grid(2, 2, /*ragged=*/true), {{1, 1}, {0, 1}}, Coverage::kComplete, TailPolicy::kPeel);
  // Listed: both partial. Appended: (0,0) full, then (1,0).
  EXPECT_THAT(t.order, ElementsAreArray(Order{{0, 0}, {1, 1}, {0, 1}, {1, 0}}));
  EXPECT_EQ(t.listed, 2);
  EXPECT_EQ(t.appended_mask, (std::vector<bool>{true, false, false, true}));
}

TEST(TraversalTest, AppendedTilesThatComeLastNeedNoMask) {
  const Traversal t = Resolve(Grid(2, 2), {{1, 1}, {0, 1}}, Coverage::kComplete, TailPolicy::kPeel);
  EXPECT_TRUE(t.appended_mask.empty());
  EXPECT_FALSE(t.IsAppended(1));
  EXPECT_TRUE(t.IsAppended(2));
}

TEST(TraversalTest, DropCountsThePartialTilesAndKeepsThemInTheOrder) {
  const Traversal t = Resolve(Grid(2, 3, /*ragged=*/true), {}, Coverage::kComplete, TailPolicy::kDrop);
  EXPECT_EQ(t.order.size(), 6u) << "a dropped tile still owns its token";
  EXPECT_EQ(t.listed, 6);
  EXPECT_EQ(t.dropped, 4);
}

TEST(TraversalTest, DropOfAWholeGridCountsNone) {
  EXPECT_EQ(Resolve(Grid(2, 3), {}, Coverage::kComplete, TailPolicy::kDrop).dropped, 0);
}

TEST(TraversalTest, DropCountsOnlyWhatPartialDoesNotOmit) {
  const Traversal t = Resolve(Grid(2, 2, /*ragged=*/true), {{0, 0}, {1, 1}}, Coverage::kPartial, TailPolicy::kDrop);
  EXPECT_EQ(t.dropped, 1);
  EXPECT_EQ(t.omitted, 2);
}

TEST(PackingTest, WithoutRowsThereIsNone) { EXPECT_TRUE(ResolvePacking(4, {3, 1, 2}, {}).empty()); }

TEST(PackingTest, RowsFollowThePackOrder) {
  const std::vector<RowRange> rows = {{7, 0, 2}, {8, 2, 3}, {9, 3, 5}};
  EXPECT_THAT(ResolvePacking(5, {9, 7, 8}, rows), ElementsAreArray({3, 4, 0, 1, 2}));
}

TEST(PackingTest, RepeatedAndUnknownIdsDoNotCount) {
  const std::vector<RowRange> rows = {{7, 0, 2}, {8, 2, 3}};
  EXPECT_THAT(ResolvePacking(3, {100, 8, 8, 0, 7, 8}, rows), ElementsAreArray({2, 0, 1}));
}

TEST(PackingTest, UnnamedRowsFollowInTheirOwnOrder) {
  // Listed out of order and with ids that would sort otherwise.
  const std::vector<RowRange> rows = {{1, 4, 6}, {9, 0, 1}, {5, 1, 4}};
  EXPECT_THAT(ResolvePacking(6, {5}, rows), ElementsAreArray({1, 2, 3, 0, 4, 5}));
}

TEST(PackingTest, TheirOwnOrderIsNoPacking) {
  const std::vector<RowRange> rows = {{1, 2, 4}, {2, 0, 2}};
  EXPECT_TRUE(ResolvePacking(4, {2, 1}, rows).empty());
  EXPECT_TRUE(ResolvePacking(4, {}, rows).empty());
}

// Whatever the planner lists, COMPLETE runs every tile once, and the listed ones first and as written.
TEST(TraversalTest, CompleteAlwaysCoversTheGridOnce) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const TileGrid grid = Grid(1 + random() % 5, 1 + random() % 5, random() % 2 == 0);
    Order all = Resolve(grid, {}).order;
    Order listed = all;
    std::shuffle(listed.begin(), listed.end(), random);
    listed.resize(random() % (listed.size() + 1));
    const Traversal t = Resolve(grid, listed);
    if (!listed.empty()) {
      ASSERT_TRUE(std::equal(listed.begin(), listed.end(), t.order.begin())) << "round " << round;
      ASSERT_EQ(t.listed, static_cast<int64_t>(listed.size()));
    }
    ASSERT_THAT(t.order, ::testing::UnorderedElementsAreArray(all)) << "round " << round;
  }
}

}  // namespace
}  // namespace bwrt::runtime
