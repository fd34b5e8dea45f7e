// Wave: a validated wave. Immutable once admitted; every number in it has been checked, so that code behind
// the validator indexes and multiplies without asking again.
#ifndef BWRT_RUNTIME_WAVE_H_
#define BWRT_RUNTIME_WAVE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/activation.h"
#include "kernels/cache_counts.h"
#include "kernels/dtype.h"
#include "kernels/matrix.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/placement.h"
#include "runtime/readings.h"
#include "runtime/swap_window.h"
#include "runtime/tile_shape.h"
#include "runtime/token_clock.h"
#include "runtime/traversal.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

struct Wave {
  std::string client_id;
  std::string wave_id;
  std::string model;  // Never empty.

  TileShape tile;           // As planned.
  bool tolerated = false;   // Runs only because the daemon is lenient.
  int32_t stages = 1;       // Asked for: stage_hint, else the tile's.
  bool tmem_hints = false;  // Any of tmem_layout's columns, phases, double_buffer given.
  TileGrid grid;            // m, n, bm, bn.
  int64_t k = 0;
  TailPolicy tails = TailPolicy::kPad;
  // Packed row -> row of A and C: tile rows count packed rows. Empty: they are the same.
  std::vector<int64_t> packed_rows;
  Traversal traversal;
  TokenPlan tokens;
  SwapWindow window;
  std::vector<IoExtent> io_extents;

  kernels::DType dtype = kernels::DType::kF32;
  kernels::DType c_dtype = kernels::DType::kF32;
  kernels::ConstMatrix a;                 // [m, k].
  std::optional<kernels::ConstMatrix> w;  // Inline: [k, n], or [n, k] when transposed.
  std::string w_tensor;                   // Else the model's tensor of this name.
  bool w_transposed = false;
  absl::string_view c;   // What C starts as; empty for zeros.
  int64_t c_stride = 0;  // Elements, >= n.
  Bytes c_bytes;         // Size of the result: ((m - 1) * c_stride + n) elements.
  float alpha = 1;
  float a_scale = 1;  // Of 8-bit operands; else 1.
  float w_scale = 1;
  float beta = 0;
  std::vector<float> bias;  // Empty or n values.
  kernels::Activation activation = kernels::Activation::kIdentity;

  Version required_version;  // 0: any.
  int32_t priority = 0;
  std::optional<Time> deadline;
  Bytes held_bytes;  // Operands and result: what the wave keeps in memory until it is done.

  std::shared_ptr<const void> owner;  // Keeps the operands' bytes alive.

  // What A @ W is multiplied by; finite.
  float factor() const { return static_cast<float>(double{alpha} * a_scale * w_scale); }
};

// A wish of the request that was not carried out as written, and why.
struct Downgrade {
  std::string field;
  std::string requested;
  std::string executed;
  std::string reason;
};

// What a device will run, or ran.
struct EffectiveSpec {
  std::string device;
  std::string kernel;
  int64_t k_step = 0;
  int32_t stages = 1;
  int32_t cluster_x = 1;
  int32_t cluster_y = 1;
  bool traversal_honoured = true;
  std::vector<Downgrade> downgrades;
};

struct Timings {
  Duration queue{0};
  Duration prefetch{0};
  Duration compute{0};
  Duration copy{0};
};

struct WaveResult {
  std::string c;
  Version version;
  std::string version_label;
  EffectiveSpec effective;
  Timings timings;
  Readings readings;
  std::optional<kernels::CacheCounts> hardware_counts = {};
  std::optional<Placement> placement = {};  // Where there was a choice.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_H_
