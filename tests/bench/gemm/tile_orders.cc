#include "tests/bench/gemm/tile_orders.h"

#include <algorithm>
#include <random>

namespace bwrt::bench {
namespace {

runtime::TileCoord Tile(int64_t m, int64_t n) { return {static_cast<int32_t>(m), static_cast<int32_t>(n)}; }

}  // namespace

TileOrder RowSnake(int64_t rows, int64_t cols) {
  TileOrder order;
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t j = 0; j < cols; ++j) order.push_back(Tile(m, m % 2 == 0 ? j : cols - 1 - j));
  }
  return order;
}

TileOrder ColumnSnake(int64_t rows, int64_t cols) {
  TileOrder order = RowSnake(cols, rows);
  for (runtime::TileCoord& tile : order) std::swap(tile.m, tile.n);
  return order;
}

TileOrder RowMajor(int64_t rows, int64_t cols) { return Grouped(rows, cols, 1); }

TileOrder Grouped(int64_t rows, int64_t cols, int64_t group) {
  TileOrder order;
  for (int64_t first = 0; first < rows; first += group) {
    for (int64_t n = 0; n < cols; ++n) {
      for (int64_t m = first; m < std::min(rows, first + group); ++m) order.push_back(Tile(m, n));
    }
  }
  return order;
}

TileOrder Shuffled(int64_t rows, int64_t cols, uint32_t seed) {
  TileOrder order = RowMajor(rows, cols);
  std::mt19937 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

}  // namespace bwrt::bench
