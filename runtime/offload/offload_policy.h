// OffloadPolicy: which device a wave runs on, given what each is predicted to take. Pure.
//
// The first device is the one that holds everything and is always there: the host's processor. Another one is chosen
// only where that is worth it: predictions are rough, and a wave that the first one does in no time is not sent
// anywhere.
#ifndef BWRT_RUNTIME_OFFLOAD_OFFLOAD_POLICY_H_
#define BWRT_RUNTIME_OFFLOAD_OFFLOAD_POLICY_H_

#include <chrono>
#include <cstddef>
#include <vector>

#include "runtime/clock.h"
#include "runtime/placement.h"

namespace bwrt::runtime {

struct OffloadOptions {
  // Waves that the first device is predicted to take less time for stay there.
  Duration small_wave = std::chrono::microseconds(100);
  // Another device must be predicted to take less than this share of the first one's time.
  double worth = 0.9;
};

struct Choice {
  size_t device = 0;  // Index of the prediction.
  Placement placement;
};

// `predictions` has one for each device, at least one, and the first has a time.
Choice Choose(std::vector<Placement::Prediction> predictions, const OffloadOptions& options);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_OFFLOAD_POLICY_H_
