#include "runtime/cpu_device.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernel_dtype.h"
#include "kernels/l2_model.h"
#include "kernels/packed_weights.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_rect.h"
#include "runtime/cpu_tensor.h"
#include "runtime/error.h"
#include "runtime/tile_run.h"

namespace bwrt::runtime {
namespace {

// Tiles this device computes, in order.
std::vector<kernels::TileRect> Rects(const Wave& wave) {
  std::vector<kernels::TileRect> rects;
  rects.reserve(wave.traversal.order.size());
  for (const TileCoord& tile : wave.traversal.order) {
    if (wave.tails == TailPolicy::kDrop && wave.grid.Partial(tile)) continue;
    rects.push_back(TileRun::RectOf(wave.grid, tile));
  }
  return rects;
}

// C before the first tile: the supplied one, else zeros.
void InitC(const Wave& wave, std::string& c) {
  if (wave.c.empty()) {
    c.assign(static_cast<size_t>(wave.c_bytes.value()), '\0');
  } else {
    c.assign(wave.c.data(), wave.c.size());
  }
}

// The L2 model takes some 50 ns an operand of a tile. Allowing one for each 2^18 flops keeps that below a
// hundredth of the time the flops themselves take; a wave of tiles too small for it has no reading.
std::optional<Reading> L2Hit(const Wave& wave, int64_t cache_bytes, int64_t tiles_at_once) {
  constexpr int64_t kMinOperands = 64;
  constexpr int64_t kMaxOperands = int64_t{1} << 20;
  const double flops =
      2.0 * static_cast<double>(wave.grid.m) * static_cast<double>(wave.grid.n) * static_cast<double>(wave.k);
  const auto allowed = std::clamp(static_cast<int64_t>(std::min(flops / (1 << 18), 1e9)), kMinOperands, kMaxOperands);
  const std::vector<kernels::TileRect> order = Rects(wave);
  if (cache_bytes <= 0 || order.empty()) return std::nullopt;
  const auto ratio =
      kernels::TraversalHitRatio(order, wave.k, wave.tile.bk, wave.dtype, cache_bytes, allowed, tiles_at_once);
  if (!ratio) return std::nullopt;
  return Reading{*ratio, Source::kModel};
}

// Where there are several of them, each is used by as many threads as it has processors.
SharedCache CacheOfTiles(const kernels::CpuInfo& cpu, int threads) {
  const kernels::CpuCache& cache = cpu.last_level;
  if (cache.bytes <= 0) return {};
  const std::string size =
      cache.bytes % (1 << 20) == 0 ? absl::StrCat(cache.bytes >> 20, " MiB") : absl::StrCat(cache.bytes >> 10, " KiB");
  return {absl::StrCat("L", cache.level, " of ", size), cache.bytes, std::clamp(threads, 1, cache.processors)};
}

// Which reading the counts are.
void AddHardwareHits(const kernels::CacheCounts& counts, kernels::CacheLevel level, Readings& readings) {
  const std::optional<double> ratio = counts.hit_ratio();
  if (!ratio) return;
  const Reading reading{*ratio, Source::kHardware};
  (level == kernels::CacheLevel::kL2 ? readings.l2_hit_hardware : readings.llc_hit_hardware) = reading;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuDevice>> CpuDevice::Create(const kernels::CpuInfo& cpu, Clock* clock,
                                                             const CpuOptions& options) {
  if (!kernels::HaveKernels()) {
    return absl::UnavailableError(
        absl::StrCat("device cpu: ", cpu.model, " (", cpu.isa, ") can't run the kernels, which need AVX2 and FMA"));
  }
  DeviceInfo info;
  info.name = "cpu";
  info.description = absl::StrCat(cpu.model, ", ", cpu.isa, ", ", options.threads, " threads on ", cpu.cores, " cores");
  info.dtypes = {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16, kernels::DType::kF8E4M3,
                 kernels::DType::kF8E5M2};
  for (const kernels::DType dtype : info.dtypes) {
    const std::string kernel(kernels::KernelName(dtype));
    if (std::find(info.kernels.begin(), info.kernels.end(), kernel) == info.kernels.end()) {
      info.kernels.push_back(kernel);
    }
  }
  info.cache = CacheOfTiles(cpu, options.threads);
  info.hardware_counters = options.counters.ok() ? (*options.counters)->description()
                                                 : absl::StrCat("none: ", options.counters.status().message());
  return std::unique_ptr<CpuDevice>(new CpuDevice(std::move(info), clock, options));
}

absl::StatusOr<std::shared_ptr<const DeviceTensor>> CpuDevice::Upload(HostTensor tensor, WeightBudget& budget) {
  return CpuTensor::Create(std::move(tensor), budget);
}

// Every tensor this device is handed was uploaded by it.

Bytes CpuDevice::LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const {
  return CpuTensor::LayoutBytes(type, static_cast<const CpuTensor*>(predecessor));
}

absl::Status CpuDevice::Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                                WeightBudget::Reservation room) {
  return static_cast<const CpuTensor&>(tensor).Prepare(static_cast<const CpuTensor*>(predecessor), std::move(room));
}

EffectiveSpec CpuDevice::Plan(const Wave& wave) const {
  EffectiveSpec e;
  e.device = info_.name;
  e.kernel = std::string(kernels::KernelName(wave.dtype));
  e.k_step = kernels::TileGemm::k_step(wave.k, wave.dtype);
  e.stages = 1;
  const auto downgrade = [&](absl::string_view field, const std::string& requested, const std::string& executed,
                             absl::string_view reason) {
    e.downgrades.push_back({std::string(field), requested, executed, std::string(reason)});
  };
  if (e.k_step != wave.tile.bk) {
    downgrade("spec.bk", absl::StrCat(wave.tile.bk), absl::StrCat(e.k_step),
              "the CPU kernel keeps its own K step, which fits its caches; the sum over K is the same");
  }
  if (wave.stages != 1) {
    downgrade("spec.stage_hint", absl::StrCat(wave.stages), "1",
              "a processor's caches prefetch by themselves: there are no pipeline stages");
  }
  if (wave.tile.cluster_x != 1 || wave.tile.cluster_y != 1) {
    downgrade("spec.cluster_shape", absl::StrCat(wave.tile.cluster_x, ",", wave.tile.cluster_y), "1,1",
              "processors have no thread-block clusters");
  }
  if (wave.tmem_hints) {
    downgrade("spec.tmem_layout", "columns, phases, double_buffer", "none", "processors have no tensor memory");
  }
  return e;
}

// On one thread, and rather too much than too little: short waves run where others wait behind them. 100 Gflop/s, or
// 10 GB/s of weights (those that come with the wave are packed first); 1 ns for each element of A and 2 ns for each of
// C, whose columns are computed panel by panel; a microsecond to take up a tile.
Duration CpuDevice::RoughTime(const Wave& wave) const {
  constexpr int64_t kPanel = kernels::PackedWeights::kPanelWidth;
  const auto m = static_cast<double>(wave.grid.m);
  const int64_t panels = (wave.grid.n + kPanel - 1) / kPanel;
  const auto n = static_cast<double>(panels * kPanel);
  const auto k = static_cast<double>(wave.k);
  const double weight_bytes = n * k * static_cast<double>(kernels::SizeOf(wave.dtype)) * (wave.w ? 4.0 : 1.0);
  const double seconds = std::max(2.0 * m * n * k / 100e9, weight_bytes / 10e9) + m * k * 1e-9 + m * n * 2e-9 +
                         static_cast<double>(wave.traversal.order.size()) * 1e-6;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(seconds, 1.0)));
}

Bytes CpuDevice::WorkingBytes(const Wave& wave) const {
  int64_t bytes = 0;
  if (wave.w) bytes = kernels::PackedWeights::PackedBytes(wave.k, wave.grid.n, wave.w->dtype);
  const int64_t rows = kernels::TileGemm::RowMemory(wave.grid.m, wave.k, wave.dtype, !wave.packed_rows.empty());
  if (__builtin_add_overflow(bytes, rows, &bytes)) bytes = std::numeric_limits<int64_t>::max();
  return Bytes(bytes);
}

absl::StatusOr<WaveReport> CpuDevice::Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                          std::string& c) {
  WaveReport report;
  report.effective = Plan(wave);

  const Time begin = clock_->Now();

  try {
    InitC(wave, c);
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory for the result; retry later");
  }
  auto panels = w != nullptr ? static_cast<const CpuTensor*>(w)->GetPanels(wave.w_transposed)
                             : kernels::PackedWeights::Pack(*wave.w, wave.w_transposed);
  if (!panels.ok()) return panels.status();
  kernels::GemmProblem problem;
  problem.m = wave.grid.m;
  problem.n = wave.grid.n;
  problem.k = wave.k;
  problem.a = wave.a;
  problem.w = *std::move(panels);
  problem.c = {reinterpret_cast<std::byte*>(c.data()), wave.grid.m, wave.grid.n, wave.c_stride, wave.c_dtype};
  problem.rows = wave.packed_rows;
  problem.alpha = wave.factor();
  problem.beta = wave.beta;
  problem.bias = wave.bias;
  problem.activation = wave.activation;
  const auto rows = scratch_.ForRows();
  if (!rows) return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory; retry later");
  auto gemm = kernels::TileGemm::Create(std::move(problem), wave.grid.bm, *rows);
  if (!gemm.ok()) return gemm.status();
  const Time prepared = clock_->Now();

  const bool alone = RoughTime(wave) < worth_sharing_;
  TileRun run(wave, **gemm, alone ? 1 : workers_.threads(), progress, scratch_, *clock_,
              alone ? nullptr : counters_.get());
  alone ? workers_.RunAlone(run) : workers_.Run(run);
  if (absl::Status status = run.status(); !status.ok()) return status;
  const Time computed = clock_->Now();

  report.timings.copy = prepared - begin;
  report.timings.compute = computed - prepared;
  if (run.worker_time() > Duration(0)) {
    const double share = Seconds(run.kernel_time()) / Seconds(run.worker_time());
    report.readings.wgmma_active = Reading{std::clamp(share, 0.0, 1.0), Source::kKernel};
  }
  report.readings.l2_hit = L2Hit(wave, info_.cache.bytes, alone ? 1 : info_.cache.tiles);
  report.hardware_counts = run.counts();
  if (report.hardware_counts) AddHardwareHits(*report.hardware_counts, counters_->level(), report.readings);
  return report;
}

}  // namespace bwrt::runtime
