// The order of tiles.
#include "absl/strings/str_cat.h"
#include "runtime/wave_check.h"

namespace bwrt::runtime {
namespace {

void CheckFlatAgrees(const WaveSpec& s, Violations& bad) {
  if (s.tile_order.size() != s.tile_order_flat.size()) {
    bad.Add("spec.tile_order_flat", "TRAVERSALS_DIFFER", absl::StrCat(s.tile_order_flat.size(), " tiles"),
            "tile_order has ", s.tile_order.size(), "; give one of the two, or make them equal");
    return;
  }
  for (size_t i = 0; i < s.tile_order.size(); ++i) {
    const TileCoord t = s.tile_order[i];
    if ((int64_t{t.m} << 16 | t.n) == int64_t{s.tile_order_flat[i]}) continue;
    bad.Add(absl::StrCat("spec.tile_order_flat[", i, "]"), "TRAVERSALS_DIFFER", s.tile_order_flat[i], "tile_order[", i,
            "] is (", t.m, ",", t.n, "); give one of the two, or make them equal");
  }
}

}  // namespace

std::vector<TileCoord> CheckOrder(const WaveRequest& r, const TileGrid& grid, const Limits& limits, Violations& bad) {
  const WaveSpec& s = r.spec;
  const bool listed = CheckCount("spec.tile_order", s.tile_order.size(), limits.max_listed_tiles, bad);
  const bool flat = CheckCount("spec.tile_order_flat", s.tile_order_flat.size(), limits.max_listed_tiles, bad);
  if (!listed || !flat) return {};
  const bool use_flat = s.tile_order.empty();
  std::vector<TileCoord> order = s.tile_order;
  if (use_flat) {
    for (const uint32_t tile : s.tile_order_flat) {
      order.push_back({static_cast<int32_t>(tile >> 16), static_cast<int32_t>(tile & 0xffff)});
    }
  } else if (!s.tile_order_flat.empty()) {
    CheckFlatAgrees(s, bad);
  }
  std::vector<bool> seen(static_cast<size_t>(grid.tiles()));
  int64_t distinct = 0;
  bool inside = true;
  for (size_t i = 0; i < order.size(); ++i) {
    const TileCoord t = order[i];
    const auto path = [&](absl::string_view part) {
      return use_flat ? absl::StrCat("spec.tile_order_flat[", i, "]") : absl::StrCat("spec.tile_order[", i, "]", part);
    };
    const bool m = t.m >= 0 && t.m < grid.rows();
    const bool n = t.n >= 0 && t.n < grid.cols();
    if (!m) {
      bad.Add(path(".m"), "TILE_OUTSIDE_GRID", t.m, "the grid has ", grid.rows(), " tile rows (m=", r.m, ", bm=", s.bm,
              "), so this must lie in [0, ", grid.rows() - 1, "]");
    }
    if (!n) {
      bad.Add(path(".n"), "TILE_OUTSIDE_GRID", t.n, "the grid has ", grid.cols(), " tile columns (n=", r.n,
              ", bn=", s.bn, "), so this must lie in [0, ", grid.cols() - 1, "]");
    }
    inside = inside && m && n;
    if (!m || !n) continue;
    const auto at = static_cast<size_t>(t.m * grid.cols() + t.n);
    if (seen[at]) {
      bad.Add(path(""), "TILE_REPEATED", absl::StrCat("(", t.m, ",", t.n, ")"), "listed before; each tile runs once");
    }
    distinct += seen[at] ? 0 : 1;
    seen[at] = true;
  }
  if (!order.empty() && inside && r.coverage == Coverage::kExact && distinct < grid.tiles()) {
    bad.Add("coverage", "COVERAGE_INCOMPLETE", "EXACT", "the order lists ", distinct, " of ", grid.tiles(),
            " tiles; list them all or use COMPLETE or PARTIAL");
  }
  return order;
}

}  // namespace bwrt::runtime
