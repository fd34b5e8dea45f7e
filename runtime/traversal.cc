#include "runtime/traversal.h"

#include <algorithm>
#include <utility>

namespace bwrt::runtime {
namespace {

std::vector<TileCoord> SynthesizeOrder(const TileGrid& grid, int64_t group) {
  const auto rows = static_cast<int32_t>(grid.rows());
  const auto cols = static_cast<int32_t>(grid.cols());
  std::vector<TileCoord> order;
  order.reserve(static_cast<size_t>(grid.tiles()));
  if (group == 0) {
    for (int32_t m = 0; m < rows; ++m) {
      for (int32_t n = 0; n < cols; ++n) order.push_back({m, n});
    }
    return order;
  }
  for (int64_t first = 0; first < rows; first += group) {
    const auto last = static_cast<int32_t>(std::min<int64_t>(first + group, rows));
    for (int32_t n = 0; n < cols; ++n) {
      for (auto m = static_cast<int32_t>(first); m < last; ++m) order.push_back({m, n});
    }
  }
  return order;
}

}  // namespace

Traversal ResolveTraversal(const TileGrid& grid, std::vector<TileCoord> explicit_order,
                           uint32_t swizzle_group_size, Coverage coverage, TailPolicy tails) {
  Traversal t;
  const bool synthesized = explicit_order.empty();
  t.order = synthesized ? SynthesizeOrder(grid, swizzle_group_size) : std::move(explicit_order);
  t.listed = static_cast<int64_t>(t.order.size());

  const int64_t missing = grid.tiles() - t.listed;
  if (missing > 0 && coverage == Coverage::kPartial) t.omitted = missing;
  if (missing > 0 && coverage == Coverage::kComplete) {
    std::vector<bool> seen(static_cast<size_t>(grid.tiles()));
    for (const TileCoord& tile : t.order) seen[static_cast<size_t>(tile.m * grid.cols() + tile.n)] = true;
    t.order.reserve(static_cast<size_t>(grid.tiles()));
    for (int64_t i = 0; i < grid.tiles(); ++i) {
      if (seen[static_cast<size_t>(i)]) continue;
      t.order.push_back(
          {static_cast<int32_t>(i / grid.cols()), static_cast<int32_t>(i % grid.cols())});
    }
  }

  const auto full = [&](const TileCoord& tile) { return !grid.Partial(tile); };
  if (tails == TailPolicy::kPeel) {
    const auto appended = t.order.begin() + t.listed;
    std::stable_partition(t.order.begin(), appended, full);
    std::stable_partition(appended, t.order.end(), full);
  }
  if (tails == TailPolicy::kDrop) {
    t.dropped = std::count_if(t.order.begin(), t.order.end(),
                              [&](const TileCoord& tile) { return grid.Partial(tile); });
  }
  return t;
}

}  // namespace bwrt::runtime
