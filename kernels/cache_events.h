#ifndef BWRT_KERNELS_CACHE_EVENTS_H_
#define BWRT_KERNELS_CACHE_EVENTS_H_

// Which events of a processor count the reads of a cache and those that miss it.
//
// A core's own L2 is counted by the processor's own event, which differs by vendor and generation:
// those of Linux's tools/perf/pmu-events/arch/x86 (mapfile.csv for the processors, cache.json for
// their events), checked there for
// - AMD Zen (families 17h, 19h, 1Ah): PMCx064, L2CacheReqStat, "core to L2 cacheable requests, not
//   including L2 prefetch". Unit mask F8h is every request of the L1 data cache
//   (dc_access_in_l2), 08h those that miss (ls_rd_blk_c). Reads, stores and the L1's prefetches count.
// - Intel from Haswell on, without the hybrid ones: L2_RQSTS, event 24h. Unit mask E1h is every
//   demand read of data (ALL_DEMAND_DATA_RD), 21h those that miss (DEMAND_DATA_RD_MISS). Neither
//   stores nor prefetches count.
// What the L2's own prefetcher has fetched in time is a hit.
//
// Where there is no such event there are Linux's generic ones for reads of the "LL" cache, which is
// the last level (perf_event_open(2), PERF_COUNT_HW_CACHE_LL): never the L2 of a processor that has an
// L3, so they are a choice of their own and not called L2. Linux has none for AMD Zen. Its other
// generic pair, cache references and misses, is not used: it is the L2 on AMD and the last level on
// Intel.
//
// A pure function; thread-safe.

#include <string_view>
#include <vector>

#include "kernels/cpu_info.h"
#include "kernels/perf_events.h"

namespace bwrt::kernels {

enum class CacheLevel {
  kL2,         // Of one core.
  kLastLevel,  // The last before memory.
};

struct CacheEvents {
  CacheLevel level = CacheLevel::kL2;
  std::string_view name;  // For people.
  PerfEvent reads;        // Requests,
  PerfEvent misses;       // and those of them that the cache does not hold.
};

// Those to try, the best first; never empty.
std::vector<CacheEvents> CacheEventsOf(const CpuInfo& cpu);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CACHE_EVENTS_H_
