#include "runtime/traversal.h"

#include <algorithm>
#include <map>
#include <numeric>
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

// Moves partial tiles behind all full ones.
void Peel(const TileGrid& grid, Traversal& t) {
  std::vector<size_t> positions(t.order.size());
  std::iota(positions.begin(), positions.end(), size_t{0});
  std::stable_partition(positions.begin(), positions.end(),
                        [&](size_t position) { return !grid.Partial(t.order[position]); });
  std::vector<TileCoord> order;
  std::vector<bool> appended;
  order.reserve(positions.size());
  appended.reserve(positions.size());
  for (const size_t position : positions) {
    order.push_back(t.order[position]);
    appended.push_back(t.IsAppended(position));
  }
  t.order = std::move(order);
  if (!std::is_sorted(appended.begin(), appended.end())) t.appended_mask = std::move(appended);
}

}  // namespace

std::vector<int64_t> ResolvePacking(int64_t m, const std::vector<int64_t>& pack_order,
                                    const std::vector<RowRange>& rows) {
  if (rows.empty()) return {};
  std::map<int64_t, RowRange> left;
  for (const RowRange& range : rows) left.emplace(range.id, range);
  std::vector<int64_t> packed;
  packed.reserve(static_cast<size_t>(m));
  const auto append = [&packed](const RowRange& range) {
    for (int64_t row = range.begin; row < range.end; ++row) packed.push_back(row);
  };
  for (const int64_t id : pack_order) {
    if (const auto at = left.find(id); at != left.end()) {
      append(at->second);
      left.erase(at);
    }
  }
  std::vector<RowRange> rest;
  rest.reserve(left.size());
  for (const auto& [id, range] : left) rest.push_back(range);
  std::sort(rest.begin(), rest.end(), [](const RowRange& a, const RowRange& b) { return a.begin < b.begin; });
  for (const RowRange& range : rest) append(range);
  if (std::is_sorted(packed.begin(), packed.end())) packed.clear();
  return packed;
}

Traversal ResolveTraversal(const TileGrid& grid, std::vector<TileCoord> explicit_order, uint32_t swizzle_group_size,
                           Coverage coverage, TailPolicy tails) {
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
      t.order.push_back({static_cast<int32_t>(i / grid.cols()), static_cast<int32_t>(i % grid.cols())});
    }
  }

  if (tails == TailPolicy::kPeel) Peel(grid, t);
  if (tails == TailPolicy::kDrop) {
    t.dropped =
        std::count_if(t.order.begin(), t.order.end(), [&](const TileCoord& tile) { return grid.Partial(tile); });
  }
  return t;
}

}  // namespace bwrt::runtime
