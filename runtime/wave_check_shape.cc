// Dtypes, dimensions, tile shape and grid.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/wave_check.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;

std::optional<DType> ToDType(DTypeWish wish) {
  switch (wish) {
    case DTypeWish::kF32:
      return DType::kF32;
    case DTypeWish::kF16:
      return DType::kF16;
    case DTypeWish::kBF16:
      return DType::kBF16;
    case DTypeWish::kF8E4M3:
      return DType::kF8E4M3;
    case DTypeWish::kF8E5M2:
      return DType::kF8E5M2;
    case DTypeWish::kUnspecified:
      break;
  }
  return std::nullopt;
}

// As the wire names them: "F32, F16 or BF16".
std::string Names(DTypeSet dtypes) {
  std::vector<std::string> names;
  for (int i = 0; i < kernels::kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtypes.Has(dtype)) names.push_back(absl::AsciiStrToUpper(kernels::Name(dtype)));
  }
  if (names.size() < 2) return absl::StrJoin(names, "");
  const std::string last = std::move(names.back());
  names.pop_back();
  return absl::StrCat(absl::StrJoin(names, ", "), " or ", last);
}

bool CheckDim(absl::string_view field, int64_t value, const Limits& limits, Violations& bad) {
  if (value > 0 && value <= limits.max_dim) return true;
  bad.Add(field, "DIM_OUT_OF_RANGE", value, "must lie in [1, ", limits.max_dim, "]");
  return false;
}

// K and bk in bytes must be whole granules, as the copy engines move them. True where the daemon tolerates that they
// are not.
bool CheckGranular(absl::string_view field, int64_t value, std::optional<DType> dtype, bool lenient, Violations& bad) {
  if (!dtype) return false;
  const int64_t size = kernels::SizeOf(*dtype);
  if (value * size % kGranuleBytes == 0) return false;
  if (lenient) return true;
  const int64_t step = kGranuleBytes / size;
  bad.Add(field, "K_GRANULARITY", value, "K granularity needs ", field == "k" ? "k" : "bk", " * ", size, " bytes (",
          kernels::Name(*dtype), ") to be a multiple of ", kGranuleBytes, "; try ", field == "k" ? "k" : "bk", "=",
          (value + step - 1) / step * step);
  return false;
}

// True where the daemon tolerates that it is not listed.
bool CheckListed(const TileShape& tile, const WaveRules& rules, Violations& bad) {
  if (rules.whitelist.Contains(tile)) return false;
  if (rules.lenient) return true;
  bad.Add("spec.bm", "TILE_SHAPE_UNLISTED", tile.bm, "tile shape ", ToString(tile),
          " (bm,bn,bk,stage_n,(cluster)) is not in the whitelist; nearest listed: ",
          ToString(rules.whitelist.Nearest(tile)), "; or start the daemon with --shape-check=lenient");
  return false;
}

std::optional<TileGrid> CheckGrid(const TileGrid& grid, const Limits& limits, Violations& bad) {
  const int64_t rows = grid.rows();
  const int64_t cols = grid.cols();
  if (rows <= kMaxTileCoord + 1 && cols <= kMaxTileCoord + 1 && rows * cols <= limits.max_tiles) return grid;
  bad.Add("spec.bm", "TOO_MANY_TILES", grid.bm, "the grid of ", rows, " x ", cols, " tiles is over the limit of ",
          limits.max_tiles, " tiles, ", kMaxTileCoord + 1, " in a row or column; use larger tiles or split the wave");
  return std::nullopt;
}

}  // namespace

CheckedTypes CheckTypes(const WaveRequest& r, const WaveRules& rules, const WeightVersion& version, Violations& bad) {
  CheckedTypes types;
  // Computed by the device, or not stated.
  const auto known = [&](absl::string_view field, DTypeWish wish, DTypeSet among) {
    const std::optional<DType> dtype = ToDType(wish);
    const bool good = dtype ? among.Has(*dtype) : wish == DTypeWish::kUnspecified;
    if (!good) {
      bad.Add(field, "UNKNOWN_DTYPE", static_cast<int>(wish), "not a dtype this daemon computes ",
              field == "c_dtype" ? "C in" : "with", "; use ", Names(among));
    }
    return good;
  };
  if (known("spec.dtype", r.spec.dtype, rules.dtypes)) {
    types.dtype = ToDType(r.spec.dtype);
    if (!types.dtype && r.w.source == OperandRequest::Source::kTensor) {
      // An unknown tensor is reported by CheckWeight, once the request itself is right.
      // So is one of an opaque type, as WEIGHT_DTYPE.
      if (const NamedTensor* stored = version.Find(r.w.tensor)) types.dtype = stored->tensor->type().dtype.computed();
      if (types.dtype && !rules.dtypes.Has(*types.dtype)) types.dtype.reset();
    } else if (!types.dtype) {
      types.dtype = DType::kF32;
    }
  }
  if (known("c_dtype", r.c_dtype, DTypeSet::OfC())) {
    types.c_dtype = ToDType(r.c_dtype).value_or(DType::kF32);
    if (types.c_dtype != DType::kF32 && types.dtype && !kernels::IsF8(*types.dtype) && types.c_dtype != *types.dtype) {
      bad.Add("c_dtype", "C_DTYPE", kernels::Name(types.c_dtype), "must be f32 or the dtype of A and W (",
              kernels::Name(*types.dtype), ")");
    }
  }
  return types;
}

CheckedShape CheckShape(const WaveRequest& r, std::optional<DType> dtype, const WaveRules& rules, Violations& bad) {
  CheckedShape shape;
  const auto dim = [&](absl::string_view field, int64_t value) { return CheckDim(field, value, rules.limits, bad); };
  const auto granular = [&](absl::string_view field, int64_t value) {
    shape.tolerated = CheckGranular(field, value, dtype, rules.lenient, bad) || shape.tolerated;
  };
  const bool m = dim("m", r.m);
  const bool n = dim("n", r.n);
  const bool k = dim("k", r.k);
  if (k) granular("k", r.k);
  shape.dims_good = m && n && k;

  const WaveSpec& s = r.spec;
  const bool bm = dim("spec.bm", s.bm);
  const bool bn = dim("spec.bn", s.bn);
  const bool bk = dim("spec.bk", s.bk);
  if (bk) granular("spec.bk", s.bk);
  const auto at_least_0 = [&](absl::string_view field, int64_t value) {
    if (value < 0) bad.Add(field, "NEGATIVE", value, "must be at least 0");
    return value >= 0;
  };
  const bool cx = at_least_0("spec.cluster_shape.x", s.cluster_x);
  const bool cy = at_least_0("spec.cluster_shape.y", s.cluster_y);
  at_least_0("spec.tmem_layout.columns", s.tmem_columns);
  at_least_0("spec.tmem_layout.phases", s.tmem_phases);
  const auto stage = [&](absl::string_view field, int32_t value) {
    const bool good = value >= 0 && value <= kMaxStages;
    if (!good) bad.Add(field, "STAGES", value, "must lie in [1, ", kMaxStages, "], or 0 for none given");
    return good;
  };
  const bool stage_n = stage("spec.tmem_layout.stage_n", s.stage_n);
  stage("spec.stage_hint", s.stage_hint);

  if (bm && bn && bk && cx && cy && stage_n) {
    shape.tile = {s.bm, s.bn, s.bk, std::max(s.stage_n, 1), std::max(s.cluster_x, 1), std::max(s.cluster_y, 1)};
    shape.tolerated = CheckListed(shape.tile, rules, bad) || shape.tolerated;
  }
  if (bm && bn && shape.dims_good) {
    shape.grid = CheckGrid({.m = r.m, .n = r.n, .bm = s.bm, .bn = s.bn}, rules.limits, bad);
  }
  return shape;
}

}  // namespace bwrt::runtime
