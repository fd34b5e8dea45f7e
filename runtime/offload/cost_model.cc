#include "runtime/offload/cost_model.h"

#include <algorithm>

namespace bwrt::runtime {

WaveWork WaveWork::Of(const Wave& wave, bool resident) {
  const auto m = static_cast<double>(wave.grid.m);
  const auto n = static_cast<double>(wave.grid.n);
  const auto k = static_cast<double>(wave.k);
  const auto bytes = static_cast<double>(kernels::SizeOf(wave.dtype));
  const auto tiles = static_cast<double>(wave.grid.tiles());
  const auto run = static_cast<double>(static_cast<int64_t>(wave.traversal.order.size()) - wave.traversal.dropped);
  const double share = tiles > 0 ? std::min(run / tiles, 1.0) : 1.0;
  // What no tile covers is as supplied, and so goes in and comes out again.
  const bool c_read = wave.beta != 0 || share < 1;

  WaveWork work;
  work.dtype = wave.dtype;
  work.flops = 2 * m * n * k * share;
  work.weight_bytes = n * k * bytes;
  work.operand_bytes = m * k * bytes + m * n * static_cast<double>(kernels::SizeOf(wave.c_dtype)) * (c_read ? 2 : 1);
  if (wave.w || !resident) work.load_bytes = work.weight_bytes;
  return work;
}

Duration Predict(const DeviceCosts& costs, const WaveWork& work) {
  // Longer than any wave takes, and far from overflow.
  constexpr double kLongest = 1e6;
  const double compute =
      std::max(work.flops * costs.per_flop[static_cast<size_t>(work.dtype)], work.weight_bytes * costs.per_weight_byte);
  const double seconds =
      costs.fixed + compute + work.operand_bytes * costs.per_operand_byte + work.load_bytes * costs.per_load_byte;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::clamp(seconds, 0.0, kLongest)));
}

}  // namespace bwrt::runtime
