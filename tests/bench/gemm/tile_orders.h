// Orders in which the tiles of a rows x cols grid can run. Pure functions; every one lists each tile once.
#ifndef BWRT_TESTS_BENCH_GEMM_TILE_ORDERS_H_
#define BWRT_TESTS_BENCH_GEMM_TILE_ORDERS_H_

#include <cstdint>
#include <vector>

#include "runtime/wave_request.h"

namespace bwrt::bench {

using TileOrder = std::vector<runtime::TileCoord>;

// Row by row, the first from left to right, the next from right to left: what planners emit.
TileOrder RowSnake(int64_t rows, int64_t cols);
// The same by columns.
TileOrder ColumnSnake(int64_t rows, int64_t cols);
TileOrder RowMajor(int64_t rows, int64_t cols);
// Groups of `group` tile rows; within each, columns outer and rows inner: what swizzle_group_size means.
TileOrder Grouped(int64_t rows, int64_t cols, int64_t group);
TileOrder Shuffled(int64_t rows, int64_t cols, uint32_t seed);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_TILE_ORDERS_H_
