// What a GPU does for us, beside what it does without us, in the same run. README.md beside this says what each figure
// means. bwrtd is not needed but for the part "daemon".
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/cuda_plugin.h"
#include "tests/bench/gpu/bare_gpu.h"
#include "tests/bench/gpu/daemon_waves.h"
#include "tests/bench/gpu/gpu_device.h"
#include "tests/bench/report.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr double kNs = 1e-9;
constexpr double kTera = 1e12;
constexpr double kGB = 1e9;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kGroup = 8;

struct Options {
  std::string plugin;
  std::string bwrtd;
  int ordinal = 0;
  std::vector<std::string> only;
  std::string out;
  bool json = false;
  bool quick = false;
  bool without_peer = false;
};

class GpuBench {
 public:
  explicit GpuBench(const Options& options)
      : options_(options), table_(Require(runtime::CudaPlugin::Load(options.plugin))) {
    if (!options.without_peer) bare_ = BareGpu::Open(options.ordinal);
    const GpuDevice device(table_, Wish(BWRT_CUDA_KERNEL_AUTO));
    report_.Note("device", device.info().name);
    report_.Note("multiprocessors", device.info().multiprocessors);
    report_.Note("driver", device.info().nvidia_driver);
    report_.Note("cuda", device.info().runtime_version);
    report_.Note("cublaslt", device.info().cublaslt_version);
    report_.Note("plugin", table_->build);
    report_.Note("quick", options.quick);
  }

  void Run() {
    const std::vector<std::pair<const char*, std::function<void()>>> parts = {
        {"gemm", [this] { Gemm(); }},         {"traversal", [this] { Traversal(); }},
        {"skinny", [this] { Skinny(); }},     {"counters", [this] { Counters(); }},
        {"overhead", [this] { Overhead(); }}, {"staging", [this] { Staging(); }},
        {"daemon", [this] { Daemon(); }},
    };
    for (const auto& [name, part] : parts) {
      if (!options_.only.empty() &&
          std::find(options_.only.begin(), options_.only.end(), name) == options_.only.end()) {
        continue;
      }
      std::cerr << "gpu_bench: " << name << "\n";
      part();
    }
  }

  const Report& report() const { return report_; }

 private:
  BwrtCudaOptions Wish(int32_t kernel, bool counters = false, int graphs = 256) const {
    BwrtCudaOptions wish{};
    wish.ordinal = options_.ordinal;
    wish.graphs = graphs;
    wish.kernel = kernel;
    wish.counters = counters ? 1 : 0;
    return wish;
  }

  int warm_ups() const { return options_.quick ? 1 : 5; }
  int repeats() const { return options_.quick ? 2 : 21; }
  int64_t Side(int64_t side) const { return options_.quick ? side / 32 : side; }

  // Medians of contenders that take turns.
  std::vector<double> InTurn(const std::vector<std::function<double()>>& contenders) const {
    std::vector<std::vector<double>> seconds(contenders.size());
    for (int i = 0; i < warm_ups() + repeats(); ++i) {
      for (size_t c = 0; c < contenders.size(); ++c) {
        const double took = contenders[c]();
        if (i >= warm_ups()) seconds[c].push_back(took);
      }
    }
    std::vector<double> medians;
    for (std::vector<double>& one : seconds) medians.push_back(Median(std::move(one)));
    return medians;
  }

  static double Kernel(GpuWave* wave) { return kNs * static_cast<double>(wave->Run().compute_ns); }

  // That a figure is of what it says: another kernel than the one that was asked for is told, not measured.
  static void RequireKernel(GpuWave* wave, const std::string& prefix) {
    const std::string ran = wave->Run().effective.kernel;
    Require(ran.compare(0, prefix.size(), prefix) == 0,
            absl::StrCat("asked for a kernel ", prefix, "..., but ", ran, " ran"));
  }

  void Gemm() {
    const GpuDevice device(table_, Wish(BWRT_CUDA_KERNEL_OWN));
    for (const auto& [side, target] : {std::pair<int64_t, double>{4096, 0.97}, {8192, 1.0}}) {
      const GpuShape shape = {Side(side), Side(side), Side(side)};
      const double flops =
          2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
      std::vector<std::unique_ptr<GpuWave>> waves;
      std::vector<std::string> names;
      std::vector<std::function<double()>> contenders;
      for (const GpuTile& tile :
           {GpuTile{128, 256, 64, 4, 2, 1}, GpuTile{256, 128, 64, 4, 2, 1}, GpuTile{128, 128, 64, 6, 2, 1}}) {
        waves.push_back(std::make_unique<GpuWave>(&device, shape, tile, GroupedOrder(shape, tile, kGroup)));
        RequireKernel(waves.back().get(), kOwnKernel);
        names.push_back(absl::StrCat(tile.bm, "x", tile.bn, "x", tile.bk));
        contenders.emplace_back([wave = waves.back().get()] { return Kernel(wave); });
      }
      std::unique_ptr<BareMatmul> bare;
      if (bare_ != nullptr) {
        bare = bare_->MakeMatmul(shape.m, shape.n, shape.k, RandomBf16(shape.m * shape.k, 1),
                                 RandomBf16(shape.n * shape.k, 2));
        contenders.emplace_back([&bare] { return bare->Run(); });
      }
      const std::vector<double> seconds = InTurn(contenders);
      const std::string name = std::to_string(side);
      for (size_t i = 0; i < names.size(); ++i)
        report_.AddTo("own_tflops", absl::StrCat(name, "/", names[i]), flops / seconds[i] / kTera, "TFLOP/s");
      if (bare == nullptr) continue;
      const double best = *std::min_element(seconds.begin(), seconds.end() - 1);
      report_.AddTo("cublaslt_tflops", name, flops / seconds.back() / kTera, "TFLOP/s");
      report_.AddTo("own_vs_cublaslt", name, seconds.back() / best, "", AtLeast(target));
    }
  }

  void Traversal() {
    const GpuDevice device(table_, Wish(BWRT_CUDA_KERNEL_OWN));
    const GpuShape shape = {Side(8192), Side(8192), Side(8192)};
    const GpuTile tile;
    GpuWave grouped(&device, shape, tile, GroupedOrder(shape, tile, kGroup));
    GpuWave random(&device, shape, tile, RandomOrder(shape, tile, 7));
    for (GpuWave* wave : {&grouped, &random}) {
      Require(wave->Run().effective.traversal_honoured == 1, "the traversal was not honoured");
    }
    const std::vector<double> seconds = InTurn({[&] { return Kernel(&grouped); }, [&] { return Kernel(&random); }});
    report_.Add("traversal_random_vs_grouped", seconds[1] / seconds[0], "");
    report_.Add("traversal_grouped", 1e6 * seconds[0], "us");
    report_.Add("traversal_random", 1e6 * seconds[1], "us");
  }

  void Skinny() {
    const GpuDevice device(table_, Wish(BWRT_CUDA_KERNEL_AUTO));
    const double bandwidth = bare_ == nullptr ? 0 : bare_->CopyBandwidth(options_.quick ? 64 * kMiB : 4 * kGiB);
    if (bare_ != nullptr) report_.Add("copy_bandwidth", bandwidth / kGB, "GB/s");
    for (const int64_t m : {1, 8, 16, 64}) {
      const GpuShape shape = {m, Side(8192), Side(8192)};
      const GpuTile tile = {128, 128, 64, 4, 1, 1};
      GpuWave wave(&device, shape, tile, GroupedOrder(shape, tile, 1));
      const double seconds = InTurn({[&] { return Kernel(&wave); }})[0];
      const double bytes = 2.0 * static_cast<double>(shape.n * shape.k + shape.m * shape.k + shape.m * shape.n);
      report_.AddTo("skinny_us", std::to_string(m), 1e6 * seconds, "us");
      if (bare_ != nullptr)
        report_.AddTo("skinny_vs_copy", std::to_string(m), bytes / seconds / bandwidth, "", AtLeast(0.8));
    }
  }

  void Counters() {
    const GpuDevice off(table_, Wish(BWRT_CUDA_KERNEL_OWN, false));
    const GpuDevice on(table_, Wish(BWRT_CUDA_KERNEL_OWN, true));
    const GpuShape shape = {Side(4096), Side(4096), Side(4096)};
    const GpuTile tile;
    GpuWave silent(&off, shape, tile, GroupedOrder(shape, tile, kGroup));
    GpuWave counted(&on, shape, tile, GroupedOrder(shape, tile, kGroup));
    const std::vector<double> seconds = InTurn({[&] { return Kernel(&silent); }, [&] { return Kernel(&counted); }});
    report_.Add("counters_on_vs_off", seconds[1] / seconds[0], "", AtMost(1.01));
    // A compute-bound wave, one that waits for memory, and one whose order spoils the L2: they must read differently.
    const GpuShape wide = {Side(8192), Side(8192), Side(8192)};
    const GpuShape flat = {std::min<int64_t>(Side(8192), 128), Side(8192), Side(8192)};
    Reading("compute_bound", on, wide, GroupedOrder(wide, tile, kGroup));
    Reading("memory_bound", on, flat, GroupedOrder(flat, tile, 1));
    Reading("badly_ordered", on, wide, RandomOrder(wide, tile, 7));
  }

  void Reading(const std::string& name, const GpuDevice& device, const GpuShape& shape, std::vector<uint32_t> order) {
    GpuWave wave(&device, shape, GpuTile{}, std::move(order));
    wave.Run();
    const BwrtCudaReport report = wave.Run();
    // Below 0: not counted.
    if (report.wgmma_active >= 0) report_.AddTo("wgmma_active", name, static_cast<double>(report.wgmma_active), "");
    if (report.tma_occ >= 0) report_.AddTo("tma_occupancy", name, static_cast<double>(report.tma_occ), "");
    if (report.ring_occ >= 0) report_.AddTo("ring_occupancy", name, static_cast<double>(report.ring_occ), "");
  }

  void Overhead() {
    const GpuDevice replayed(table_, Wish(BWRT_CUDA_KERNEL_AUTO));
    const GpuDevice queued(table_, Wish(BWRT_CUDA_KERNEL_AUTO, false, 0));
    const GpuShape shape = {16, 128, 64};
    const GpuTile tile = {128, 128, 64, 2, 1, 1};
    GpuWave with(&replayed, shape, tile, GroupedOrder(shape, tile, 1));
    GpuWave without(&queued, shape, tile, GroupedOrder(shape, tile, 1));
    const auto wall = [](GpuWave* wave) {
      const Stopwatch watch;
      wave->Run();
      return watch.seconds();
    };
    const std::vector<double> seconds = InTurn({[&] { return wall(&with); }, [&] { return wall(&without); }});
    report_.AddTo("tiny_wave_us", "graphs", 1e6 * seconds[0], "us");
    report_.AddTo("tiny_wave_us", "queued", 1e6 * seconds[1], "us");
  }

  // Uploads of one version's bytes beside waves, and what that does to the waves.
  void Staging() {
    const int64_t bytes = options_.quick ? 16 * kMiB : 10 * kGiB;
    const int64_t piece = options_.quick ? kMiB : 64 * kMiB;
    const GpuDevice device(table_, Wish(BWRT_CUDA_KERNEL_AUTO));
    const GpuShape shape = {Side(4096), Side(4096), Side(4096)};
    const GpuTile tile;
    GpuWave wave(&device, shape, tile, GroupedOrder(shape, tile, kGroup));
    std::vector<double> alone;
    for (int i = 0; i < warm_ups() + 5 * repeats(); ++i) alone.push_back(Kernel(&wave));
    const GpuBuffer to(&device, bytes);
    const std::vector<char> from(static_cast<size_t>(piece), 1);
    std::atomic<bool> done{false};
    double seconds = 0;
    std::vector<double> beside;
    {
      std::exception_ptr failure;
      std::thread upload([&] {
        try {
          const Stopwatch watch;
          for (int64_t at = 0; at < bytes; at += piece) device.Upload(to.get(), at, from.data(), piece);
          seconds = watch.seconds();
        } catch (...) {
          failure = std::current_exception();
        }
        done.store(true);
      });
      do {
        beside.push_back(Kernel(&wave));
      } while (!done.load());
      upload.join();
      if (failure) std::rethrow_exception(failure);
    }
    report_.Add("upload_beside_waves", static_cast<double>(bytes) / seconds / kGB, "GB/s");
    report_.Add("wave_p99_ratio_while_uploading", Percentile(beside, 99) / Percentile(alone, 99), "");
    if (bare_ == nullptr) return;
    const double pinned = bare_->PinnedUpload(options_.quick ? 16 * kMiB : kGiB);
    report_.Add("pinned_copy", pinned / kGB, "GB/s");
    report_.Add("upload_vs_pinned_copy", static_cast<double>(bytes) / seconds / pinned, "", AtLeast(0.8));
  }

  void Daemon() {
    if (options_.bwrtd.empty()) return;
    const int64_t side = Side(8192);
    DaemonWaves waves(options_.bwrtd, options_.plugin, options_.ordinal, side);
    std::vector<std::function<double()>> contenders = {[&] { return waves.Run(); }};
    std::unique_ptr<BareMatmul> bare;
    if (bare_ != nullptr) {
      bare = bare_->MakeMatmul(side, side, side, RandomBf16(side * side, 1), RandomBf16(side * side, 2));
      contenders.emplace_back([&bare] { return bare->Run(); });
    }
    const std::vector<double> seconds = InTurn(contenders);
    report_.Add("daemon_cublaslt", 1e6 * seconds[0], "us");
    if (bare != nullptr) report_.Add("daemon_cublaslt_vs_bare", seconds[1] / seconds[0], "", AtLeast(0.99));
    report_.Add("swap_wave_p99_ratio", waves.SwapRatio(options_.quick ? 2 : 200, options_.quick ? 5 : 2000), "");
  }

  static constexpr const char* kOwnKernel = "bwrt_wgmma";

  const Options& options_;
  const BwrtCudaTable* const table_;
  std::unique_ptr<BareGpu> bare_;
  Report report_;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("What a GPU does for bwrt, beside what it does without");
  app.add_option("--cuda-plugin", options.plugin, "libbwrt_cuda.so; default: where bwrtd looks for it");
  app.add_option("--bwrtd", options.bwrtd, "The daemon to measure; default: its part is left out");
  app.add_option("--gpu", options.ordinal, "Which one, from 0");
  app.add_option("--only", options.only, "Only these: gemm, traversal, skinny, counters, overhead, staging, daemon");
  app.add_option("--out", options.out, "Write the JSON object to this file as well");
  app.add_flag("--json", options.json, "One JSON object instead of the table");
  app.add_flag("--quick", options.quick, "Seconds instead of minutes; the figures mean little");
  app.add_flag("--without-peer", options.without_peer, "Measure only ours, where there is no CUDA but a fake plugin");
  CLI11_PARSE(app, argc, argv);
  try {
    GpuBench bench(options);
    bench.Run();
    std::cout << (options.json ? bench.report().Json() + "\n" : bench.report().Table());
    if (!options.out.empty()) {
      std::ofstream file(options.out);
      file << bench.report().Json() << std::endl;
      Require(file.good(), absl::StrCat(options.out, ": can't be written"));
    }
  } catch (const std::exception& e) {
    std::cerr << "gpu_bench: " << e.what() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace bwrt::bench

int main(int argc, char** argv) {
  // gRPC's own log lines would mix with ours; its errors reach us as statuses.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);  // NOLINT(concurrency-mt-unsafe): the only thread yet.
  return bwrt::bench::Main(argc, argv);
}
