#include "runtime/wave_validator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/violations.h"
#include "runtime/wave_check.h"

namespace bwrt::runtime {
namespace {

// What the steps found out about a request.
struct CheckedWave {
  CheckedTypes types;
  CheckedShape shape;
  std::vector<TileCoord> order;
  CheckedOperands operands;
};

// Steps that need numbers an earlier one refused do not run.
absl::StatusOr<CheckedWave> Check(const WaveRequest& r, const WaveRules& rules, const WeightVersion& version) {
  Violations bad;
  CheckedWave checked;
  CheckNames(r, bad);
  CheckScalars(r, rules.dry, bad);
  checked.types = CheckTypes(r, rules, version, bad);
  CheckScales(r, checked.types.dtype, bad);
  checked.shape = CheckShape(r, checked.types.dtype, rules, bad);
  CheckWindow(r.spec, bad);
  CheckPackOrder(r.spec.pack_order, rules.limits, bad);
  CheckRows(r, rules.limits, bad);
  CheckExtents(r.spec.io_extents, rules.paged, rules.limits, bad);
  if (checked.shape.grid) checked.order = CheckOrder(r, *checked.shape.grid, rules.limits, bad);
  if (checked.shape.dims_good) checked.operands = CheckOperands(r, checked.types, rules, bad);
  if (absl::Status status = bad.Take("wave"); !status.ok()) return status;
  return checked;
}

kernels::ConstMatrix View(absl::string_view bytes, int64_t rows, int64_t cols, int64_t stride, kernels::DType dtype) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), rows, cols, stride, dtype};
}

Wave MakeWave(WaveRequest&& r, CheckedWave&& checked, Time now) {
  const TileShape& tile = checked.shape.tile;
  const CheckedOperands& operands = checked.operands;
  Wave w;
  w.client_id = std::move(r.client_id);
  w.wave_id = std::move(r.wave_id);
  w.model = ModelName(std::move(r.model));
  w.tile = tile;
  w.tolerated = checked.shape.tolerated;
  w.stages = r.spec.stage_hint != 0 ? r.spec.stage_hint : tile.stage;
  w.tmem_hints = r.spec.tmem_columns != 0 || r.spec.tmem_phases != 0 || r.spec.tmem_double_buffer;
  w.grid = *checked.shape.grid;
  w.k = r.k;
  w.tails = r.spec.tail_policy;
  w.traversal = ResolveTraversal(w.grid, std::move(checked.order), r.spec.swizzle_group_size, r.coverage, w.tails);
  // Without A there is nothing to pack, and m may be far larger than any A that could be sent.
  if (r.a.source == OperandRequest::Source::kInline) {
    w.packed_rows = ResolvePacking(r.m, r.spec.pack_order, r.rows);
  }
  w.tokens = {.prefetch = static_cast<int64_t>(r.spec.io_extents.size()), .tiles = w.traversal.listed};
  w.window = {r.spec.swap_begin, r.spec.swap_end};
  w.io_extents = std::move(r.spec.io_extents);
  w.dtype = checked.types.dtype.value_or(kernels::DType::kF32);
  w.c_dtype = checked.types.c_dtype;
  w.a = View(r.a.bytes, r.m, r.k, operands.a.stride, w.dtype);
  if (r.w.source == OperandRequest::Source::kInline) {
    w.w = r.w_transposed ? View(r.w.bytes, r.n, r.k, operands.w.stride, w.dtype)
                         : View(r.w.bytes, r.k, r.n, operands.w.stride, w.dtype);
  }
  if (r.w.source == OperandRequest::Source::kTensor) w.w_tensor = std::move(r.w.tensor);
  w.w_transposed = r.w_transposed;
  w.c = r.c.bytes;
  w.c_stride = operands.c.stride;
  w.c_bytes = Bytes(operands.c.bytes);
  w.alpha = r.alpha.value_or(1);
  w.a_scale = r.a_scale.value_or(1);
  w.w_scale = r.w_scale.value_or(1);
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
  w.held_bytes = Bytes(static_cast<int64_t>(r.a.bytes.size() + r.w.bytes.size() + r.c.bytes.size()) + operands.c.bytes);
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
  const WaveRules rules = {.whitelist = whitelist_,
                           .limits = limits_,
                           .dtypes = dtypes_,
                           .lenient = lenient_,
                           .paged = paged_,
                           .dry = mode == Mode::kDry};
  absl::StatusOr<CheckedWave> checked = Check(request, rules, version);
  if (!checked.ok()) return checked.status();
  Wave wave = MakeWave(std::move(request), *std::move(checked), now);
  if (const auto weight = CheckWeight(wave, version); !weight.ok()) return weight.status();
  return wave;
}

absl::StatusOr<TilePlan> WaveValidator::PlanTiles(const WaveRequest& request) const {
  WaveRequest r;
  r.m = request.m;
  r.n = request.n;
  r.k = request.k;
  r.coverage = request.coverage;
  r.spec = request.spec;
  // Any dtype: it need not be this daemon's device.
  const WaveRules rules = {.whitelist = whitelist_,
                           .limits = limits_,
                           .dtypes = DTypeSet::All(),
                           .lenient = true,
                           .paged = false,
                           .dry = true};
  Violations bad;
  CheckScalars(r, rules.dry, bad);
  const CheckedTypes types = CheckTypes(r, rules, *WeightVersion::Empty(), bad);
  const CheckedShape shape = CheckShape(r, types.dtype, rules, bad);
  std::vector<TileCoord> order;
  if (shape.grid) order = CheckOrder(r, *shape.grid, limits_, bad);
  if (absl::Status status = bad.Take("wave"); !status.ok()) return status;
  TilePlan plan;
  plan.grid = *shape.grid;
  plan.k = r.k;
  plan.bk = r.spec.bk;
  plan.dtype = types.dtype.value_or(kernels::DType::kF32);
  plan.tails = r.spec.tail_policy;
  plan.traversal = ResolveTraversal(plan.grid, std::move(order), r.spec.swizzle_group_size, r.coverage, plan.tails);
  return plan;
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
