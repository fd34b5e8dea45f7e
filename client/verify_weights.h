// The weights that verified waves run on, as a function of a seed, so that they need not be kept to be had again.
//
// Plain values and pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"
#include "client/wave_space.h"

namespace bwrt::client {

struct WeightsRecipe {
  enum class Kind {
    kRandomModel,  // RandomModel of client/wave_space.h.
    kWaveTensor,   // The tensor that a given wave names as its W, and no other.
  };

  Kind kind = Kind::kRandomModel;
  uint64_t seed = 0;

  friend bool operator==(const WeightsRecipe&, const WeightsRecipe&) = default;
};

// Makes a model called `name`; its version is the caller's to fill in. `wave` counts for kWaveTensor alone: where it
// names no tensor the model has a small one nobody uses, because a model cannot be empty.
// - INVALID_ARGUMENT: the wave's sizes or type make no tensor.
// - RESOURCE_EXHAUSTED: the tensor has more than `max_bytes` bytes. Nothing was allocated.
absl::StatusOr<PublishedModel> MakeWeights(const WeightsRecipe& recipe, const std::string& name,
                                           const v1::SubmitWaveRequest& wave, uint64_t max_bytes);

// The tensor that the wave's W names; null where it names none, or one that is not there.
const v1::Tensor* StoredW(const PublishedModel& model, const v1::SubmitWaveRequest& wave);

}  // namespace bwrt::client
