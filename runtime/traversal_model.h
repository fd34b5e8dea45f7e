// How the traversals among which a planner chooses would use a cache, before anything runs: each replayed by
// kernels/l2_model.h over the tiles that the wave runs.
//
// Pure functions; thread-safe.
#ifndef BWRT_RUNTIME_TRAVERSAL_MODEL_H_
#define BWRT_RUNTIME_TRAVERSAL_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/l2_model.h"
#include "runtime/shared_cache.h"
#include "runtime/tile_plan.h"

namespace bwrt::runtime {

// Enumerators have the wire's values and may hold numbers that none of them has.
enum class TraversalKind : int {
  kUnspecified = 0,
  kGiven = 1,     // The wave's own.
  kRowMajor = 2,  // Row by row, each from left to right.
  kRowSnake = 3,  // Row by row, every other from right to left.
  kGrouped = 4,   // Groups of `group_size` tile rows; within each, columns outer and rows inner.
};

struct TraversalChoice {
  TraversalKind kind = TraversalKind::kUnspecified;
  uint32_t group_size = 0;  // kGrouped: at least 1. Else 0.
  friend bool operator==(const TraversalChoice&, const TraversalChoice&) = default;
};

// As a client wrote it, unchecked.
struct TraversalQuestion {
  uint64_t l2_bytes = 0;                         // 0: the device's cache.
  uint32_t concurrent_tiles = 0;                 // 0: as many as share the device's cache where that is meant, else 1.
  std::vector<TraversalChoice> traversals = {};  // Empty: DefaultTraversals.
};

struct ModelledTraversal {
  TraversalChoice traversal;
  kernels::L2Traffic traffic;
};

struct TraversalAnswer {
  std::string cache;  // The device's by name, where it is meant; else empty.
  int64_t l2_bytes = 0;
  int64_t concurrent_tiles = 1;
  int64_t tiles = 0;  // That run.
  std::vector<ModelledTraversal> traversals;
};

// What one answer may cost: a tile in one traversal takes 0.05 to 0.3 us, so this is a second or two.
inline constexpr int64_t kMaxModelledTiles = int64_t{1} << 23;  // Tiles times traversals.
inline constexpr size_t kMaxModelledTraversals = 64;
inline constexpr int64_t kMaxConcurrentTiles = int64_t{1} << 16;
inline constexpr int64_t kMaxModelledL2Bytes = int64_t{1} << 40;

// The wave's own, row-major, the row snake, and groups of 2, 4, 8 ... tile rows up to all of them; as many as
// kMaxModelledTiles allows.
std::vector<TraversalChoice> DefaultTraversals(const TileGrid& grid);

// All traversals run the plan's tiles, in its dtype, under its tail policy: those that PARTIAL omits or DROP skips are
// in none, and PEEL runs partial tiles last in all. `cancelled` is asked between two traversals.
// - INVALID_ARGUMENT: with every violation.
// - FAILED_PRECONDITION L2_UNKNOWN: l2_bytes is 0, and the size of the device's cache is not known.
// - OUT_OF_RANGE TOO_MANY_TILES: over kMaxModelledTiles; TOO_MANY_BYTES: what the tiles read does not fit in 63 bits.
// - FAILED_PRECONDITION NO_TILES: every tile is dropped.
// - CANCELLED.
absl::StatusOr<TraversalAnswer> ModelTraversals(const TilePlan& plan, const TraversalQuestion& question,
                                                const SharedCache& device_cache,
                                                const std::function<bool()>& cancelled);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TRAVERSAL_MODEL_H_
