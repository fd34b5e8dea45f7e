#include "runtime/device_counters.h"

namespace bwrt::runtime {

Readings BestOf(Readings readings, const DeviceCounters& counters) {
  if (counters.wgmma_active) readings.wgmma_active = Reading{*counters.wgmma_active, Source::kHardware};
  if (counters.l2_hit) readings.l2_hit = Reading{*counters.l2_hit, Source::kHardware};
  return readings;
}

}  // namespace bwrt::runtime
