// Caps on everything a client can count, and on what it can make the daemon hold.
#ifndef BWRT_RUNTIME_LIMITS_H_
#define BWRT_RUNTIME_LIMITS_H_

#include <cstdint>

namespace bwrt::runtime {

struct Limits {
  int64_t max_message_bytes = int64_t{64} << 20;  // A request, and a result.
  int64_t max_dim = int64_t{1} << 24;             // m, n, k and each tensor dimension.
  int64_t max_tiles = int64_t{1} << 20;           // Tiles of the whole grid.
  int64_t max_listed_tiles = int64_t{1} << 16;
  int64_t max_io_extents = int64_t{1} << 16;
  int64_t max_wave_pages = int64_t{1} << 20;  // Of one wave's io_extents, where they are read.
  int64_t max_pack_order = int64_t{1} << 16;
  int64_t max_tensors = 100'000;  // Of one model, and in one SetWeights.
  int64_t max_tensor_dims = 8;
  int64_t max_models = 64;
  int64_t max_pending_swaps = 64;  // Of all models together.
  int64_t max_updates = 64;        // Under way, of all models together.
  int64_t max_commit_updates = 16;
  int64_t max_watches = 64;    // Of each kind.
  int64_t queue_waves = 1024;  // Waiting on one device.
  int64_t queue_bytes = int64_t{1} << 30;
  int64_t weight_bytes = int64_t{1} << 33;
};

// Fixed by the wire or by the planner.
inline constexpr int64_t kMaxId = 2147483647;    // Page and request ids are int32 in the planner handoff.
inline constexpr int64_t kMaxTileCoord = 65535;  // tile_order_flat keeps 16 bits for each.
inline constexpr int64_t kGranuleBytes = 32;     // K and bk in bytes must be multiples of this.
inline constexpr int kMaxStages = 8;
inline constexpr int kMaxPriority = 100;
inline constexpr size_t kMaxClientIdBytes = 64;
inline constexpr size_t kMaxWaveIdBytes = 128;
inline constexpr size_t kMaxModelNameBytes = 128;
inline constexpr size_t kMaxTensorNameBytes = 512;
inline constexpr size_t kMaxLayerBytes = 128;
inline constexpr size_t kMaxLabelBytes = 256;

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_LIMITS_H_
