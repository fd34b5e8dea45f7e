#ifndef BWRT_KERNELS_PERF_EVENTS_H_
#define BWRT_KERNELS_PERF_EVENTS_H_

// PerfEvents: the system calls behind hardware counters, so that what is built on them can be tested
// on machines that have none.
//
// Thread-safe. A counter counts the thread that opened it, wherever that thread runs, while it is in
// user mode: that much is allowed without privileges where kernel.perf_event_paranoid is at most 2.

#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace bwrt::kernels {

// What to count: perf_event_attr's `type` and `config`.
struct PerfEvent {
  uint32_t type = 0;
  uint64_t config = 0;
  friend bool operator==(const PerfEvent&, const PerfEvent&) = default;
};

class PerfEvents {
 public:
  static constexpr int kNoGroup = -1;

  virtual ~PerfEvents() = default;

  // perf_event_open(2): starts to count `event` for the calling thread, alone or in the group of the
  // leader `group`, whose events are always counted together. A descriptor, at least 0; else the
  // negative errno.
  virtual int Open(const PerfEvent& event, int group) = 0;

  // read(2) of a group's leader: how many events, the nanoseconds that they were to be counted, those
  // that they really were, and each event's count. Returns the words read; else the negative errno.
  virtual int64_t Read(int leader, absl::Span<uint64_t> words) = 0;

  virtual void Close(int descriptor) = 0;

  // Linux's.
  static std::shared_ptr<PerfEvents> System();
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_PERF_EVENTS_H_
