#include "client/wave_traversal_draw.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/wave_space.h"

namespace bwrt::client {
namespace {

using Tiles = std::vector<std::pair<int32_t, int32_t>>;

// Boustrophedon, as planners walk a grid: every other row backwards.
Tiles Snake(int64_t rows, int64_t columns) {
  Tiles tiles;
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t i = 0; i < columns; ++i) tiles.emplace_back(m, m % 2 == 0 ? i : columns - 1 - i);
  }
  return tiles;
}

Tiles DrawOrder(Draws* draws, int64_t rows, int64_t columns) {
  Tiles tiles = Snake(rows, columns);
  switch (draws->Below(5)) {
    case 0:
      break;  // The whole snake.
    case 1:   // Cut off, as real planners do.
      tiles.resize(draws->Between(1, static_cast<int64_t>(tiles.size())));
      break;
    case 2:  // A subset, in any order.
      draws->Shuffle(&tiles);
      tiles.resize(draws->Between(1, static_cast<int64_t>(tiles.size())));
      break;
    case 3:  // All but one: appending a single tile is its own corner.
      draws->Shuffle(&tiles);
      if (tiles.size() > 1) tiles.pop_back();
      break;
    default:
      draws->Shuffle(&tiles);
  }
  return tiles;
}

void DrawWindow(Draws* draws, int64_t prefetch, int64_t tokens, WaveSpec* spec) {
  constexpr int64_t kLast = std::numeric_limits<int32_t>::max();
  int64_t begin = prefetch, end = tokens;  // A planner's.
  switch (draws->Below(6)) {
    case 0:
      begin = 0, end = 1;
      break;
    case 1:
      begin = 0;
      break;
    case 2:
      begin = draws->Between(0, tokens - 1), end = draws->Between(begin + 1, tokens);
      break;
    case 3:  // Past the last token: never open while the wave runs, but a window.
      begin = tokens + draws->Between(0, 9), end = draws->Pick<int64_t>({begin + 1, kLast});
      break;
    default:
      break;
  }
  spec->set_swap_begin(static_cast<int32_t>(begin));
  spec->set_swap_end(static_cast<int32_t>(end));
}

}  // namespace

void DrawTraversal(Draws* draws, v1::SubmitWaveRequest* request) {
  WaveSpec* spec = request->mutable_spec();
  const int64_t rows = TilesAlong(request->m(), spec->bm()), columns = TilesAlong(request->n(), spec->bn());
  const uint64_t kind = draws->Below(5);  // None, swizzle, order, flat, both.
  size_t listed = 0;
  if (kind >= 2) {
    const Tiles tiles = DrawOrder(draws, rows, columns);
    listed = tiles.size();
    for (const auto& [m, n] : tiles) {
      if (kind != 3) {
        TileCoord* tile = spec->add_tile_order();
        tile->set_m(m);
        tile->set_n(n);
      }
      if (kind != 2) spec->add_tile_order_flat(static_cast<uint32_t>(m) << 16 | static_cast<uint32_t>(n));
    }
  }
  // Beside an order, the swizzle does not count.
  if (kind == 1 || draws->Percent(10)) {
    spec->set_swizzle_group_size(static_cast<uint32_t>(draws->Between(1, rows + 2)));
  }
  const bool complete = listed == 0 || listed == static_cast<size_t>(rows * columns);
  request->set_coverage(complete ? draws->Pick({v1::COMPLETE, v1::EXACT, v1::PARTIAL})
                                 : draws->Pick({v1::COMPLETE, v1::PARTIAL}));
  spec->set_tail_policy(draws->Pick({PAD, DROP, PEEL}));
}

void DrawPacking(Draws* draws, v1::SubmitWaveRequest* request) {
  std::vector<int64_t> ids;
  if (draws->Percent(40)) {
    const int64_t ranges = draws->Between(1, std::min<int64_t>(request->m(), 7));
    std::vector<int64_t> cuts = {0, request->m()};
    while (static_cast<int64_t>(cuts.size()) <= ranges) {
      const int64_t cut = draws->Between(1, request->m() - 1);
      if (std::find(cuts.begin(), cuts.end(), cut) == cuts.end()) cuts.push_back(cut);
    }
    std::sort(cuts.begin(), cuts.end());
    const int64_t base = draws->Pick<int64_t>({0, 1000, std::numeric_limits<int32_t>::max() - 50});
    for (int64_t i = 0; i < ranges; ++i) {
      v1::RowRange* range = request->add_rows();
      range->set_id(base + 5 * i);
      range->set_begin(cuts[i]);
      range->set_end(cuts[i + 1]);
      ids.push_back(range->id());
    }
    // Any order of the ranges is as good.
    for (int i = request->rows_size(); i > 1; --i) {
      request->mutable_rows()->SwapElements(i - 1, static_cast<int>(draws->Below(i)));
    }
  }
  if (draws->Percent(25)) return;  // No pack_order: rows keep A's order, as do unnamed requests.
  draws->Shuffle(&ids);
  if (!ids.empty() && draws->Percent(30)) ids.resize(draws->Between(0, static_cast<int64_t>(ids.size()) - 1));
  for (int64_t extra = draws->Between(0, 3); extra > 0; --extra) {
    // A repeated id counts once, at its first place; one without rows not at all.
    const bool repeat = !ids.empty() && draws->Percent(60);
    const int64_t id = repeat ? draws->PickFrom(ids) : 7 + 5 * draws->Between(0, 1000);
    ids.insert(ids.begin() + static_cast<int64_t>(draws->Below(ids.size() + 1)), id);
  }
  request->mutable_spec()->mutable_pack_order()->Assign(ids.begin(), ids.end());
}

void DrawTokens(Draws* draws, bool io_extents, v1::SubmitWaveRequest* request) {
  WaveSpec* spec = request->mutable_spec();
  const int64_t extents = !io_extents || draws->Percent(50) ? 0 : draws->Between(1, 6);
  for (int64_t i = 0; i < extents; ++i) {
    IoExtent* extent = spec->add_io_extents();
    extent->set_layer(absl::StrCat(draws->Between(0, 40)));
    extent->set_start_pid(draws->Pick<int64_t>({0, draws->Between(0, 100'000), 2'147'483'647}));
    const int64_t pages = draws->Between(-3, 9);  // Up to 0, it is reversed: it reads nothing.
    extent->set_end_pid(std::clamp<int64_t>(extent->start_pid() + pages - 1, -1, 2'147'483'647));
  }
  const int64_t grid = TilesAlong(request->m(), spec->bm()) * TilesAlong(request->n(), spec->bn());
  const int64_t listed = std::max(spec->tile_order_size(), spec->tile_order_flat_size());
  DrawWindow(draws, extents, extents + (listed == 0 ? grid : listed), spec);

  spec->set_stage_hint(static_cast<int32_t>(draws->Percent(40) ? 0 : draws->Between(1, 8)));
  if (draws->Percent(40)) {
    TMemLayout* tmem = spec->mutable_tmem_layout();
    tmem->set_columns(static_cast<int32_t>(draws->Between(0, 512)));
    tmem->set_phases(static_cast<int32_t>(draws->Between(0, 8)));
    tmem->set_double_buffer(draws->Percent(50));
  }
}

}  // namespace bwrt::client
