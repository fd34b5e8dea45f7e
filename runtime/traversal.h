// Traversal: the order in which a wave's tiles run, resolved from what the planner wrote.
//
// Pure functions. The request's order must already be known to be valid (WaveValidator checks it with the
// same grid).
#ifndef BWRT_RUNTIME_TRAVERSAL_H_
#define BWRT_RUNTIME_TRAVERSAL_H_

#include <cstdint>
#include <vector>

#include "runtime/wave_request.h"

namespace bwrt::runtime {

// The tiles of C. Every dimension > 0.
struct TileGrid {
  int64_t m = 0;  // Rows of C.
  int64_t n = 0;  // Columns of C.
  int64_t bm = 1;
  int64_t bn = 1;
  int64_t rows() const { return (m + bm - 1) / bm; }
  int64_t cols() const { return (n + bn - 1) / bn; }
  int64_t tiles() const { return rows() * cols(); }
  bool Partial(TileCoord t) const { return (t.m + 1) * bm > m || (t.n + 1) * bn > n; }
};

// Order of execution.
struct Traversal {
  std::vector<TileCoord> order;
  // Tiles that own one token each, in this order; those that COMPLETE appended belong to the last token.
  int64_t listed = 0;
  // By position in `order`: whether COMPLETE appended the tile. Empty where those simply come last, which only PEEL can
  // change.
  std::vector<bool> appended_mask;
  int64_t omitted = 0;  // Tiles that PARTIAL leaves out.
  int64_t dropped = 0;  // Tiles in `order` that DROP skips.

  bool IsAppended(size_t position) const {
    return appended_mask.empty() ? static_cast<int64_t>(position) >= listed : appended_mask[position];
  }
  int64_t appended() const { return static_cast<int64_t>(order.size()) - listed; }
};

// The order in which rows are packed: those of the requests `pack_order` names, in its order (repeated ids once,
// ids without rows ignored), then the rest in A's order. `rows` must partition [0, m). Empty when that is A's own
// order.
std::vector<int64_t> ResolvePacking(int64_t m, const std::vector<int64_t>& pack_order,
                                    const std::vector<RowRange>& rows);

// `explicit_order` may be empty: then groups of `swizzle_group_size` tile rows (inside each, n outer and m
// inner), or row-major when that is 0. COMPLETE appends missing tiles in row-major order. PEEL then moves partial
// tiles behind all full ones, otherwise keeping the order: an appended full tile runs before a listed partial one.
Traversal ResolveTraversal(const TileGrid& grid, std::vector<TileCoord> explicit_order, uint32_t swizzle_group_size,
                           Coverage coverage, TailPolicy tails);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TRAVERSAL_H_
