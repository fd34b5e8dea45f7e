// WaveValidator: all checking of waves, in one place.
//
// Turns a WaveRequest, of which nothing is trusted, into a Wave, of which everything is. Pure: its answer
// depends on the request, the daemon's configuration and the version given. Immutable, thread-safe.
#ifndef BWRT_RUNTIME_WAVE_VALIDATOR_H_
#define BWRT_RUNTIME_WAVE_VALIDATOR_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/dtype_set.h"
#include "runtime/limits.h"
#include "runtime/tile_plan.h"
#include "runtime/tile_whitelist.h"
#include "runtime/wave.h"
#include "runtime/wave_request.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

class WaveValidator {
 public:
  // kComplete: every operand must be there. kDry: operands may be left out, those present are checked.
  enum class Mode { kComplete, kDry };

  // `paged`: io_extents will be read from a page source, so their layers must be numbers and their pages few enough.
  // `dtypes`: of A and W, that the device computes with.
  WaveValidator(TileWhitelist whitelist, bool lenient, Limits limits, bool paged = false,
                DTypeSet dtypes = DTypeSet::All())
      : whitelist_(std::move(whitelist)), lenient_(lenient), limits_(limits), paged_(paged), dtypes_(dtypes) {}

  // Errors, the first that applies:
  // - FAILED_PRECONDITION WHITELIST_MISMATCH: planned with another whitelist; names both digests.
  // - INVALID_ARGUMENT: with every violation (at most 64, then how many more).
  // - NOT_FOUND TENSOR_NOT_FOUND, FAILED_PRECONDITION WEIGHT_DTYPE or WEIGHT_SHAPE: see CheckWeight.
  // `now` is when the wave arrived; `version` the model's current one, which a tensor is looked up in.
  absl::StatusOr<Wave> Validate(WaveRequest request, Mode mode, const WeightVersion& version, Time now) const;

  // Of a wave that need never run here: looks at m, n, k, coverage and the spec's tile, K step, dtype, order and tail
  // policy, and at nothing else: neither at the whitelist nor at what fits into a message. An unspecified dtype is f32.
  // INVALID_ARGUMENT: with every violation among these.
  absl::StatusOr<TilePlan> PlanTiles(const WaveRequest& request) const;

  const TileWhitelist& whitelist() const { return whitelist_; }
  const Limits& limits() const { return limits_; }
  bool lenient() const { return lenient_; }

 private:
  const TileWhitelist whitelist_;
  const bool lenient_;
  const Limits limits_;
  const bool paged_;
  const DTypeSet dtypes_;
};

// "default" for an empty name.
std::string ModelName(std::string name);

// Whether `name` is an acceptable model name: 1 to 128 of [A-Za-z0-9._/-], beginning with a letter or digit.
bool IsModelName(absl::string_view name);

// The tensor that `wave` takes from `version`, or why it can't: NOT_FOUND TENSOR_NOT_FOUND, FAILED_PRECONDITION
// WEIGHT_DTYPE or WEIGHT_SHAPE. Null for a wave that brings its own W. Asked again when the wave starts, as
// the version may have changed by then.
absl::StatusOr<const NamedTensor*> CheckWeight(const Wave& wave, const WeightVersion& version);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WAVE_VALIDATOR_H_
