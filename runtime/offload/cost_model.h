// CostModel: how long a device takes for a wave, from a few numbers that were measured on it. Pure.
//
//   time = fixed + max(flops * per_flop[dtype], weight bytes * per_weight_byte)
//                + operand bytes * per_operand_byte + loaded bytes * per_load_byte
//
// A product waits either for the arithmetic or for its weights to be read; the copies before and after it overlap with
// neither. What other waves do at the same time is not counted.
#ifndef BWRT_RUNTIME_OFFLOAD_COST_MODEL_H_
#define BWRT_RUNTIME_OFFLOAD_COST_MODEL_H_

#include <array>

#include "kernels/dtype.h"
#include "runtime/clock.h"
#include "runtime/wave.h"

namespace bwrt::runtime {

// Seconds; each finite and at least 0.
struct DeviceCosts {
  double fixed = 0;                                 // Of any wave.
  std::array<double, kernels::kDTypes> per_flop{};  // By kernels::DType.
  double per_weight_byte = 0;                       // Read where it is resident.
  double per_operand_byte = 0;                      // Of A, of C out, and of C in where it is read.
  double per_load_byte = 0;                         // Of a W that is not resident: copied, or packed.
  friend bool operator==(const DeviceCosts&, const DeviceCosts&) = default;
};

// What a wave asks of a device.
struct WaveWork {
  kernels::DType dtype = kernels::DType::kF32;
  double flops = 0;  // Of the tiles that run.
  double weight_bytes = 0;
  double operand_bytes = 0;
  double load_bytes = 0;  // 0 where W is resident.

  // `resident`: a W that does not come with the wave is on the device.
  static WaveWork Of(const Wave& wave, bool resident);
};

Duration Predict(const DeviceCosts& costs, const WaveWork& work);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_COST_MODEL_H_
