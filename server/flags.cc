#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::server {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMaxBytes = uint64_t{1} << 50;

// The values given to each flag, in order.
using Values = std::map<std::string, std::vector<std::string>>;

absl::Status Bad(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status SetCount(const std::string& text, uint64_t min, uint64_t max, uint64_t* to) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < min || n > max) {
    return Bad(absl::StrCat("must be a whole number from ", min, " to ", max));
  }
  *to = n;
  return absl::OkStatus();
}

absl::Status SetBytes(const std::string& text, uint64_t min, uint64_t max, bool zero, uint64_t* to) {
  const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
  if (!bytes.ok()) return bytes.status();
  if ((*bytes < min || *bytes > max) && !(zero && *bytes == 0)) {
    return Bad(absl::StrCat("must be from ", min, " to ", max, " bytes", zero ? ", or 0" : ""));
  }
  *to = *bytes;
  return absl::OkStatus();
}

absl::Status SetDuration(const std::string& text, std::chrono::milliseconds max, std::chrono::milliseconds* to) {
  const absl::StatusOr<std::chrono::milliseconds> duration = ParseDuration(text);
  if (!duration.ok()) return duration.status();
  if (*duration > max) {
    return Bad(absl::StrCat("must be at most ", std::chrono::duration_cast<std::chrono::seconds>(max).count(), "s"));
  }
  *to = *duration;
  return absl::OkStatus();
}

absl::Status SetBool(const std::string& text, bool* to) {
  if (text != "true" && text != "false") return Bad("must be true or false");
  *to = text == "true";
  return absl::OkStatus();
}

absl::Status SetFile(const std::string& text, std::string* to) {
  if (text.empty()) return Bad("needs a file name");
  *to = text;
  return absl::OkStatus();
}

template <typename T>
absl::Status SetChoice(const std::string& text, const std::vector<std::pair<const char*, T>>& choices, T* to) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) {
      *to = value;
      return absl::OkStatus();
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  return Bad(absl::StrCat("must be one of ", names));
}

// "cuda:3" names a GPU.
absl::Status SetDevice(const std::string& text, Flags::Waves* to) {
  constexpr std::string_view kNumbered = "cuda:";
  constexpr uint64_t kMaxOrdinal = 255;
  if (text.starts_with(kNumbered)) {
    uint64_t ordinal = 0;
    if (!SetCount(text.substr(kNumbered.size()), 0, kMaxOrdinal, &ordinal).ok()) {
      return Bad(absl::StrCat("the GPU's number must be from 0 to ", kMaxOrdinal));
    }
    to->device = DeviceChoice::kCuda;
    to->cuda.ordinal = static_cast<int>(ordinal);
    return absl::OkStatus();
  }
  to->cuda.ordinal = 0;
  return SetChoice<DeviceChoice>(
      text, {{"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}}, &to->device);
}

struct FlagSpec {
  const char* name;
  const char* value;  // What stands for the value in the help; nullptr: a switch, true when given without one.
  const char* help;
  absl::Status (*apply)(const std::string& text, Flags* flags);
};

constexpr char kFlagFile[] = "flagfile";

const FlagSpec kFlags[] = {
    {"listen", "ADDRESS",
     "unix:PATH, HOST:PORT or [V6]:PORT; port 0 picks one. May be repeated. Default: unix:/run/bwrt/bwrt.sock "
     "for root, else bwrt.sock in $XDG_RUNTIME_DIR",
     [](const std::string& text, Flags* flags) {
       absl::StatusOr<ListenAddress> address = ListenAddress::Parse(text);
       if (!address.ok()) return address.status();
       flags->rpc.listen.push_back(*std::move(address));
       return absl::OkStatus();
     }},
    {"insecure-listen", nullptr, "Allow addresses that other machines can reach, without encryption",
     [](const std::string& text, Flags* flags) { return SetBool(text, &flags->rpc.insecure_listen); }},
    {"max-message-bytes", "BYTES", "Largest request that is accepted. Default: 64M",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, 4096, std::numeric_limits<int32_t>::max(), false, &flags->rpc.max_message_bytes);
     }},
    {"metrics", "HOST:PORT", "Serve Prometheus metrics at http://HOST:PORT/metrics. Default: not served",
     [](const std::string& text, Flags* flags) {
       absl::StatusOr<ListenAddress> address = ListenAddress::Parse(text);
       if (!address.ok()) return address.status();
       if (address->kind != ListenAddress::Kind::kTcp) return Bad("must be HOST:PORT");
       flags->metrics.address = *std::move(address);
       return absl::OkStatus();
     }},
    {"device", "auto|cpu|cuda[:N]",
     "cuda: the NVIDIA GPU with the number N, 0 without one; auto: each wave on the CPU or on GPU 0, whichever is "
     "predicted to be faster, and on the CPU where no GPU works. Default: auto",
     [](const std::string& text, Flags* flags) { return SetDevice(text, &flags->waves); }},
    {"cuda-plugin", "PATH",
     "The libbwrt_cuda.so to load. Default: looked for beside bwrtd, in ../lib/bwrt and in ../runtime from there",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->waves.cuda.plugin); }},
    {"cuda-memory", "BYTES", "Of the GPU, for weights and operands. Default: 0, nine tenths of what is free",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, kMiB, kMaxBytes, true, &flags->waves.cuda.memory);
     }},
    {"cuda-graphs", "N",
     "Waves that come again are replayed as CUDA graphs; each lane keeps so many. 0: kernels are queued one by one. "
     "Default: 256",
     [](const std::string& text, Flags* flags) { return SetCount(text, 0, 100'000, &flags->waves.cuda.graphs); }},
    {"cuda-kernel", "auto|own|cublaslt|plain",
     "Whose kernels run waves on the GPU. auto: on Hopper bwrtd's own, which honour the traversal, where they can, "
     "else cuBLASLt, else the plain one; own: the same, and the result says why where another ran; cublaslt: never its "
     "own; "
     "plain: no tensor cores. Default: auto",
     [](const std::string& text, Flags* flags) {
       return SetChoice<CudaKernel>(text,
                                    {{"auto", CudaKernel::kAuto},
                                     {"own", CudaKernel::kOwn},
                                     {"cublaslt", CudaKernel::kCublasLt},
                                     {"plain", CudaKernel::kPlain}},
                                    &flags->waves.cuda.kernel);
     }},
    {"cuda-counters", "on|off",
     "on: bwrtd's own GPU kernels count how busy tensor cores and copies are, for the wgmma, tma and ring ratios. "
     "Default: on",
     [](const std::string& text, Flags* flags) {
       return SetChoice<bool>(text, {{"on", true}, {"off", false}}, &flags->waves.cuda.kernel_counters);
     }},
    {"cuda-recreate", nullptr,
     "After an error that loses the GPU's context, make a new one and upload the weights again, of which a copy is "
     "kept in memory. Default: out of service until a restart",
     [](const std::string& text, Flags* flags) { return SetBool(text, &flags->waves.cuda.recreate); }},
    {"cuda-poison", nullptr,
     "For tests: fill what GPU kernels are to write with NaNs first, so that what they leave out shows. Default: off",
     [](const std::string& text, Flags* flags) { return SetBool(text, &flags->waves.cuda.poison); }},
    {"gpu-counters", "auto|off|gpm|pm",
     "The GPU's hardware counters: gpm through NVML, which needs no rights on Hopper; pm with CUPTI's PM sampling, "
     "which counts L2 hits too but needs CAP_PERFMON and no other profiler on the GPU, and gpm while it can't; auto: "
     "gpm. "
     "Default: auto",
     [](const std::string& text, Flags* flags) {
       return SetChoice<GpuCounters>(text,
                                     {{"auto", GpuCounters::kAuto},
                                      {"off", GpuCounters::kOff},
                                      {"gpm", GpuCounters::kGpm},
                                      {"pm", GpuCounters::kPm}},
                                     &flags->waves.cuda.counters);
     }},
    {"gpu-counter-interval", "DURATION", "Time over which they are read, from 100ms to 60s. Default: 1s",
     [](const std::string& text, Flags* flags) {
       std::chrono::milliseconds* const interval = &flags->waves.cuda.counter_interval;
       absl::Status status = SetDuration(text, std::chrono::minutes(1), interval);
       if (status.ok() && interval->count() < 100) return Bad("must be at least 100ms");
       return status;
     }},
    {"decision-log", "FILE",
     "With --device=auto and a GPU: append where each wave ran, and why, to FILE as lines of JSON",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->waves.decision_log); }},
    {"lanes", "N", "Waves a device runs at once. Default: 0, one for each processor, at most 64",
     [](const std::string& text, Flags* flags) { return SetCount(text, 0, kMaxLanes, &flags->waves.lanes); }},
    {"cpu-threads", "N",
     "Threads that share the tiles of the waves on the CPU. Default: 0, one for each processor, at most 256",
     [](const std::string& text, Flags* flags) {
       return SetCount(text, 0, kMaxCpuThreads, &flags->waves.cpu_threads);
     }},
    {"shape-check", "strict|lenient",
     "lenient: run tile shapes that are not whitelisted, and say so in the result. Default: strict",
     [](const std::string& text, Flags* flags) {
       return SetChoice<bool>(text, {{"strict", false}, {"lenient", true}}, &flags->waves.lenient_shapes);
     }},
    {"tile-whitelist", "FILE", "Lines bm,bn,bk,stage,cx,cy instead of the built-in list",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->waves.tile_whitelist_file); }},
    {"pages", "root=DIR,model_id=M,model_version=V,page_bytes=N",
     "Read waves' io_extents from the files layer_<n>.seg in DIR/M/V. Default: only count them",
     [](const std::string& text, Flags* flags) {
       auto pages = runtime::ParsePageSource(text);
       if (!pages.ok()) return pages.status();
       flags->waves.pages = *std::move(pages);
       return absl::OkStatus();
     }},
    {"page-cache", "BYTES", "What is kept of those pages. Default: 256M",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, kMiB, kMaxBytes, false, &flags->waves.page_cache_bytes);
     }},
    {"queue-waves", "N", "Waves that may wait for a device. Default: 1024",
     [](const std::string& text, Flags* flags) { return SetCount(text, 1, 1'000'000, &flags->waves.queue_waves); }},
    {"queue-bytes", "BYTES", "Operand and result bytes of the waves waiting and running. Default: 1G",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, kMiB, kMaxBytes, false, &flags->waves.queue_bytes);
     }},
    {"tune-at-start", "FILE",
     "Tune each device for the shapes in the file, lines MxNxK[:dtype[:transposed]], before health says SERVING; at "
     "most "
     "64, each for 10 s at most, and only those that --state-dir keeps no result for",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->waves.tune_file); }},
    {"max-models", "N", "Default: 64",
     [](const std::string& text, Flags* flags) { return SetCount(text, 1, 10'000, &flags->weights.max_models); }},
    {"weight-memory-limit", "BYTES",
     "Bytes of all weights, those being replaced included. Default: 0, half of the memory, and no more than what a GPU "
     "that serves has for them",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, kMiB, kMaxBytes, true, &flags->weights.memory_limit);
     }},
    {"allow-when-idle", "true|false", "Whether swaps may use the policy WHEN_IDLE. Default: true",
     [](const std::string& text, Flags* flags) { return SetBool(text, &flags->weights.allow_when_idle); }},
    {"max-hold", "DURATION", "Longest time a waiting swap may hold new waves back. Default: 10s",
     [](const std::string& text, Flags* flags) {
       return SetDuration(text, std::chrono::minutes(10), &flags->weights.max_hold);
     }},
    {"max-pause", "DURATION",
     "Longest time that an IN_PLACE commit may hold new waves back: until the running ones have ended, and while the "
     "weights are copied. Default: 5s",
     [](const std::string& text, Flags* flags) {
       return SetDuration(text, std::chrono::minutes(10), &flags->weights.max_pause);
     }},
    {"state-dir", "DIR",
     "Keep committed and prepared weights there, across restarts and crashes. Default: they live as long as the "
     "process",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->weights.state_dir); }},
    {"weights-root", "DIR", "LoadFile reads safetensors files beneath it. Default: LoadFile is refused",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->weights.root); }},
    {"keep-versions", "N",
     "Earlier versions of each model kept for a rollback: in the state directory, else in memory while there is room. "
     "Default: 1",
     [](const std::string& text, Flags* flags) { return SetCount(text, 0, 100, &flags->weights.keep_versions); }},
    {"stage-bandwidth", "BYTES",
     "Weight bytes staged in a second while waves run, and for a moment afterwards. Default: 0, without limit",
     [](const std::string& text, Flags* flags) {
       return SetBytes(text, kMiB, kMaxBytes, true, &flags->weights.stage_bandwidth);
     }},
    {"stage-idle-timeout", "DURATION",
     "Ends a StageWeights stream on which nothing has come for this long, so that idle ones keep nobody from staging; "
     "what "
     "was staged stays. Default: 60s",
     [](const std::string& text, Flags* flags) {
       absl::Status status = SetDuration(text, std::chrono::hours(1), &flags->weights.stage_idle_timeout);
       if (status.ok() && flags->weights.stage_idle_timeout.count() == 0) return Bad("must be at least 1ms");
       return status;
     }},
    {"grace-period", "DURATION", "Time that running waves have to finish after SIGTERM. Default: 30s",
     [](const std::string& text, Flags* flags) {
       return SetDuration(text, std::chrono::hours(1), &flags->process.grace_period);
     }},
    {"ready-file", "PATH", "Write the bound addresses there as a JSON line, once serving",
     [](const std::string& text, Flags* flags) { return SetFile(text, &flags->process.ready_file); }},
    {"log-level", "debug|info|warning|error", "Default: info",
     [](const std::string& text, Flags* flags) {
       const std::optional<LogLevel> level = ParseLogLevel(text);
       if (!level) return Bad("must be one of debug, info, warning, error");
       flags->process.log_level = *level;
       return absl::OkStatus();
     }},
    {kFlagFile, "FILE", "More flags, one a line, as --name=value or name=value; # starts a comment line",
     [](const std::string& text, Flags*) {
       std::string name;
       return SetFile(text, &name);
     }},
    {"version", nullptr, "Print the version",
     [](const std::string& text, Flags* flags) { return SetBool(text, &flags->version); }},
};

// Splits arguments into values. `help` is set when help was asked for.
absl::StatusOr<Values> Split(std::vector<std::string> arguments, std::string* help) {
  CLI::App app("Executes waves and owns their weights, for clients over gRPC.", "bwrtd");
  app.set_help_flag("--help,-h", "Print this text");
  Values values;
  for (const FlagSpec& flag : kFlags) {
    std::vector<std::string>& to = values[flag.name];
    const std::string name = absl::StrCat("--", flag.name);
    if (flag.value == nullptr) {
      app.add_flag(name, to, flag.help)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    } else {
      app.add_option(name, to, flag.help)
          ->type_name(flag.value)
          ->type_size(1)
          ->expected(1)
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
  }
  std::reverse(arguments.begin(), arguments.end());  // The order in which CLI11 wants them.
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    *help = app.help();
  } catch (const CLI::ParseError& error) {
    return Bad(error.what());
  }
  return values;
}

absl::Status Apply(const Values& values, Flags* flags) {
  for (const FlagSpec& flag : kFlags) {
    const auto it = values.find(flag.name);
    if (it == values.end()) continue;
    for (const std::string& text : it->second) {
      if (absl::Status status = flag.apply(text, flags); !status.ok()) {
        return Bad(absl::StrCat("--", flag.name, "=", text, ": ", status.message()));
      }
    }
  }
  return absl::OkStatus();
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

absl::Status CheckLine(const std::string& argument, Values* values) {
  std::string help;
  absl::StatusOr<Values> split = Split({argument}, &help);
  if (!split.ok()) return split.status();
  if (!help.empty()) return Bad("--help has no place in a flag file");
  if (!(*split)[kFlagFile].empty()) return Bad("a flag file cannot name another one");
  Flags scratch;
  if (absl::Status status = Apply(*split, &scratch); !status.ok()) return status;
  for (auto& [name, more] : *split) {
    auto& to = (*values)[name];
    to.insert(to.end(), more.begin(), more.end());
  }
  return absl::OkStatus();
}

absl::Status ReadFlagFile(const std::string& path, Values* values) {
  std::ifstream file(path);
  if (!file) return Bad(absl::StrCat("--flagfile=", path, ": cannot open it"));
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    const std::string_view line = Trim(text);
    if (line.empty() || line.front() == '#') continue;
    std::string argument(line);
    if (!line.starts_with("--")) argument.insert(0, "--");
    if (absl::Status status = CheckLine(argument, values); !status.ok()) {
      return Bad(absl::StrCat(path, ":", number, ": ", status.message()));
    }
  }
  if (file.bad()) return Bad(absl::StrCat("--flagfile=", path, ": cannot read it"));
  return absl::OkStatus();
}

// The number at the front of `text`, and what follows it.
bool SplitNumber(const std::string& text, double* number, std::string_view* unit) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, std::chars_format::fixed);
  *unit = std::string_view(end, static_cast<size_t>(text.data() + text.size() - end));
  return error == std::errc() && std::isfinite(*number) && *number >= 0;
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(const std::string& text) {
  constexpr char kForm[] = "must be a number of bytes, such as 1048576, 64M or 2G";
  uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc()) return Bad(kForm);
  const std::string_view unit(end, static_cast<size_t>(last - end));
  constexpr std::string_view kUnits = "KMGT";
  uint64_t factor = 1;
  if (!unit.empty()) {
    const size_t power = kUnits.find(unit.front());
    if (unit.size() != 1 || power == std::string_view::npos) return Bad(kForm);
    factor = uint64_t{1} << (10 * (power + 1));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(number, factor, &bytes)) return Bad("is too large");
  return bytes;
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(const std::string& text) {
  constexpr char kForm[] = "must be a duration with its unit, such as 500ms, 5s, 2m or 1h";
  double number = 0;
  std::string_view unit;
  if (!SplitNumber(text, &number, &unit)) return Bad(kForm);
  double ms = 0;
  if (unit == "ms") {
    ms = number;
  } else if (unit == "s") {
    ms = number * 1e3;
  } else if (unit == "m") {
    ms = number * 60e3;
  } else if (unit == "h") {
    ms = number * 3600e3;
  } else {
    return Bad(kForm);
  }
  if (ms > 1e12) return Bad("is too long");
  return std::chrono::milliseconds(std::llround(ms));
}

absl::StatusOr<Flags> ParseFlags(int argc, const char* const* argv) {
  Flags flags;
  absl::StatusOr<Values> values = Split(std::vector<std::string>(argv + std::min(argc, 1), argv + argc), &flags.help);
  if (!values.ok()) return values.status();
  if (!flags.help.empty()) return flags;

  Values merged;
  for (const std::string& path : (*values)[kFlagFile]) {
    if (absl::Status status = ReadFlagFile(path, &merged); !status.ok()) return status;
  }
  for (auto& [name, given] : *values) {
    if (!given.empty()) merged[name] = std::move(given);
  }
  if (absl::Status status = Apply(merged, &flags); !status.ok()) return status;
  if (flags.version) return flags;

  for (const ListenAddress& address : flags.rpc.listen) {
    if (absl::Status status = CheckExposure(address, flags.rpc.insecure_listen); !status.ok()) {
      return Bad(absl::StrCat("--listen=", status.message()));
    }
  }
  if (const auto& address = flags.metrics.address; address && !address->IsLoopback() && !flags.rpc.insecure_listen) {
    return Bad(absl::StrCat("--metrics=", address->ToString(),
                            " can be read from other machines without encryption. Use 127.0.0.1:PORT, or give "
                            "--insecure-listen if the network is protected in another way"));
  }
  return flags;
}

}  // namespace bwrt::server
