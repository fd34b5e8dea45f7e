// DeviceCounters: what a device's hardware counters said of their last interval.
//
// Of the whole device, whoever used it: not of one wave, whose own readings are in its report.
#ifndef BWRT_RUNTIME_DEVICE_COUNTERS_H_
#define BWRT_RUNTIME_DEVICE_COUNTERS_H_

#include <optional>
#include <string>

#include "runtime/readings.h"

namespace bwrt::runtime {

// Ratios in [0, 1]; one that was not counted is absent, never 0.
struct DeviceCounters {
  std::optional<double> wgmma_active = {};     // Tensor pipes' share of the time in which multiprocessors had work.
  std::optional<double> l2_hit = {};           // Of reads in the L2 that tiles share.
  std::optional<double> sm_active = {};        // Share of the multiprocessors' time in which they had work.
  std::optional<double> dram_throughput = {};  // Of the memory's peak.
  // What counts, for people; or "none: " and why. Empty: the device has no use for counters.
  std::string text = {};
};

// What advice is drawn from: each ratio from its best source, which are the counters where they have it.
Readings BestOf(Readings readings, const DeviceCounters& counters);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_DEVICE_COUNTERS_H_
