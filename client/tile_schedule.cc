#include "client/tile_schedule.h"

#include <algorithm>
#include <set>
#include <utility>

namespace bwrt::client {
namespace {

using Tile = std::pair<int64_t, int64_t>;

// "`tile_order`, else `tile_order_flat`, else `swizzle_group_size` g (groups of g tile rows; within each, n outer, m
// inner), else row-major."
std::vector<Tile> ListedTiles(const WaveSpec& spec, int64_t rows, int64_t columns) {
  std::vector<Tile> tiles;
  for (const TileCoord& tile : spec.tile_order()) tiles.emplace_back(tile.m(), tile.n());
  if (!tiles.empty()) return tiles;
  for (const uint32_t flat : spec.tile_order_flat()) tiles.emplace_back(flat / 65536, flat % 65536);
  if (!tiles.empty()) return tiles;
  const int64_t group = spec.swizzle_group_size() == 0 ? 1 : spec.swizzle_group_size();
  for (int64_t first = 0; first < rows; first += group) {
    for (int64_t n = 0; n < columns; ++n) {
      for (int64_t m = first; m < std::min(first + group, rows); ++m) tiles.emplace_back(m, n);
    }
  }
  return tiles;
}

// "With `rows` it is the order in which request rows are packed into tiles: ... repeated ids count once, ids without
// rows are ignored, unnamed rows follow in A's order. Without `rows` it is advisory."
std::vector<int64_t> PackedRows(const v1::SubmitWaveRequest& request) {
  std::vector<int64_t> packed;
  std::vector<bool> taken(static_cast<size_t>(request.m()));
  const auto take = [&](int64_t row) {
    if (!taken[static_cast<size_t>(row)]) packed.push_back(row);
    taken[static_cast<size_t>(row)] = true;
  };
  for (const int64_t id : request.spec().pack_order()) {
    for (const v1::RowRange& range : request.rows()) {
      if (range.id() != id) continue;
      for (int64_t row = range.begin(); row < range.end(); ++row) take(row);
    }
  }
  for (int64_t row = 0; row < request.m(); ++row) take(row);
  return packed;
}

}  // namespace

TileSchedule ScheduleOf(const v1::SubmitWaveRequest& request) {
  const WaveSpec& spec = request.spec();
  TileSchedule schedule;
  schedule.rows = (request.m() - 1) / spec.bm() + 1;
  schedule.columns = (request.n() - 1) / spec.bn() + 1;
  std::set<Tile> seen;
  const auto add = [&](const Tile& tile, bool listed) {
    const bool partial = (tile.first + 1) * spec.bm() > request.m() || (tile.second + 1) * spec.bn() > request.n();
    schedule.order.push_back({.m = tile.first,
                              .n = tile.second,
                              .listed = listed,
                              .partial = partial,
                              .dropped = partial && spec.tail_policy() == DROP});
    seen.insert(tile);
  };
  for (const Tile& tile : ListedTiles(spec, schedule.rows, schedule.columns)) add(tile, true);
  schedule.listed = static_cast<int64_t>(schedule.order.size());

  // "Missing tiles: `COMPLETE` (default) appends them in row-major order, ... `PARTIAL` skips them."
  for (int64_t m = 0; m < schedule.rows; ++m) {
    for (int64_t n = 0; n < schedule.columns; ++n) {
      if (seen.count({m, n}) != 0) continue;
      if (request.coverage() == v1::PARTIAL) {
        ++schedule.omitted;
      } else {
        add({m, n}, false);
        ++schedule.appended;
      }
    }
  }

  // "PEEL runs them after all full tiles", so also after full tiles that COMPLETE has appended.
  if (spec.tail_policy() == PEEL) {
    std::stable_sort(schedule.order.begin(), schedule.order.end(),
                     [](const ScheduledTile& a, const ScheduledTile& b) { return a.partial < b.partial; });
  }

  // "Token P+j the j-th listed tile to run. Tiles that COMPLETE appends belong to token P+T-1."
  schedule.prefetch_tokens = spec.io_extents_size();
  schedule.tile_tokens = schedule.listed;
  int64_t next = schedule.prefetch_tokens;
  for (ScheduledTile& tile : schedule.order) {
    tile.token = tile.listed ? next++ : schedule.prefetch_tokens + schedule.tile_tokens - 1;
    schedule.dropped += tile.dropped ? 1 : 0;
  }
  schedule.packed_rows = PackedRows(request);
  return schedule;
}

}  // namespace bwrt::client
