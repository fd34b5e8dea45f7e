#include "kernels/cache_events.h"

#include <linux/perf_event.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace bwrt::kernels {
namespace {

// Intel's big cores of family 6 that have L2_RQSTS as described in the header.
constexpr unsigned kIntelModels[] = {
    0x3C, 0x3F, 0x45, 0x46,              // Haswell.
    0x3D, 0x47, 0x4F, 0x56,              // Broadwell.
    0x4E, 0x5E, 0x8E, 0x9E, 0xA5, 0xA6,  // Skylake and its relatives.
    0x55,                                // Skylake, Cascade Lake and Cooper Lake servers.
    0x7D, 0x7E, 0xA7, 0x6A, 0x6C,        // Ice Lake, Rocket Lake, Ice Lake servers.
    0x8C, 0x8D,                          // Tiger Lake.
    0x8F, 0xCF,                          // Sapphire Rapids, Emerald Rapids.
};

constexpr PerfEvent Raw(uint64_t event, uint64_t unit_mask) { return {PERF_TYPE_RAW, unit_mask << 8 | event}; }

constexpr PerfEvent LastLevelRead(uint64_t result) {
  return {PERF_TYPE_HW_CACHE,
          uint64_t{PERF_COUNT_HW_CACHE_LL} | uint64_t{PERF_COUNT_HW_CACHE_OP_READ} << 8 | result << 16};
}

}  // namespace

std::vector<CacheEvents> CacheEventsOf(const CpuInfo& cpu) {
  std::vector<CacheEvents> choices;
  if (cpu.vendor == "AuthenticAMD" && (cpu.family == 0x17 || cpu.family == 0x19 || cpu.family == 0x1A)) {
    choices.push_back({CacheLevel::kL2, "the L1 data cache's requests to the core's L2 (AMD L2CacheReqStat)",
                       Raw(0x64, 0xF8), Raw(0x64, 0x08)});
  }
  if (cpu.vendor == "GenuineIntel" && cpu.family == 6 &&
      std::find(std::begin(kIntelModels), std::end(kIntelModels), cpu.model_number) != std::end(kIntelModels)) {
    choices.push_back({CacheLevel::kL2, "demand reads of data from the core's L2 (Intel L2_RQSTS)", Raw(0x24, 0xE1),
                       Raw(0x24, 0x21)});
  }
  choices.push_back({CacheLevel::kLastLevel, "reads of the last-level cache (Linux's LLC-loads)",
                     LastLevelRead(PERF_COUNT_HW_CACHE_RESULT_ACCESS), LastLevelRead(PERF_COUNT_HW_CACHE_RESULT_MISS)});
  return choices;
}

}  // namespace bwrt::kernels
