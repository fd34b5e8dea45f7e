// What running a wave in another process costs. README.md beside this says what each figure means.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/cpu_info.h"
#include "tests/bench/echo.h"
#include "tests/bench/require.h"
#include "tests/bench/wave_bench.h"

namespace bwrt::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLarge = 4096;
constexpr int64_t kSmall = 256;
constexpr int64_t kTargetFrom = 128;  // Rows from which on there is a target.
constexpr double kTarget = 0.9;

struct Options {
  std::string bwrtd;
  std::vector<std::string> only;
  bool json = false;
  bool quick = false;

  // As the peer, started by ourselves.
  std::string listen;
  std::string ready_file;
  bool echo = false;
};

std::vector<WaveCase> Cases(const Options& options) {
  std::vector<WaveCase> cases;
  for (const DType dtype : {F32, BF16}) {
    for (const int64_t size : {kLarge, kSmall}) {
      if (options.quick && size == kLarge) continue;
      for (const int64_t m : {1, 8, 64, 128, 512, 2048}) cases.push_back({dtype, m, size, size});
    }
  }
  if (options.only.empty()) return cases;
  const auto unwanted = [&](const WaveCase& wave_case) {
    return std::none_of(options.only.begin(), options.only.end(),
                        [&](const std::string& part) { return wave_case.name().find(part) != std::string::npos; });
  };
  cases.erase(std::remove_if(cases.begin(), cases.end(), unwanted), cases.end());
  Require(!cases.empty(), "no case has the text of --only in its name");
  return cases;
}

Json ToJson(const WaveFigures& f) {
  return {{"name", f.wave_case.name()},
          {"dtype", f.wave_case.dtype == F32 ? "f32" : "bf16"},
          {"m", f.wave_case.m},
          {"n", f.wave_case.n},
          {"k", f.wave_case.k},
          {"wave_us", f.wave_us},
          {"echo_us", f.echo_us},
          {"engine_us", f.engine_us},
          {"rpc_ratio", f.rpc_ratio},
          {"queue_us", f.queue_us},
          {"copy_us", f.copy_us},
          {"compute_us", f.compute_us},
          {"engine_gflops", f.wave_case.flops() / f.engine_us / 1e3}};
}

std::string Row(const WaveFigures& f) {
  const bool target = f.wave_case.m >= kTargetFrom && f.wave_case.n == kLarge;
  return absl::StrFormat("%-20s %10.1f %10.1f %10.1f %10.1f %9.1f %9.1f %10.1f %7.3f %s%s\n", f.wave_case.name(),
                         f.wave_us, f.echo_us, f.engine_us, f.wave_us - f.echo_us - f.engine_us, f.queue_us, f.copy_us,
                         f.compute_us, f.rpc_ratio, target ? absl::StrCat(">= ", kTarget) : "",
                         target && f.rpc_ratio < kTarget ? "  MISSED" : "");
}

// The smallest ratio of the cases with a target of their own, or null where none was measured.
Json Smallest(const std::vector<WaveFigures>& all, int64_t size) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const WaveFigures& f : all) {
    if (f.wave_case.m >= kTargetFrom && f.wave_case.n == size) smallest = std::min(smallest, f.rpc_ratio);
  }
  return smallest == std::numeric_limits<double>::infinity() ? Json() : Json(smallest);
}

int Measure(const Options& options) {
  const std::vector<WaveCase> cases = Cases(options);
  const WaveBudget budget = options.quick ? WaveBudget{.rounds = 1, .seconds = 0.005} : WaveBudget{};
  WaveBench bench(options.bwrtd, std::filesystem::read_symlink("/proc/self/exe").string());
  std::vector<WaveFigures> all;
  for (const WaveCase& wave_case : cases) {
    if (isatty(STDERR_FILENO) == 1) std::cerr << "measuring " << wave_case.name() << "\n";
    all.push_back(bench.Measure(wave_case, budget));
  }
  if (!options.json) {
    std::cout << absl::StrFormat("%-20s %10s %10s %10s %10s %9s %9s %10s %7s %s\n", "case (times in us)", "wave",
                                 "echo", "engine", "rest", "queue", "copy", "compute", "ratio", "target");
    for (const WaveFigures& f : all) std::cout << Row(f);
    return 0;
  }
  Json json;
  for (const WaveFigures& f : all) json["rpc_ratio"][f.wave_case.name()] = f.rpc_ratio;
  json["rpc_ratio_min_m128"] = Smallest(all, kLarge);
  json["rpc_ratio_min_m128_small"] = Smallest(all, kSmall);
  for (const WaveFigures& f : all) json["cases"].push_back(ToJson(f));
  const kernels::CpuInfo cpu = kernels::Probe();
  json["machine"] = {{"cpu", cpu.model}, {"isa", cpu.isa}, {"cores", cpu.cores}};
  json["device"] = bench.device().description;
  json["kernels"] = bench.device().kernels;
  json["rounds"] = budget.rounds;
  std::cout << json.dump() << "\n";
  return 0;
}

int Run(int argc, char** argv) {
  Options options;
  CLI::App app("What running a wave in another process costs, against a bare gRPC echo and the bare engine.");
  app.add_option("--bwrtd", options.bwrtd, "The daemon to measure");
  app.add_option("--only", options.only, "Only cases with this in their name, such as f32/ or /128x");
  app.add_flag("--json", options.json, "One JSON object instead of the table");
  app.add_flag("--quick", options.quick, "Seconds instead of minutes, and the small cases only; figures mean little");
  // For the peer that this program starts of itself.
  app.add_option("--listen", options.listen)->group("");
  app.add_option("--ready-file", options.ready_file)->group("");
  app.add_flag("--echo", options.echo)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (options.echo) RunEcho(options.listen, options.ready_file);
    Require(!options.bwrtd.empty(), "--bwrtd is missing");
    return Measure(options);
  } catch (const std::exception& error) {
    std::cerr << "wave_bench: " << error.what() << "\n";
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
