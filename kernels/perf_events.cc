#include "kernels/perf_events.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bwrt::kernels {
namespace {

class LinuxPerfEvents final : public PerfEvents {
 public:
  int Open(const PerfEvent& event, int group) override {
    perf_event_attr attributes;
    std::memset(&attributes, 0, sizeof(attributes));
    attributes.size = sizeof(attributes);
    attributes.type = event.type;
    attributes.config = event.config;
    attributes.exclude_kernel = 1;
    attributes.exclude_hv = 1;
    attributes.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    // Not inherited: each thread that is to be counted opens its own.
    const long descriptor =
        syscall(SYS_perf_event_open, &attributes, /*pid=*/0, /*cpu=*/-1, group, PERF_FLAG_FD_CLOEXEC);
    return descriptor < 0 ? -errno : static_cast<int>(descriptor);
  }

  int64_t Read(int leader, absl::Span<uint64_t> words) override {
    const ssize_t bytes = read(leader, words.data(), words.size() * sizeof(uint64_t));
    return bytes < 0 ? -errno : bytes / static_cast<ssize_t>(sizeof(uint64_t));
  }

  void Close(int descriptor) override { close(descriptor); }
};

}  // namespace

std::shared_ptr<PerfEvents> PerfEvents::System() { return std::make_shared<LinuxPerfEvents>(); }

}  // namespace bwrt::kernels
