#ifndef BWRT_KERNELS_HARDWARE_COUNTERS_H_
#define BWRT_KERNELS_HARDWARE_COUNTERS_H_

// HardwareCounters: what the processor counted of the threads that compute: cycles, reads of one
// cache, and those that missed it.
//
// Shared by all threads; thread-safe. Each thread's counters are its own: opened when it first asks,
// closed when it ends, or at the latest when it asks some other HardwareCounters after this one is
// gone. They count for as long as the thread lives; a stretch of its work is the difference of two
// readings, each one system call: for once a wave, not once a tile.
//
//  1. A count is of user mode alone.
//  2. All three events of a thread are counted at the same times or not at all: they are one group.
//  3. What was not counted is absent, never 0.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/cache_counts.h"
#include "kernels/cache_events.h"
#include "kernels/cpu_info.h"
#include "kernels/perf_events.h"

namespace bwrt::kernels {

class HardwareCounters {
 public:
  // A thread's counters at one time.
  struct Reading {
    uint64_t enabled_ns = 0;  // That they were to be counted,
    uint64_t running_ns = 0;  // and that they were: less where others want the counters too.
    CacheCounts counts = {};  // While running.
  };

  // Tries on the calling thread. The error says why there are none, in words for operators:
  // - NOT_FOUND: no such event: the machine shows no performance counters, as most virtual ones.
  // - PERMISSION_DENIED: the system does not allow it.
  // - UNAVAILABLE: any other reason.
  static absl::StatusOr<std::shared_ptr<HardwareCounters>> Create(const CpuInfo& cpu, std::shared_ptr<PerfEvents> perf);

  CacheLevel level() const;
  // Which cache is counted and how, for people.
  std::string description() const;

  // The calling thread's; nullopt where it has none: they could not be opened, which is tried again next time
  // where only descriptors or memory were short, or could not be read.
  std::optional<Reading> Read();

  // What was counted from `begin` to `end`, two readings of one thread. Where the counters were shared and ran for
  // at least half of that time it is scaled up to all of it, as perf(1) does. nullopt where they ran for less, and
  // where a value went backwards, as when counters are reset.
  static std::optional<CacheCounts> Between(const Reading& begin, const Reading& end);

 private:
  struct Plan;  // What every thread opens.
  class Group;  // One thread's descriptors.
  struct Slot;  // One thread's group of one HardwareCounters.

  explicit HardwareCounters(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}
  Slot& ThisThreads();

  const std::shared_ptr<const Plan> plan_;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_HARDWARE_COUNTERS_H_
