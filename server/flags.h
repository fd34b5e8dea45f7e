// Flags: everything the command line of bwrtd can say, checked.
//
// A value type. ParseFlags is a pure function of its arguments and of the files that --flagfile names.
#ifndef BWRT_SERVER_FLAGS_H_
#define BWRT_SERVER_FLAGS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/page_source.h"
#include "server/listen_address.h"
#include "server/log.h"

namespace bwrt::server {

enum class DeviceChoice { kAuto, kCpu, kCuda };
enum class GpuCounters { kAuto, kOff, kGpm, kPm };
enum class CudaKernel { kAuto, kOwn, kCublasLt, kPlain };

struct Flags {
  // What to print, and then exit with 0; empty otherwise. Nothing else is checked then.
  std::string help;
  bool version = false;

  struct Rpc {
    std::vector<ListenAddress> listen;  // Empty: DefaultListenAddress.
    bool insecure_listen = false;
    uint64_t max_message_bytes = 64 << 20;  // Fits an int.
  } rpc;

  struct Metrics {
    std::optional<ListenAddress> address;  // kTcp. Unset: no exposer.
  } metrics;

  struct Waves {
    DeviceChoice device = DeviceChoice::kAuto;
    struct Cuda {
      int ordinal = 0;        // Of the GPU, as CUDA counts.
      std::string plugin;     // Path; empty: it is looked for (runtime/cuda_plugin.h).
      uint64_t memory = 0;    // Bytes of the GPU's memory. 0: nine tenths of what is free.
      uint64_t graphs = 256;  // That each lane keeps. 0: kernels are queued one by one.
      bool recreate = false;  // A context that is lost is made anew.
      GpuCounters counters = GpuCounters::kAuto;
      std::chrono::milliseconds counter_interval = std::chrono::seconds(1);  // From 100 ms to 60 s.
      CudaKernel kernel = CudaKernel::kAuto;
      bool kernel_counters = true;  // The plugin's Hopper kernel counts.
      bool poison = false;          // C is filled with NaNs before kernels write it.
    } cuda;
    std::string decision_log;  // Empty: none.
    uint64_t lanes = 0;        // 0: one for each processor, at most kMaxLanes.
    uint64_t cpu_threads = 0;  // 0: one for each processor, at most kMaxCpuThreads.
    bool lenient_shapes = false;
    std::string tile_whitelist_file;                  // Empty: the built-in list.
    std::optional<runtime::PageSourceOptions> pages;  // Unset: io_extents only advance the token clock.
    uint64_t page_cache_bytes = uint64_t{256} << 20;
    uint64_t queue_waves = 1024;
    uint64_t queue_bytes = uint64_t{1} << 30;
    std::string tune_file;  // Shapes to tune for before anything is served. Empty: none.
  } waves;

  struct Weights {
    uint64_t max_models = 64;
    uint64_t memory_limit = 0;  // Bytes. 0: half of the memory this process can have (host_memory.h).
    bool allow_when_idle = true;
    std::chrono::milliseconds max_hold = std::chrono::seconds(10);  // 0: new waves are never held.
    std::chrono::milliseconds max_pause = std::chrono::seconds(5);
    std::string state_dir;         // Empty: nothing outlives the process.
    std::string root;              // Of LoadFile. Empty: it is refused.
    uint64_t keep_versions = 1;    // Beyond the current one.
    uint64_t stage_bandwidth = 0;  // Bytes a second while waves run. 0: without limit.
    std::chrono::milliseconds stage_idle_timeout = std::chrono::seconds(60);  // At least 1 ms.
  } weights;

  struct Process {
    std::chrono::milliseconds grace_period = std::chrono::seconds(30);
    std::string ready_file;  // Empty: none.
    LogLevel log_level = LogLevel::kInfo;
  } process;
};

inline constexpr uint64_t kMaxLanes = 64;
inline constexpr uint64_t kMaxCpuThreads = 256;

// Errors are the user's (INVALID_ARGUMENT; exit status 2) and name flag, value and limit; for a line of a flag
// file also file and line. A flag of the command line replaces the files', all of its values.
absl::StatusOr<Flags> ParseFlags(int argc, const char* const* argv);

// "64M" -> 67108864. Suffixes K, M, G and T are powers of 1024.
absl::StatusOr<uint64_t> ParseBytes(const std::string& text);

// "500ms", "5s", "1.5m", "1h".
absl::StatusOr<std::chrono::milliseconds> ParseDuration(const std::string& text);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_FLAGS_H_
