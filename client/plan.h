// A planner's recorded waves, read from its JSON.
//
// A plain value; reading is a pure function of the text. Three forms are read: a list of windows,
// each an object with `waves`; a bare list of waves; one window or one wave alone. A wave has the
// keys `pack_order`, `tile_order` [[m, n], ...], `bm`, `bn`, `bk`, `cluster_shape` [x, y],
// `tmem_layout` {columns, phases, double_buffer, stage_n}, `io_extents` [[layer, start, end], ...]
// and `swap_window` [begin, end], or, in their place, `tile_order_flat`, `cluster_x`, `cluster_y`,
// `swap_begin` and `swap_end`.
//
// 1. A missing key, or null, takes the planner's default: 0 for bm, bn, bk, cluster (1, 1), window
// [0, 1),
//    nothing for lists.
// 2. Every number is an integer in [0, 2^31 - 1] (flat tiles: 2^32 - 1). Any other is refused with
// its path,
//    never truncated or wrapped.
// 3. Only form and range are checked here. Whether a wave can run is for the daemon to say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/wavespec.pb.h"

namespace bwrt::client {

struct PlannedWave {
  std::string path = {};  // Such as "windows[0].waves[2]".
  WaveSpec spec = {};     // dtype unset.
  int64_t m = 0;          // (largest tile row + 1) * bm.
  int64_t n = 0;          // (largest tile column + 1) * bn.
  uint64_t prefetch_tokens = 0;
  uint64_t tile_tokens = 0;  // Listed tiles; of the whole grid where none is listed.
};

struct Plan {
  std::vector<PlannedWave> waves;
  // Keys of waves that mean nothing here, each once.
  std::vector<std::string> ignored_keys;
};

struct JsonValue;

// INVALID_ARGUMENT: not JSON, or not a plan; carries every violation (client/status.h), up to 100.
absl::StatusOr<Plan> ParsePlan(absl::string_view json);
absl::StatusOr<Plan> ParsePlan(const JsonValue& json);

// True for what is meant to be a plan rather than some other document.
bool LooksLikePlan(const JsonValue& json);

// As ParsePlan; NOT_FOUND, PERMISSION_DENIED and their like where `path` cannot be read.
absl::StatusOr<Plan> ReadPlan(const std::string& path);

}  // namespace bwrt::client
