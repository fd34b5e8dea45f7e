// WaveRequest: a wave as a client wrote it, decoded but unchecked.
//
// Field names are the wire's, so that a violation's path means the same on both sides. Enumerators have the
// wire's values and may hold numbers that none of them has: checking is WaveValidator's work alone.
#ifndef BWRT_RUNTIME_WAVE_REQUEST_H_
#define BWRT_RUNTIME_WAVE_REQUEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/clock.h"

namespace bwrt::runtime {

enum class DTypeWish : int { kUnspecified = 0, kF32 = 1, kF16 = 2, kBF16 = 3, kF8E4M3 = 14, kF8E5M2 = 15 };
enum class TailPolicy : int { kPad = 0, kDrop = 1, kPeel = 2 };
enum class Coverage : int { kComplete = 0, kExact = 1, kPartial = 2 };
enum class ActivationWish : int { kIdentity = 0, kRelu = 1, kGeluTanh = 2, kGeluErf = 3, kSilu = 4 };

struct TileCoord {
  int32_t m = 0;
  int32_t n = 0;
  friend bool operator==(const TileCoord&, const TileCoord&) = default;
};

struct IoExtent {
  std::string layer;
  int64_t start_pid = 0;
  int64_t end_pid = 0;  // Inclusive; below start_pid reads nothing.
};

struct WaveSpec {
  std::vector<int64_t> pack_order;
  std::vector<TileCoord> tile_order;
  int32_t bm = 0;
  int32_t bn = 0;
  int32_t bk = 0;
  int32_t cluster_x = 0;  // 0 means 1.
  int32_t cluster_y = 0;
  int32_t tmem_columns = 0;
  int32_t tmem_phases = 0;
  bool tmem_double_buffer = false;
  int32_t stage_n = 0;  // 0 means 1.
  std::vector<IoExtent> io_extents;
  int32_t swap_begin = 0;
  int32_t swap_end = 0;
  std::vector<uint32_t> tile_order_flat;
  uint32_t swizzle_group_size = 0;
  TailPolicy tail_policy = TailPolicy::kPad;
  int32_t stage_hint = 0;
  DTypeWish dtype = DTypeWish::kUnspecified;
};

struct OperandRequest {
  enum class Source { kAbsent, kInline, kTensor };
  Source source = Source::kAbsent;
  absl::string_view bytes;  // kInline. Owned by WaveRequest::owner.
  std::string tensor;       // kTensor.
  int64_t row_stride = 0;   // Elements; 0 means packed.
};

// The rows [begin, end) of A that belong to one request.
struct RowRange {
  int64_t id = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

struct WaveRequest {
  std::string client_id;
  std::string wave_id;
  std::string model;  // Empty means "default".
  WaveSpec spec;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  OperandRequest a;
  OperandRequest w;
  bool w_transposed = false;
  OperandRequest c;
  std::optional<float> alpha;
  std::optional<float> beta;
  std::optional<float> a_scale;
  std::optional<float> w_scale;
  std::vector<float> bias;
  ActivationWish activation = ActivationWish::kIdentity;
  DTypeWish c_dtype = DTypeWish::kUnspecified;
  Coverage coverage = Coverage::kComplete;
  uint64_t required_version = 0;  // 0 means any.
  std::string whitelist_digest;   // Empty means unchecked.
  int32_t priority = 0;
  std::vector<RowRange> rows;       // With these, spec.pack_order packs A's rows into tiles.
  std::optional<Duration> timeout;  // From arrival.
  std::optional<Time> deadline;     // The RPC's own.

  // Keeps the operands' bytes alive until the wave is done.
  std::shared_ptr<const void> owner;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_REQUEST_H_
