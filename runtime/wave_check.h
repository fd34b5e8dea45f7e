// The steps of WaveValidator, and private to it. Each looks at one part of a request, adds what is wrong with it to
// `bad`, and returns what later steps and the Wave take from it: all of it only meaningful where nothing was wrong.
//
// Pure functions of their arguments; thread-safe.
#ifndef BWRT_RUNTIME_WAVE_CHECK_H_
#define BWRT_RUNTIME_WAVE_CHECK_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/dtype.h"
#include "runtime/dtype_set.h"
#include "runtime/limits.h"
#include "runtime/tile_whitelist.h"
#include "runtime/traversal.h"
#include "runtime/violations.h"
#include "runtime/wave_request.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

// What the daemon accepts of this request.
struct WaveRules {
  const TileWhitelist& whitelist;
  const Limits& limits;
  DTypeSet dtypes = DTypeSet::All();  // Of A and W.
  bool lenient = false;
  bool paged = false;  // io_extents will be read from a page source.
  bool dry = false;    // Operands may be left out.
};

inline bool CheckCount(absl::string_view field, size_t size, int64_t limit, Violations& bad) {
  if (static_cast<int64_t>(size) <= limit) return true;
  bad.Add(field, "TOO_MANY", absl::StrCat(size, " entries"), "at most ", limit);
  return false;
}

// ---- wave_check_scalars.cc ----

void CheckNames(const WaveRequest& r, Violations& bad);
void CheckScalars(const WaveRequest& r, bool dry, Violations& bad);
void CheckWindow(const WaveSpec& s, Violations& bad);
void CheckExtents(const std::vector<IoExtent>& extents, bool paged, const Limits& limits, Violations& bad);

// ---- wave_check_shape.cc ----

struct CheckedTypes {
  std::optional<kernels::DType> dtype;  // Of A and W. Not known when it depends on a tensor that is not there.
  kernels::DType c_dtype = kernels::DType::kF32;
};
// What A and W consist of: the spec's word, else the stored W's, else f32.
CheckedTypes CheckTypes(const WaveRequest& r, const WaveRules& rules, const WeightVersion& version, Violations& bad);
// The scales of 8-bit operands.
void CheckScales(const WaveRequest& r, std::optional<kernels::DType> dtype, Violations& bad);

struct CheckedShape {
  bool dims_good = false;  // m, n and k.
  bool tolerated = false;  // The tile shape is unlisted, or k or bk not granular, and the daemon lenient.
  TileShape tile;
  std::optional<TileGrid> grid;
};
// Dimensions and tile shape. Without a dtype, granularity goes unchecked.
CheckedShape CheckShape(const WaveRequest& r, std::optional<kernels::DType> dtype, const WaveRules& rules,
                        Violations& bad);

// ---- wave_check_traversal.cc ----

// The listed tiles, whichever field lists them; empty where none does.
std::vector<TileCoord> CheckOrder(const WaveRequest& r, const TileGrid& grid, const Limits& limits, Violations& bad);

// ---- wave_check_operands.cc ----

void CheckPackOrder(const std::vector<int64_t>& ids, const Limits& limits, Violations& bad);
// The ranges must partition [0, m): each row belongs to one request.
void CheckRows(const WaveRequest& r, const Limits& limits, Violations& bad);

struct OperandLayout {
  int64_t stride = 0;  // Elements.
  int64_t bytes = 0;
};
struct CheckedOperands {
  OperandLayout a;
  OperandLayout w;  // Inline only.
  OperandLayout c;
};
// m, n and k must be good.
CheckedOperands CheckOperands(const WaveRequest& r, const CheckedTypes& types, const WaveRules& rules, Violations& bad);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_CHECK_H_
