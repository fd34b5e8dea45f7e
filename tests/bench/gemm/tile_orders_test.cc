#include "tests/bench/gemm/tile_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace bwrt::runtime {

void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

}  // namespace bwrt::runtime

namespace bwrt::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;
using Tile = runtime::TileCoord;

TEST(TileOrdersTest, SnakesTurnAtTheEdges) {
  EXPECT_THAT(RowSnake(2, 3), ElementsAre(Tile{0, 0}, Tile{0, 1}, Tile{0, 2}, Tile{1, 2}, Tile{1, 1}, Tile{1, 0}));
  EXPECT_THAT(ColumnSnake(2, 3), ElementsAre(Tile{0, 0}, Tile{1, 0}, Tile{1, 1}, Tile{0, 1}, Tile{0, 2}, Tile{1, 2}));
}

TEST(TileOrdersTest, GroupsRunColumnByColumnAndTheLastIsWhatIsLeft) {
  EXPECT_THAT(Grouped(3, 2, 2), ElementsAre(Tile{0, 0}, Tile{1, 0}, Tile{0, 1}, Tile{1, 1}, Tile{2, 0}, Tile{2, 1}));
}

TEST(TileOrdersTest, ShufflesListEveryTileOnceAndDependOnTheSeed) {
  EXPECT_THAT(Shuffled(5, 7, 1), UnorderedElementsAreArray(RowMajor(5, 7)));
  EXPECT_EQ(Shuffled(5, 7, 1), Shuffled(5, 7, 1));
  EXPECT_NE(Shuffled(5, 7, 1), Shuffled(5, 7, 2));
}

}  // namespace
}  // namespace bwrt::bench
