// What swaps cost, measured against peers in the same run. README.md beside this says what each figure means.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/drift_bench.h"
#include "tests/bench/flip_bench.h"
#include "tests/bench/report.h"
#include "tests/bench/require.h"
#include "tests/bench/restart_bench.h"
#include "tests/bench/sink.h"
#include "tests/bench/stage_bench.h"
#include "tests/bench/traffic_bench.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr double kGB = 1e9;

struct Options {
  std::string bwrtd;
  std::vector<std::string> flags;  // Of the bwrtd that waves run beside staging on.
  std::vector<std::string> only;
  bool json = false;
  bool quick = false;

  // As a peer, started by ourselves.
  std::string listen;
  std::string ready_file;
  bool sink = false;
  std::string read;
};

std::string Self() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

// Removed with all it holds when it goes.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    const char* wish = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets it.
    path_ = absl::StrCat(wish == nullptr ? "/tmp" : wish, "/swap_bench-XXXXXX");
    Require(mkdtemp(path_.data()) != nullptr, "no scratch directory");
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void Flips(const Options& options, Report* report) {
  struct Named {
    const char* name;
    FlipCase flip_case;
  };
  std::vector<Named> cases = {{"1MiB/1", {kMiB, 1, 2000}},
                              {"1GiB/1", {kGiB, 1, 1000}},
                              {"4GiB/1", {4 * kGiB, 1, 1000}},
                              {"16MiB/100000", {160, 100000, 1000}}};  // Each builds as many tensors anew.
  if (options.quick) cases = {{"1MiB/1", {kMiB, 1, 100}}, {"1MiB/1000", {1024, 1000, 100}}};
  double best = 0;
  double worst = 0;
  for (const Named& named : cases) {
    const FlipDelay delay = MeasureFlips(named.flip_case);
    report->AddTo("flip_p99_us", named.name, delay.flip_p99_us, "us", AtMost(50));
    report->AddTo("start_p99_us", named.name, delay.start_p99_us, "us");
    report->AddTo("flip_longest_p99_us", named.name, delay.flip_longest_p99_us, "us");
    report->AddTo("start_longest_p99_us", named.name, delay.start_longest_p99_us, "us");
    best = best == 0 ? delay.flip_p99_us : std::min(best, delay.flip_p99_us);
    worst = std::max(worst, delay.flip_p99_us);
  }
  report->Add("flip_p99_us_worst", worst, "us", AtMost(std::max(2 * best, best + 10)));
}

void Staging(const Options& options, Report* report) {
  const StageRates rates =
      MeasureStaging(options.bwrtd, Self(), options.quick ? 64 * kMiB : kGiB, options.quick ? 1 : 7);
  report->Add("stage_vs_stream", rates.xxh3 / rates.stream, "", AtLeast(0.8));
  report->Add("stage_xxh3", rates.xxh3 / kGB, "GB/s");
  report->Add("stage_sha256", rates.sha256 / kGB, "GB/s");
  report->Add("stage_first_touch", rates.first / kGB, "GB/s");
  report->Add("stream_bare", rates.stream / kGB, "GB/s");
}

void Digests(const Options& options, Report* report) {
  const DigestRates rates = MeasureDigest(options.quick ? 16 * kMiB : 256 * kMiB, options.quick ? 1 : 9);
  report->Add("sha256_vs_openssl", rates.stage / rates.openssl, "", AtLeast(0.9));
  report->Add("sha256_stage", rates.stage / kGB, "GB/s");
  report->Add("sha256_openssl", rates.openssl / kGB, "GB/s");
}

void Waves(const Options& options, Report* report) {
  // One processor is left to staging. The last of two equal flags counts.
  std::vector<std::string> flags = {
      absl::StrCat("--cpu-threads=", std::max(1, static_cast<int>(std::thread::hardware_concurrency()) - 1))};
  flags.insert(flags.end(), options.flags.begin(), options.flags.end());
  const Interference figures =
      MeasureInterference(options.bwrtd, flags, options.quick ? 0.2 : 2, options.quick ? 1 : 7);
  report->Add("wave_p99_ratio_while_staging", figures.wave_p99_ratio, "", AtMost(1.5));
  report->Add("stage_rate_kept", figures.stage_rate_kept, "", AtLeast(0.3));
  report->Add("equal_wave_p99_ratio", figures.equal_wave_p99_ratio, "");
  report->Add("equal_stage_rate_kept", figures.equal_stage_rate_kept, "");
  report->Add("noop_wave_p99_ratio", figures.noop_wave_p99_ratio, "");
  report->Add("noop_stage_rate_kept", figures.noop_stage_rate_kept, "");
  report->Add("wave_p50_alone", figures.wave_ms, "ms");
  report->Add("stage_alone", figures.stage_rate / kGB, "GB/s");
}

void Drifts(const Options& options, Report* report) {
  const Drift drift = MeasureDrift(options.bwrtd, options.quick ? 50 : 1000, options.quick ? 100 : 10000);
  report->Add("rss_drift_ratio", std::max(drift.set_weights, drift.updates), "", AtMost(1.01));
  report->Add("rss_drift_set_weights", drift.set_weights, "");
  report->Add("rss_drift_updates", drift.updates, "");
}

void Torn(const Options& options, Report* report) {
  const Correctness figures =
      CheckSwapsUnderTraffic(options.bwrtd, options.quick ? 200 : 10000, options.quick ? 2000 : 100000);
  report->Add("torn", static_cast<double>(figures.torn), "waves", AtMost(0));
  report->Add("failed", static_cast<double>(figures.failed), "", AtMost(0));
  report->Add("checked_flips", static_cast<double>(figures.flips), "", AtLeast(options.quick ? 200 : 10000));
  report->Add("checked_waves", static_cast<double>(figures.waves), "", AtLeast(options.quick ? 2000 : 100000));
}

void Restarts(const Options& options, Report* report) {
  const ScratchDirectory scratch;
  const Restart figures = options.quick ? MeasureRestart(options.bwrtd, Self(), scratch.path(), 32 * kMiB, 4 * kMiB, 1)
                                        : MeasureRestart(options.bwrtd, Self(), scratch.path(), 2 * kGiB, 64 * kMiB, 5);
  report->AddTo("restart", "bwrtd_seconds", figures.seconds, "s");
  report->AddTo("restart", "bare_seconds", figures.bare_seconds, "s");
  report->Add("restart_ratio", figures.seconds / figures.bare_seconds, "", AtMost(1.3));
}

struct Part {
  const char* name;
  void (*measure)(const Options& options, Report* report);
};
constexpr Part kParts[] = {{"flips", Flips},  {"staging", Staging}, {"digests", Digests}, {"waves", Waves},
                           {"drift", Drifts}, {"torn", Torn},       {"restart", Restarts}};

int Measure(const Options& options) {
  Report report;
  const auto wanted = [&](const std::string& name) {
    return options.only.empty() || std::find(options.only.begin(), options.only.end(), name) != options.only.end();
  };
  for (const Part& part : kParts) {
    if (!wanted(part.name)) continue;
    if (isatty(STDERR_FILENO) == 1) std::cerr << "measuring " << part.name << "\n";
    part.measure(options, &report);
  }
  std::cout << (options.json ? report.Json() + "\n" : report.Table());
  return 0;
}

int Run(int argc, char** argv) {
  Options options;
  CLI::App app("What swaps of weights cost, measured against peers in the same run.");
  app.add_option("--bwrtd", options.bwrtd, "The daemon to measure");
  app.add_option("--bwrtd-flag", options.flags, "A flag of it while waves run beside staging");
  app.add_option("--only", options.only, "Only these: flips, staging, digests, waves, drift, torn, restart");
  app.add_flag("--json", options.json, "One JSON object instead of the table");
  app.add_flag("--quick", options.quick, "Seconds instead of minutes; the figures mean little");
  // For the peers that this program starts of itself.
  app.add_option("--listen", options.listen)->group("");
  app.add_option("--ready-file", options.ready_file)->group("");
  app.add_flag("--sink", options.sink)->group("");
  app.add_option("--read", options.read)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (options.sink) RunSink(options.listen, options.ready_file);
    if (!options.read.empty()) {
      RunReader(options.read, static_cast<int>(std::thread::hardware_concurrency()), options.ready_file);
    }
    Require(!options.bwrtd.empty(), "--bwrtd is missing");
    return Measure(options);
  } catch (const std::exception& error) {
    std::cerr << "swap_bench: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace
}  // namespace bwrt::bench

int main(int argc, char** argv) {
  // gRPC's own log lines would mix with ours; its errors reach us as statuses.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);  // NOLINT(concurrency-mt-unsafe): the only thread yet.
  return bwrt::bench::Run(argc, argv);
}
