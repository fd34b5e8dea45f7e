// What the CPU device computes, measured against oneDNN and OpenBLAS in the same run. ../README.md says what each
// figure means.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/gemm/case_bench.h"
#include "tests/bench/gemm/gemm_setting.h"
#include "tests/bench/gemm/kernel_bench.h"
#include "tests/bench/gemm/onednn_gemm.h"
#include "tests/bench/gemm/openblas_gemm.h"
#include "tests/bench/gemm/peak.h"
#include "tests/bench/gemm/traversal_bench.h"
#include "tests/bench/report.h"
#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

// The largest cache of the first processor, as the kernel knows it.
int64_t LargestCacheBytes() {
  int64_t largest = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/cpu/cpu0/cache", ignored)) {
    std::ifstream file(entry.path() / "size");
    std::string text;  // Such as "32768K".
    int64_t kib = 0;
    if (file >> text && absl::EndsWith(text, "K") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &kib)) {
      largest = std::max(largest, kib * 1024);
    }
  }
  constexpr int64_t kUsual = int64_t{32} << 20;
  return largest > 0 ? largest : kUsual;
}

void MeasurePeak(const GemmSetting& setting, Report* report) {
  setting.progress("the machine's peak");
  double f32 = 0;
  double bf16 = 0;
  for (const PeakRate& peak : MeasurePeaks(setting.threads, setting.quick ? 0.01 : 0.2, setting.quick ? 1 : 5)) {
    report->AddTo("peak", peak.instructions, peak.gflops, "GFLOP/s");
    double& best = peak.dtype == kernels::DType::kF32 ? f32 : bf16;
    best = std::max(best, peak.gflops);
  }
  Require(f32 > 0, "this processor has no AVX2 with FMA, which the kernels need");
  report->Add("peak_gflops_f32", f32, "GFLOP/s");
  if (bf16 > 0) {
    report->Add("peak_gflops_bf16", bf16, "GFLOP/s");
  } else {
    report->Note("peak_gflops_bf16", nullptr);  // The processor has no such instruction.
  }
}

struct Part {
  const char* name;
  void (*measure)(const GemmSetting& setting, Report* report);
};
constexpr Part kParts[] = {
    {"peak", MeasurePeak}, {"cases", MeasureCases}, {"traversals", MeasureTraversals}, {"kernels", MeasureKernels}};

struct Options {
  std::vector<std::string> only;
  bool json = false;
  bool quick = false;
  int threads = 0;
};

// `--only` names parts, or cases: "bf16", "bf16/1" and "bf16/1/4096x4096" are all cases that begin with these words.
class Selection {
 public:
  explicit Selection(std::vector<std::string> only) : only_(std::move(only)) {
    for (const std::string& word : only_) {
      Require(IsPart(word) || absl::StartsWith(word, "f32") || absl::StartsWith(word, "bf16"),
              absl::StrCat("--only=", word,
                           ": must be peak, cases, traversals, kernels, or the beginning of a case's name such as "
                           "bf16/1/4096x4096"));
    }
  }

  bool HasPart(const std::string& part) const {
    return only_.empty() || std::any_of(only_.begin(), only_.end(), [&](const std::string& word) {
             return word == part || (part == "cases" && !IsPart(word));
           });
  }
  bool HasCase(const std::string& name) const {
    return only_.empty() || std::any_of(only_.begin(), only_.end(), [&](const std::string& word) {
             return word == "cases" || absl::StartsWith(absl::StrCat(name, "/"), absl::StrCat(word, "/"));
           });
  }

 private:
  static bool IsPart(const std::string& word) {
    return std::any_of(std::begin(kParts), std::end(kParts), [&](const Part& part) { return word == part.name; });
  }

  const std::vector<std::string> only_;
};

void Describe(const GemmSetting& setting, Report* report) {
  report->Note("machine", {{"cpu", setting.cpu.model},
                           {"isa", setting.cpu.isa},
                           {"cores", setting.cpu.cores},
                           {"l2_bytes", setting.cpu.l2_bytes},
                           {"l3_bytes", setting.l3_bytes}});
  report->Note("threads", setting.threads);
  report->Note("libraries", {{"onednn", OnednnVersion()}, {"openblas", OpenblasVersion()}, {"libxsmm", XsmmVersion()}});
  // What the programs of others do to the figures.
  double load = 0;
  if (getloadavg(&load, 1) == 1) report->Note("load_before", load);
}

int Measure(const Options& options) {
  const Selection selection(options.only);
  GemmSetting setting;
  setting.cpu = kernels::Probe();
  setting.l3_bytes = LargestCacheBytes();
  setting.threads = options.threads > 0 ? options.threads : setting.cpu.cores;
  setting.quick = options.quick;
  setting.wanted = [&](const std::string& name) { return selection.HasCase(name); };
  setting.progress = [](const std::string& what) {
    if (isatty(STDERR_FILENO) == 1) std::cerr << "measuring " << what << "\n";
  };
  Report report;
  Describe(setting, &report);
  for (const Part& part : kParts) {
    if (selection.HasPart(part.name)) part.measure(setting, &report);
  }
  std::cout << (options.json ? report.Json() + "\n" : report.Table());
  return 0;
}

int Run(int argc, char** argv) {
  Options options;
  CLI::App app("What the CPU device computes, measured against oneDNN and OpenBLAS in the same run.");
  app.add_option("--only", options.only,
                 "Only these parts (peak, cases, traversals, kernels) or cases (such as bf16/1/4096x4096 or f32)");
  app.add_flag("--json", options.json, "One JSON object instead of the table");
  app.add_flag("--quick", options.quick, "Seconds instead of minutes; the figures mean little");
  app.add_option("--threads", options.threads, "Of every contender (all processors)")->check(CLI::Range(1, 1024));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return Measure(options);
  } catch (const std::exception& error) {
    std::cerr << "gemm_bench: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace
}  // namespace bwrt::bench

int main(int argc, char** argv) { return bwrt::bench::Run(argc, argv); }
