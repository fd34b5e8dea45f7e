#include "kernels/hardware_counters.h"

#include <linux/perf_event.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace bwrt::kernels {
namespace {

constexpr PerfEvent kCycles = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES};
constexpr size_t kEvents = 3;

// Why a call failed, for operators.
absl::Status CallError(int error) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError("perf_event_open: no such event (no PMU visible to this machine)");
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          "perf_event_open: not permitted (kernel.perf_event_paranoid above 2 without CAP_PERFMON, or a container's "
          "seccomp profile)");
    case ENOSYS:
      return absl::UnavailableError("perf_event_open: not implemented (a kernel without performance events)");
    case EMFILE:
    case ENFILE:
      return absl::UnavailableError("perf_event_open: too many open files");
    default:
      return absl::UnavailableError(absl::StrCat("perf_event_open: ", std::strerror(error)));
  }
}

// Whether the same call may well work later.
bool IsTransient(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR || error == EBUSY;
}

}  // namespace

struct HardwareCounters::Plan {
  std::shared_ptr<PerfEvents> perf;
  CacheEvents cache;
};

class HardwareCounters::Group {
 public:
  explicit Group(std::shared_ptr<PerfEvents> perf) : perf_(std::move(perf)) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    // The leader last: without it the others would go on as groups of their own.
    while (opened_ > 0) perf_->Close(descriptors_[--opened_]);
  }

  // 0, or the errno of the event that could not be opened.
  int Open(const CacheEvents& cache) {
    for (const PerfEvent& event : {kCycles, cache.reads, cache.misses}) {
      const int descriptor = perf_->Open(event, opened_ == 0 ? PerfEvents::kNoGroup : descriptors_[0]);
      if (descriptor < 0) return -descriptor;
      descriptors_[opened_++] = descriptor;
    }
    return 0;
  }

  std::optional<Reading> Read() {
    std::array<uint64_t, 3 + kEvents> words = {};
    // A group that cannot be counted at all reads as the end of a file.
    const int64_t read = perf_->Read(descriptors_[0], absl::MakeSpan(words));
    if (read != static_cast<int64_t>(words.size()) || words[0] != kEvents) return std::nullopt;
    return Reading{words[1], words[2], {words[3], words[4], words[5]}};
  }

 private:
  const std::shared_ptr<PerfEvents> perf_;
  std::array<int, kEvents> descriptors_ = {};
  size_t opened_ = 0;
};

struct HardwareCounters::Slot {
  std::weak_ptr<const Plan> owner;
  std::unique_ptr<Group> group;  // Null where it could not be opened, or not yet.
  bool hopeless = false;         // It never can.
};

HardwareCounters::Slot& HardwareCounters::ThisThreads() {
  // A thread's counters must close when the thread ends, which only the thread's own storage knows.
  thread_local std::vector<Slot> slots;
  const auto mine =
      std::find_if(slots.begin(), slots.end(), [this](const Slot& slot) { return slot.owner.lock() == plan_; });
  if (mine != slots.end()) return *mine;
  slots.erase(std::remove_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.owner.expired(); }),
              slots.end());
  return slots.emplace_back(Slot{plan_, nullptr, false});
}

absl::StatusOr<std::shared_ptr<HardwareCounters>> HardwareCounters::Create(const CpuInfo& cpu,
                                                                           std::shared_ptr<PerfEvents> perf) {
  absl::Status why;
  for (const CacheEvents& cache : CacheEventsOf(cpu)) {
    Group group(perf);
    const int error = group.Open(cache);
    if (error == 0) {
      auto plan = std::make_shared<const Plan>(Plan{std::move(perf), cache});
      return std::shared_ptr<HardwareCounters>(new HardwareCounters(std::move(plan)));
    }
    why.Update(CallError(error));  // The first is of what was wanted most.
  }
  return why;
}

CacheLevel HardwareCounters::level() const { return plan_->cache.level; }

std::string HardwareCounters::description() const { return std::string(plan_->cache.name); }

std::optional<HardwareCounters::Reading> HardwareCounters::Read() {
  Slot& slot = ThisThreads();
  if (slot.group == nullptr && !slot.hopeless) {
    auto group = std::make_unique<Group>(plan_->perf);
    const int error = group->Open(plan_->cache);
    if (error == 0) slot.group = std::move(group);
    slot.hopeless = error != 0 && !IsTransient(error);
  }
  return slot.group == nullptr ? std::nullopt : slot.group->Read();
}

std::optional<CacheCounts> HardwareCounters::Between(const Reading& begin, const Reading& end) {
  const CacheCounts& before = begin.counts;
  const CacheCounts& after = end.counts;
  if (end.enabled_ns < begin.enabled_ns || end.running_ns < begin.running_ns || after.cycles < before.cycles ||
      after.reads < before.reads || after.misses < before.misses) {
    return std::nullopt;
  }
  const uint64_t enabled = end.enabled_ns - begin.enabled_ns;
  const uint64_t running = end.running_ns - begin.running_ns;
  if (running < enabled - enabled / 2) return std::nullopt;
  const double scale = running == 0 ? 1.0 : std::max(1.0, static_cast<double>(enabled) / static_cast<double>(running));
  const auto scaled = [scale](uint64_t from, uint64_t to) {
    return static_cast<uint64_t>(std::llround(static_cast<double>(to - from) * scale));
  };
  return CacheCounts{scaled(before.cycles, after.cycles), scaled(before.reads, after.reads),
                     scaled(before.misses, after.misses)};
}

}  // namespace bwrt::kernels
