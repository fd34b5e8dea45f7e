#include "runtime/wave_validator.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/page_source.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;

bool Multiply(int64_t a, int64_t b, int64_t* product) { return !__builtin_mul_overflow(a, b, product); }

std::optional<DType> ToDType(DTypeWish wish) {
  switch (wish) {
    case DTypeWish::kF32:
      return DType::kF32;
    case DTypeWish::kF16:
      return DType::kF16;
    case DTypeWish::kBF16:
      return DType::kBF16;
    case DTypeWish::kUnspecified:
      break;
  }
  return std::nullopt;
}

// Checks one request. Each step looks at one part of it and adds what is wrong; steps that need numbers an
// earlier one refused do not run.
class Check {
 public:
  Check(const WaveRequest& request, WaveValidator::Mode mode, const TileWhitelist& whitelist, bool lenient, bool paged,
        const Limits& limits, const WeightVersion& version)
      : r_(request),
        dry_(mode == WaveValidator::Mode::kDry),
        whitelist_(whitelist),
        lenient_(lenient),
        paged_(paged),
        limits_(limits),
        version_(version) {}

  absl::Status Run(Time now) {
    Names();
    Scalars(now);
    Types();
    Dims();
    Shape();
    Window();
    PackOrder();
    Rows();
    Extents();
    if (grid_known_) Order();
    if (dims_good_) Operands();
    return bad_.Take("wave");
  }

  // Only after Run was OK.
  Wave Take(WaveRequest&& request, Time now);

 private:
  void Names() {
    if (!r_.model.empty() && !IsModelName(r_.model)) {
      bad_.Add("model", "MODEL_NAME", Quoted(r_.model), "use 1 to ", kMaxModelNameBytes,
               " of A-Z a-z 0-9 . _ / -, beginning with a letter or digit");
    }
    if (r_.client_id.size() > kMaxClientIdBytes) {
      bad_.Add("client_id", "TOO_LONG", absl::StrCat(r_.client_id.size(), " bytes"), "at most ", kMaxClientIdBytes);
    }
    if (r_.wave_id.size() > kMaxWaveIdBytes) {
      bad_.Add("wave_id", "TOO_LONG", absl::StrCat(r_.wave_id.size(), " bytes"), "at most ", kMaxWaveIdBytes);
    }
    if (!r_.wave_id.empty() && r_.client_id.empty()) {
      bad_.Add("client_id", "MISSING", "\"\"", "a wave_id needs the client_id it is unique in");
    }
  }

  void Scalars(Time) {
    if (r_.alpha && !std::isfinite(*r_.alpha)) {
      bad_.Add("alpha", "NOT_FINITE", *r_.alpha, "must be a finite number");
    }
    if (r_.beta && !std::isfinite(*r_.beta)) {
      bad_.Add("beta", "NOT_FINITE", *r_.beta, "must be a finite number");
    } else if (r_.beta.value_or(0) != 0 && r_.c.source == OperandRequest::Source::kAbsent && !dry_) {
      bad_.Add("beta", "BETA_WITHOUT_C", *r_.beta, "needs c to scale; give c or set beta to 0");
    }
    if (r_.priority < -kMaxPriority || r_.priority > kMaxPriority) {
      bad_.Add("priority", "OUT_OF_RANGE", r_.priority, "must lie in [", -kMaxPriority, ", ", kMaxPriority, "]");
    }
    if (r_.timeout && *r_.timeout <= Duration(0)) {
      bad_.Add("timeout", "OUT_OF_RANGE", absl::StrCat(Seconds(*r_.timeout), "s"),
               "must be positive; leave it out for none");
    }
    const auto known = [&](absl::string_view field, int value, int last) {
      if (value < 0 || value > last) bad_.Add(field, "UNKNOWN_VALUE", value, "not a value this daemon knows");
    };
    known("activation", static_cast<int>(r_.activation), static_cast<int>(ActivationWish::kSilu));
    known("coverage", static_cast<int>(r_.coverage), static_cast<int>(Coverage::kPartial));
    known("spec.tail_policy", static_cast<int>(r_.spec.tail_policy), static_cast<int>(TailPolicy::kPeel));
  }

  // What A and W consist of: the spec's word, else the stored W's, else f32.
  void Types() {
    const auto known = [&](absl::string_view field, DTypeWish wish) {
      const int value = static_cast<int>(wish);
      const bool good = value >= 0 && value <= static_cast<int>(DTypeWish::kBF16);
      if (!good) bad_.Add(field, "UNKNOWN_DTYPE", value, "not a dtype this daemon computes with; use F32, F16 or BF16");
      return good;
    };
    if (r_.w.source == OperandRequest::Source::kTensor) stored_ = version_.Find(r_.w.tensor);
    if (known("spec.dtype", r_.spec.dtype)) {
      dtype_ = ToDType(r_.spec.dtype);
      if (!dtype_ && r_.w.source == OperandRequest::Source::kTensor) {
        // An unknown tensor is reported by CheckWeight, once the request itself is right.
        // So is one of an opaque type, as WEIGHT_DTYPE.
        if (stored_ != nullptr) dtype_ = stored_->tensor->type().dtype.computed();
      } else if (!dtype_) {
        dtype_ = DType::kF32;
      }
    }
    if (known("c_dtype", r_.c_dtype)) {
      c_dtype_ = ToDType(r_.c_dtype).value_or(DType::kF32);
      if (c_dtype_ != DType::kF32 && dtype_ && c_dtype_ != *dtype_) {
        bad_.Add("c_dtype", "C_DTYPE", kernels::Name(c_dtype_), "must be f32 or the dtype of A and W (",
                 kernels::Name(*dtype_), ")");
      }
    }
  }

  bool Dim(absl::string_view field, int64_t value) {
    if (value > 0 && value <= limits_.max_dim) return true;
    bad_.Add(field, "DIM_OUT_OF_RANGE", value, "must lie in [1, ", limits_.max_dim, "]");
    return false;
  }

  // K and bk in bytes must be whole granules, as the copy engines move them.
  void Granular(absl::string_view field, int64_t value) {
    if (!dtype_) return;
    const int64_t size = kernels::SizeOf(*dtype_);
    if (value * size % kGranuleBytes == 0) return;
    if (lenient_) {
      tolerated_ = true;
      return;
    }
    const int64_t step = kGranuleBytes / size;
    bad_.Add(field, "K_GRANULARITY", value, "K granularity needs ", field == "k" ? "k" : "bk", " * ", size, " bytes (",
             kernels::Name(*dtype_), ") to be a multiple of ", kGranuleBytes, "; try ", field == "k" ? "k" : "bk", "=",
             (value + step - 1) / step * step);
  }

  void Dims() {
    const bool m = Dim("m", r_.m);
    const bool n = Dim("n", r_.n);
    const bool k = Dim("k", r_.k);
    if (k) Granular("k", r_.k);
    dims_good_ = m && n && k;
  }

  void Shape() {
    const WaveSpec& s = r_.spec;
    const bool bm = Dim("spec.bm", s.bm);
    const bool bn = Dim("spec.bn", s.bn);
    const bool bk = Dim("spec.bk", s.bk);
    if (bk) Granular("spec.bk", s.bk);
    const auto at_least_0 = [&](absl::string_view field, int64_t value) {
      if (value < 0) bad_.Add(field, "NEGATIVE", value, "must be at least 0");
      return value >= 0;
    };
    const bool cx = at_least_0("spec.cluster_shape.x", s.cluster_x);
    const bool cy = at_least_0("spec.cluster_shape.y", s.cluster_y);
    at_least_0("spec.tmem_layout.columns", s.tmem_columns);
    at_least_0("spec.tmem_layout.phases", s.tmem_phases);
    const auto stage = [&](absl::string_view field, int32_t value) {
      const bool good = value >= 0 && value <= kMaxStages;
      if (!good) bad_.Add(field, "STAGES", value, "must lie in [1, ", kMaxStages, "], or 0 for none given");
      return good;
    };
    const bool stage_n = stage("spec.tmem_layout.stage_n", s.stage_n);
    stage("spec.stage_hint", s.stage_hint);

    if (bm && bn && bk && cx && cy && stage_n) {
      tile_ = {s.bm, s.bn, s.bk, std::max(s.stage_n, 1), std::max(s.cluster_x, 1), std::max(s.cluster_y, 1)};
      unlisted_ = !whitelist_.Contains(tile_);
      if (unlisted_ && !lenient_) {
        bad_.Add("spec.bm", "TILE_SHAPE_UNLISTED", s.bm, "tile shape ", ToString(tile_),
                 " (bm,bn,bk,stage_n,(cluster)) is not in the whitelist; nearest listed: ",
                 ToString(whitelist_.Nearest(tile_)), "; or start the daemon with --shape-check=lenient");
      }
    }
    if (bm && bn && dims_good_) {
      grid_ = {.m = r_.m, .n = r_.n, .bm = s.bm, .bn = s.bn};
      const int64_t rows = grid_.rows();
      const int64_t cols = grid_.cols();
      if (rows > kMaxTileCoord + 1 || cols > kMaxTileCoord + 1 || rows * cols > limits_.max_tiles) {
        bad_.Add("spec.bm", "TOO_MANY_TILES", s.bm, "the grid of ", rows, " x ", cols, " tiles is over the limit of ",
                 limits_.max_tiles, " tiles, ", kMaxTileCoord + 1,
                 " in a row or column; use larger tiles or split the wave");
      } else {
        grid_known_ = true;
      }
    }
  }

  void Window() {
    const WaveSpec& s = r_.spec;
    if (s.swap_begin < 0) bad_.Add("spec.swap_begin", "SWAP_WINDOW", s.swap_begin, "must be at least 0");
    if (s.swap_end <= s.swap_begin) {
      bad_.Add("spec.swap_end", "SWAP_WINDOW", s.swap_end, "must be greater than swap_begin=", s.swap_begin,
               ": the window [swap_begin, swap_end) would be empty");
    }
  }

  bool Count(absl::string_view field, size_t size, int64_t limit) {
    if (static_cast<int64_t>(size) <= limit) return true;
    bad_.Add(field, "TOO_MANY", absl::StrCat(size, " entries"), "at most ", limit);
    return false;
  }

  void PackOrder() {
    const auto& ids = r_.spec.pack_order;
    if (!Count("spec.pack_order", ids.size(), limits_.max_pack_order)) return;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || ids[i] > kMaxId) {
        bad_.Add(absl::StrCat("spec.pack_order[", i, "]"), "ID_OUT_OF_RANGE", ids[i], "must lie in [0, ", kMaxId,
                 "]; ids are 32-bit");
      }
    }
  }

  // The ranges must partition [0, m): each row belongs to one request.
  void Rows() {
    if (r_.rows.empty() || !Count("rows", r_.rows.size(), limits_.max_pack_order)) return;
    std::set<int64_t> ids;
    std::vector<size_t> by_begin;
    for (size_t i = 0; i < r_.rows.size(); ++i) {
      const RowRange& range = r_.rows[i];
      const auto path = [i](absl::string_view part) { return absl::StrCat("rows[", i, "].", part); };
      if (range.id < 0 || range.id > kMaxId) {
        bad_.Add(path("id"), "ID_OUT_OF_RANGE", range.id, "must lie in [0, ", kMaxId, "]; ids are 32-bit");
      } else if (!ids.insert(range.id).second) {
        bad_.Add(path("id"), "ID_REPEATED", range.id, "has rows already; each id once");
      }
      if (range.begin < 0 || range.begin >= r_.m) {
        bad_.Add(path("begin"), "ROW_OUT_OF_RANGE", range.begin, "must lie in [0, m=", r_.m, ")");
      } else if (range.end <= range.begin || range.end > r_.m) {
        bad_.Add(path("end"), "ROW_OUT_OF_RANGE", range.end, "must lie in (begin=", range.begin, ", m=", r_.m, "]");
      } else {
        by_begin.push_back(i);
      }
    }
    if (by_begin.size() != r_.rows.size()) return;
    std::sort(by_begin.begin(), by_begin.end(),
              [&](size_t a, size_t b) { return r_.rows[a].begin < r_.rows[b].begin; });
    int64_t covered = 0;
    int64_t end = 0;
    for (const size_t i : by_begin) {
      const RowRange& range = r_.rows[i];
      if (range.begin < end) {
        bad_.Add(absl::StrCat("rows[", i, "].begin"), "ROWS_OVERLAP", range.begin, "the range before it ends at ", end,
                 "; a row belongs to one request");
      }
      covered += range.end - range.begin;
      end = std::max(end, range.end);
    }
    if (covered != r_.m) {
      bad_.Add("rows", "ROWS_TOTAL", absl::StrCat(covered, " rows"), "the ranges must cover exactly the m=", r_.m,
               " rows of A");
    }
  }

  void Extents() {
    const auto& extents = r_.spec.io_extents;
    if (!Count("spec.io_extents", extents.size(), limits_.max_io_extents)) return;
    int64_t pages = 0;
    for (size_t i = 0; i < extents.size(); ++i) {
      const IoExtent& e = extents[i];
      const auto path = [i](absl::string_view part) { return absl::StrCat("spec.io_extents[", i, "].", part); };
      if (e.layer.empty() || e.layer.size() > kMaxLayerBytes ||
          std::any_of(e.layer.begin(), e.layer.end(), [](char ch) { return absl::ascii_iscntrl(ch); })) {
        bad_.Add(path("layer"), "LAYER_NAME", Quoted(e.layer), "use 1 to ", kMaxLayerBytes,
                 " bytes without control characters");
      }
      const bool start = e.start_pid >= 0 && e.start_pid <= kMaxId;
      if (!start) {
        bad_.Add(path("start_pid"), "ID_OUT_OF_RANGE", e.start_pid, "must lie in [0, ", kMaxId,
                 "]; page ids are 32-bit");
      }
      // One below the first page is how an empty range at page 0 is written.
      const bool end = e.end_pid >= -1 && e.end_pid <= kMaxId;
      if (!end) {
        bad_.Add(path("end_pid"), "ID_OUT_OF_RANGE", e.end_pid, "must lie in [-1, ", kMaxId, "]; page ids are 32-bit");
      }
      if (paged_ && LayerNumber(e.layer) < 0) {
        bad_.Add(path("layer"), "LAYER_NUMBER", Quoted(e.layer),
                 "the page source keeps layers by number; use digits, "
                 "at most ",
                 kMaxId);
      }
      // Of ids in range only: those are 32-bit, and extents few, so that this can't overflow.
      if (start && end) pages += std::max<int64_t>(e.end_pid - e.start_pid + 1, 0);
    }
    if (paged_ && pages > limits_.max_wave_pages) {
      bad_.Add("spec.io_extents", "TOO_MANY", absl::StrCat(pages, " pages"), "at most ", limits_.max_wave_pages,
               " pages a wave");
    }
  }

  void Order() {
    const WaveSpec& s = r_.spec;
    const bool listed = Count("spec.tile_order", s.tile_order.size(), limits_.max_listed_tiles);
    const bool flat = Count("spec.tile_order_flat", s.tile_order_flat.size(), limits_.max_listed_tiles);
    if (!listed || !flat) return;
    const bool use_flat = s.tile_order.empty();
    order_ = s.tile_order;
    if (use_flat) {
      for (const uint32_t tile : s.tile_order_flat) {
        order_.push_back({static_cast<int32_t>(tile >> 16), static_cast<int32_t>(tile & 0xffff)});
      }
    } else if (!s.tile_order_flat.empty()) {
      CheckFlatAgrees();
    }
    std::vector<bool> seen(static_cast<size_t>(grid_.tiles()));
    int64_t distinct = 0;
    bool inside = true;
    for (size_t i = 0; i < order_.size(); ++i) {
      const TileCoord t = order_[i];
      const auto path = [&](absl::string_view part) {
        return use_flat ? absl::StrCat("spec.tile_order_flat[", i, "]")
                        : absl::StrCat("spec.tile_order[", i, "]", part);
      };
      const bool m = t.m >= 0 && t.m < grid_.rows();
      const bool n = t.n >= 0 && t.n < grid_.cols();
      if (!m) {
        bad_.Add(path(".m"), "TILE_OUTSIDE_GRID", t.m, "the grid has ", grid_.rows(), " tile rows (m=", r_.m,
                 ", bm=", s.bm, "), so this must lie in [0, ", grid_.rows() - 1, "]");
      }
      if (!n) {
        bad_.Add(path(".n"), "TILE_OUTSIDE_GRID", t.n, "the grid has ", grid_.cols(), " tile columns (n=", r_.n,
                 ", bn=", s.bn, "), so this must lie in [0, ", grid_.cols() - 1, "]");
      }
      inside = inside && m && n;
      if (!m || !n) continue;
      const auto at = static_cast<size_t>(t.m * grid_.cols() + t.n);
      if (seen[at]) {
        bad_.Add(path(""), "TILE_REPEATED", absl::StrCat("(", t.m, ",", t.n, ")"),
                 "listed before; each tile runs once");
      }
      distinct += seen[at] ? 0 : 1;
      seen[at] = true;
    }
    if (!order_.empty() && inside && r_.coverage == Coverage::kExact && distinct < grid_.tiles()) {
      bad_.Add("coverage", "COVERAGE_INCOMPLETE", "EXACT", "the order lists ", distinct, " of ", grid_.tiles(),
               " tiles; list them all or use COMPLETE or PARTIAL");
    }
  }

  void CheckFlatAgrees() {
    const WaveSpec& s = r_.spec;
    if (s.tile_order.size() != s.tile_order_flat.size()) {
      bad_.Add("spec.tile_order_flat", "TRAVERSALS_DIFFER", absl::StrCat(s.tile_order_flat.size(), " tiles"),
               "tile_order has ", s.tile_order.size(), "; give one of the two, or make them equal");
      return;
    }
    for (size_t i = 0; i < s.tile_order.size(); ++i) {
      const TileCoord t = s.tile_order[i];
      if ((int64_t{t.m} << 16 | t.n) == int64_t{s.tile_order_flat[i]}) continue;
      bad_.Add(absl::StrCat("spec.tile_order_flat[", i, "]"), "TRAVERSALS_DIFFER", s.tile_order_flat[i], "tile_order[",
               i, "] is (", t.m, ",", t.n, "); give one of the two, or make them equal");
    }
  }

  // Checks one operand's stride and, if it is inline, its size; leaves its bytes in *bytes.
  void Matrix(absl::string_view name, const OperandRequest& o, int64_t rows, int64_t cols, DType dtype, int64_t* stride,
              int64_t* bytes) {
    *stride = o.row_stride == 0 ? cols : o.row_stride;
    if (*stride < cols) {
      bad_.Add(absl::StrCat(name, ".row_stride"), "STRIDE", o.row_stride, "must be 0 (packed) or at least the ", cols,
               " columns of ", name);
      return;
    }
    int64_t size = 0;
    if (!Multiply(rows - 1, *stride, &size) || __builtin_add_overflow(size, cols, &size) ||
        !Multiply(size, kernels::SizeOf(dtype), &size)) {
      bad_.Add(absl::StrCat(name, ".row_stride"), "STRIDE", o.row_stride, "with ", rows,
               " rows the matrix is larger than any memory");
      return;
    }
    *bytes = size;
    if (o.source == OperandRequest::Source::kInline && static_cast<int64_t>(o.bytes.size()) != size) {
      bad_.Add(absl::StrCat(name, ".inline"), "OPERAND_SIZE", absl::StrCat(o.bytes.size(), " bytes"), rows, " x ", cols,
               " ", kernels::Name(dtype), " with row_stride ", *stride, " needs exactly ", size, " bytes");
    }
  }

  void Missing(absl::string_view name, const OperandRequest& o) {
    if (o.source == OperandRequest::Source::kAbsent && !dry_) {
      bad_.Add(name, "MISSING", "(none)", "required: give its bytes inline", name == "w" ? " or name a tensor" : "");
    }
  }

  void OnlyInline(absl::string_view name, const OperandRequest& o) {
    if (o.source == OperandRequest::Source::kTensor) {
      bad_.Add(absl::StrCat(name, ".tensor"), "OPERAND_SOURCE", Quoted(o.tensor), "only w can name a tensor; give ",
               name, " inline");
    }
  }

  void Operands() {
    Missing("a", r_.a);
    Missing("w", r_.w);
    OnlyInline("a", r_.a);
    OnlyInline("c", r_.c);
    if (r_.w.source == OperandRequest::Source::kTensor) {
      if (r_.w.tensor.empty() || r_.w.tensor.size() > kMaxTensorNameBytes) {
        bad_.Add("w.tensor", "TENSOR_NAME", Quoted(r_.w.tensor), "use 1 to ", kMaxTensorNameBytes, " bytes");
      }
      if (r_.w.row_stride != 0) {
        bad_.Add("w.row_stride", "STRIDE", r_.w.row_stride, "must be 0 for a tensor, which is stored packed");
      }
    }
    if (!r_.bias.empty() && static_cast<int64_t>(r_.bias.size()) != r_.n) {
      bad_.Add("bias", "BIAS_SIZE", absl::StrCat(r_.bias.size(), " values"), "must have n=", r_.n, " values, or none");
    }
    Matrix("c", r_.c, r_.m, r_.n, c_dtype_, &c_stride_, &c_bytes_);
    if (c_bytes_ > limits_.max_message_bytes) {
      bad_.Add("c", "RESULT_SIZE", absl::StrCat(c_bytes_, " bytes"), "a result may have at most ",
               limits_.max_message_bytes, " bytes; split the wave by rows or columns");
    }
    if (!dtype_) return;
    Matrix("a", r_.a, r_.m, r_.k, *dtype_, &a_stride_, &a_bytes_);
    if (r_.w.source == OperandRequest::Source::kTensor) return;
    const int64_t rows = r_.w_transposed ? r_.n : r_.k;
    const int64_t cols = r_.w_transposed ? r_.k : r_.n;
    Matrix("w", r_.w, rows, cols, *dtype_, &w_stride_, &w_bytes_);
  }

  const WaveRequest& r_;
  const bool dry_;
  const TileWhitelist& whitelist_;
  const bool lenient_;
  const bool paged_;
  const Limits& limits_;
  const WeightVersion& version_;
  Violations bad_;

  const NamedTensor* stored_ = nullptr;
  std::optional<DType> dtype_;  // Not known when it depends on a tensor that is not there.
  DType c_dtype_ = DType::kF32;
  bool dims_good_ = false;
  bool grid_known_ = false;
  bool unlisted_ = false;   // The tile shape.
  bool tolerated_ = false;  // K or bk is not granular, and the daemon lenient.
  TileShape tile_;
  TileGrid grid_;
  std::vector<TileCoord> order_;
  int64_t a_stride_ = 0, a_bytes_ = 0;
  int64_t w_stride_ = 0, w_bytes_ = 0;
  int64_t c_stride_ = 0, c_bytes_ = 0;
};

kernels::ConstMatrix View(absl::string_view bytes, int64_t rows, int64_t cols, int64_t stride, DType dtype) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), rows, cols, stride, dtype};
}

Wave Check::Take(WaveRequest&& r, Time now) {
  Wave w;
  w.client_id = std::move(r.client_id);
  w.wave_id = std::move(r.wave_id);
  w.model = ModelName(std::move(r.model));
  w.tile = tile_;
  w.tolerated = unlisted_ || tolerated_;
  w.stages = r.spec.stage_hint != 0 ? r.spec.stage_hint : tile_.stage;
  w.tmem_hints = r.spec.tmem_columns != 0 || r.spec.tmem_phases != 0 || r.spec.tmem_double_buffer;
  w.grid = grid_;
  w.k = r.k;
  w.tails = r.spec.tail_policy;
  w.traversal = ResolveTraversal(grid_, std::move(order_), r.spec.swizzle_group_size, r.coverage, w.tails);
  // Without A there is nothing to pack, and m may be far larger than any A that could be sent.
  if (r.a.source == OperandRequest::Source::kInline) {
    w.packed_rows = ResolvePacking(r.m, r.spec.pack_order, r.rows);
  }
  w.tokens = {.prefetch = static_cast<int64_t>(r.spec.io_extents.size()), .tiles = w.traversal.listed};
  w.window = {r.spec.swap_begin, r.spec.swap_end};
  w.io_extents = std::move(r.spec.io_extents);
  w.dtype = dtype_.value_or(DType::kF32);
  w.c_dtype = c_dtype_;
  w.a = View(r.a.bytes, r.m, r.k, a_stride_, w.dtype);
  if (r.w.source == OperandRequest::Source::kInline) {
    w.w =
        r.w_transposed ? View(r.w.bytes, r.n, r.k, w_stride_, w.dtype) : View(r.w.bytes, r.k, r.n, w_stride_, w.dtype);
  }
  if (r.w.source == OperandRequest::Source::kTensor) w.w_tensor = std::move(r.w.tensor);
  w.w_transposed = r.w_transposed;
  w.c = r.c.bytes;
  w.c_stride = c_stride_;
  w.c_bytes = Bytes(c_bytes_);
  w.alpha = r.alpha.value_or(1);
  w.beta = r.beta.value_or(0);
  w.bias = std::move(r.bias);
  w.activation = static_cast<kernels::Activation>(r.activation);
  w.required_version = Version(r.required_version);
  w.priority = r.priority;
  w.deadline = r.deadline;
  if (r.timeout) {
    // A timeout beyond the clock's range is none.
    const Duration room = Time::max() - now;
    if (*r.timeout < room) w.deadline = std::min(w.deadline.value_or(Time::max()), now + *r.timeout);
  }
  w.held_bytes = Bytes(static_cast<int64_t>(r.a.bytes.size() + r.w.bytes.size() + r.c.bytes.size()) + c_bytes_);
  w.owner = std::move(r.owner);
  return w;
}

static_assert(static_cast<int>(ActivationWish::kRelu) == static_cast<int>(kernels::Activation::kRelu));
static_assert(static_cast<int>(ActivationWish::kGeluTanh) == static_cast<int>(kernels::Activation::kGeluTanh));
static_assert(static_cast<int>(ActivationWish::kGeluErf) == static_cast<int>(kernels::Activation::kGeluErf));
static_assert(static_cast<int>(ActivationWish::kSilu) == static_cast<int>(kernels::Activation::kSilu));

absl::Status WhitelistMismatch(absl::string_view planned, absl::string_view ours) {
  ErrorDetails details;
  details.reason = "WHITELIST_MISMATCH";
  details.metadata = {{"planned", std::string(planned.substr(0, 80))}, {"daemon", std::string(ours)}};
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("whitelist_digest=", Quoted(planned), ": this daemon's whitelist is ", ours,
                                "; plan with GetCapabilities' tile_whitelist"),
                   details);
}

}  // namespace

absl::StatusOr<Wave> WaveValidator::Validate(WaveRequest request, Mode mode, const WeightVersion& version,
                                             Time now) const {
  if (!request.whitelist_digest.empty() && request.whitelist_digest != whitelist_.digest()) {
    return WhitelistMismatch(request.whitelist_digest, whitelist_.digest());
  }
  Check check(request, mode, whitelist_, lenient_, paged_, limits_, version);
  if (absl::Status status = check.Run(now); !status.ok()) return status;
  Wave wave = check.Take(std::move(request), now);
  if (const auto weight = CheckWeight(wave, version); !weight.ok()) return weight.status();
  return wave;
}

std::string ModelName(std::string name) {
  if (name.empty()) name = "default";
  return name;
}

bool IsModelName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxModelNameBytes && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(), [](unsigned char ch) {
           return absl::ascii_isalnum(ch) || ch == '.' || ch == '_' || ch == '/' || ch == '-';
         });
}

absl::StatusOr<const NamedTensor*> CheckWeight(const Wave& wave, const WeightVersion& version) {
  if (wave.w_tensor.empty()) return nullptr;
  const NamedTensor* named = version.Find(wave.w_tensor);
  const auto error = [&](absl::StatusCode code, absl::string_view reason, absl::string_view why) {
    ErrorDetails details;
    details.reason = std::string(reason);
    details.metadata = {
        {"model", wave.model}, {"tensor", wave.w_tensor}, {"version", absl::StrCat(version.number().value())}};
    return MakeError(code,
                     absl::StrCat("w.tensor=", Quoted(wave.w_tensor), ": model \"", wave.model, "\" version ",
                                  version.number().value(), " ", why),
                     details);
  };
  if (named == nullptr) {
    return error(absl::StatusCode::kNotFound, "TENSOR_NOT_FOUND",
                 "has no such tensor; publish it with SetWeights, or see GetModel for those it has");
  }
  const TensorType& type = named->tensor->type();
  if (!(type.dtype == ElementType(wave.dtype))) {
    return error(
        absl::StatusCode::kFailedPrecondition, "WEIGHT_DTYPE",
        absl::StrCat("stores it as ", type.dtype.name(), type.dtype.computed() ? "" : " (opaque bytes)", ", not ",
                     kernels::Name(wave.dtype), "; nothing is cast: set spec.dtype accordingly or publish it anew"));
  }
  const int64_t rows = wave.w_transposed ? wave.grid.n : wave.k;
  const int64_t cols = wave.w_transposed ? wave.k : wave.grid.n;
  if (type.shape != std::vector<int64_t>{rows, cols}) {
    std::string shape;
    for (const int64_t d : type.shape) absl::StrAppend(&shape, shape.empty() ? "" : " x ", d);
    return error(absl::StatusCode::kFailedPrecondition, "WEIGHT_SHAPE",
                 absl::StrCat("stores it as [", shape, "], but the wave needs [", rows, " x ", cols, "] (",
                              wave.w_transposed ? "n x k, w_transposed" : "k x n", ")"));
  }
  return named;
}

}  // namespace bwrt::runtime
