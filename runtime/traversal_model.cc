#include "runtime/traversal_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

absl::Status Check(const TraversalQuestion& question) {
  Violations bad;
  if (question.l2_bytes > static_cast<uint64_t>(kMaxModelledL2Bytes)) {
    bad.Add("l2_bytes", "OUT_OF_RANGE", question.l2_bytes, "must be at most ", kMaxModelledL2Bytes,
            ", or 0 for the device's own");
  }
  if (question.concurrent_tiles > kMaxConcurrentTiles) {
    bad.Add("concurrent_tiles", "OUT_OF_RANGE", question.concurrent_tiles, "must lie in [1, ", kMaxConcurrentTiles,
            "], or 0 for the device's own; use the number of multiprocessors");
  }
  if (question.traversals.size() > kMaxModelledTraversals) {
    bad.Add("traversals", "TOO_MANY", absl::StrCat(question.traversals.size(), " entries"), "at most ",
            kMaxModelledTraversals, "; ask more than once");
  }
  for (size_t i = 0; i < std::min(question.traversals.size(), kMaxModelledTraversals); ++i) {
    const TraversalChoice& choice = question.traversals[i];
    const auto path = [i](absl::string_view part) { return absl::StrCat("traversals[", i, "].", part); };
    const bool grouped = choice.kind == TraversalKind::kGrouped;
    if (static_cast<int>(choice.kind) < 1 ||
        static_cast<int>(choice.kind) > static_cast<int>(TraversalKind::kGrouped)) {
      bad.Add(path("kind"), "UNKNOWN_VALUE", static_cast<int>(choice.kind),
              "must be GIVEN, ROW_MAJOR, ROW_SNAKE or GROUPED");
    } else if (grouped && choice.group_size == 0) {
      bad.Add(path("group_size"), "MISSING", 0, "GROUPED needs the tile rows of a group, at least 1");
    } else if (!grouped && choice.group_size != 0) {
      bad.Add(path("group_size"), "NOT_APPLICABLE", choice.group_size, "only GROUPED has groups; leave it 0");
    }
  }
  return bad.Take("request");
}

std::vector<TileCoord> RowSnake(const TileGrid& grid) {
  const auto rows = static_cast<int32_t>(grid.rows());
  const auto cols = static_cast<int32_t>(grid.cols());
  std::vector<TileCoord> order;
  order.reserve(static_cast<size_t>(grid.tiles()));
  for (int32_t m = 0; m < rows; ++m) {
    for (int32_t n = 0; n < cols; ++n) order.push_back({m, m % 2 == 0 ? n : cols - 1 - n});
  }
  return order;
}

// The tiles of one wave in any order.
class TileSet {
 public:
  explicit TileSet(const TilePlan& plan) : plan_(plan), grid_(plan.grid) {
    const auto& order = plan.traversal.order;
    count_ = std::count_if(order.begin(), order.end(), [this](TileCoord tile) { return !IsDropped(tile); });
    if (count_ == grid_.tiles()) return;
    runs_.resize(static_cast<size_t>(grid_.tiles()));
    for (const TileCoord tile : order) runs_[IndexOf(tile)] = !IsDropped(tile);
  }

  int64_t count() const { return count_; }

  std::vector<kernels::TileRect> InOrder(const TraversalChoice& choice) const {
    std::vector<TileCoord> order;
    if (choice.kind == TraversalKind::kGiven) {
      order = plan_.traversal.order;
    } else {
      // Row-major is the order without a group.
      auto listed = choice.kind == TraversalKind::kRowSnake ? RowSnake(grid_) : std::vector<TileCoord>();
      order = ResolveTraversal(grid_, std::move(listed), choice.group_size, Coverage::kComplete, plan_.tails).order;
    }
    std::vector<kernels::TileRect> rects;
    rects.reserve(static_cast<size_t>(count_));
    for (const TileCoord tile : order) {
      if (!runs_.empty() && !runs_[IndexOf(tile)]) continue;
      const int64_t row0 = tile.m * grid_.bm, col0 = tile.n * grid_.bn;
      rects.push_back({row0, col0, std::min(grid_.bm, grid_.m - row0), std::min(grid_.bn, grid_.n - col0)});
    }
    return rects;
  }

 private:
  bool IsDropped(TileCoord tile) const { return plan_.tails == TailPolicy::kDrop && grid_.Partial(tile); }
  size_t IndexOf(TileCoord tile) const { return static_cast<size_t>(tile.m * grid_.cols() + tile.n); }

  const TilePlan& plan_;
  const TileGrid& grid_;
  int64_t count_ = 0;
  std::vector<bool> runs_;  // By index in the grid; empty where all run.
};

}  // namespace

std::vector<TraversalChoice> DefaultTraversals(const TileGrid& grid) {
  std::vector<TraversalChoice> choices = {
      {TraversalKind::kGiven}, {TraversalKind::kRowMajor}, {TraversalKind::kRowSnake}};
  const auto most = static_cast<size_t>(kMaxModelledTiles / grid.tiles());
  // A group of all rows is column-major.
  for (int64_t group = 2; group < 2 * grid.rows() && choices.size() < most; group *= 2) {
    choices.push_back({TraversalKind::kGrouped, static_cast<uint32_t>(std::min(group, grid.rows()))});
  }
  return choices;
}

absl::StatusOr<TraversalAnswer> ModelTraversals(const TilePlan& plan, const TraversalQuestion& question,
                                                const SharedCache& device_cache,
                                                const std::function<bool()>& cancelled) {
  if (absl::Status status = Check(question); !status.ok()) return status;
  TraversalAnswer answer;
  const bool of_device = question.l2_bytes == 0;
  if (of_device) answer.cache = device_cache.name;
  answer.l2_bytes = of_device ? device_cache.bytes : static_cast<int64_t>(question.l2_bytes);
  answer.concurrent_tiles = question.concurrent_tiles != 0 ? question.concurrent_tiles
                            : of_device                    ? device_cache.tiles
                                                           : 1;
  if (answer.l2_bytes <= 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "L2_UNKNOWN",
                     "l2_bytes=0: the device's own cache is meant, and its size is not known here; give l2_bytes");
  }
  const auto choices = question.traversals.empty() ? DefaultTraversals(plan.grid) : question.traversals;
  const int64_t most = kMaxModelledTiles / plan.grid.tiles();
  if (static_cast<int64_t>(choices.size()) > most) {
    return MakeError(absl::StatusCode::kOutOfRange, "TOO_MANY_TILES",
                     absl::StrCat("traversals=", choices.size(), " entries: of a grid of ", plan.grid.tiles(),
                                  " tiles at most ", most, " are modelled at once (", kMaxModelledTiles,
                                  " tiles in all); ask more than once, or use larger tiles"));
  }
  const TileSet tiles(plan);
  answer.tiles = tiles.count();
  if (answer.tiles == 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_TILES",
                     "spec.tail_policy=DROP: every tile is partial and would be dropped; use PAD or smaller tiles");
  }
  for (const TraversalChoice& choice : choices) {
    if (cancelled()) return absl::CancelledError("the client has gone away");
    const auto traffic = kernels::ModelL2Traffic(tiles.InOrder(choice), plan.k, plan.bk, plan.dtype, answer.l2_bytes,
                                                 answer.concurrent_tiles);
    if (!traffic) {
      return MakeError(absl::StatusCode::kOutOfRange, "TOO_MANY_BYTES",
                       absl::StrCat("m=", plan.grid.m, ", n=", plan.grid.n, ", k=", plan.k,
                                    ": the tiles read more than 2^63 bytes; use larger tiles or split the wave"));
    }
    answer.traversals.push_back({choice, *traffic});
  }
  return answer;
}

}  // namespace bwrt::runtime
