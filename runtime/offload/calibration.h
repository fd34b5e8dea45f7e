// Calibrate: measures a device's costs by running waves on it. Blocks, for a second or so on a processor.
#ifndef BWRT_RUNTIME_OFFLOAD_CALIBRATION_H_
#define BWRT_RUNTIME_OFFLOAD_CALIBRATION_H_

#include <chrono>
#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/offload/cost_model.h"

namespace bwrt::runtime {

struct CalibrationOptions {
  // Square waves grow from the first side to the last, or until one takes this long.
  int64_t first_side = 256;
  int64_t last_side = 4096;
  Duration long_enough = std::chrono::milliseconds(20);
  int repeats = 3;  // Of each wave, but for those that take that long; the fastest counts.
};

// Of a device that nothing else uses. Errors are the device's.
absl::StatusOr<DeviceCosts> Calibrate(Device& device, const Clock& clock, const CalibrationOptions& options = {});

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_CALIBRATION_H_
