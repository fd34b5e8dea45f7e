#include "runtime/cpu_device.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/l2_model.h"
#include "kernels/packed_weights.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_rect.h"
#include "runtime/cpu_tensor.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

kernels::TileRect RectOf(const TileGrid& grid, TileCoord tile) {
  const int64_t row = tile.m * grid.bm;
  const int64_t col = tile.n * grid.bn;
  return {row, col, std::min(grid.bm, grid.m - row), std::min(grid.bn, grid.n - col)};
}

// Tiles this device computes, in order.
std::vector<kernels::TileRect> Rects(const Wave& wave) {
  std::vector<kernels::TileRect> rects;
  rects.reserve(wave.traversal.order.size());
  for (const TileCoord& tile : wave.traversal.order) {
    if (wave.tails == TailPolicy::kDrop && wave.grid.Partial(tile)) continue;
    rects.push_back(RectOf(wave.grid, tile));
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

// A wave with packed rows is computed on copies of A and C in packed order, because a tile then takes its rows from
// anywhere. Stride gaps stay out of the copies.
struct Packed {
  std::string a;
  std::string c;
};

void CopyRow(const char* from, char* to, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

kernels::ConstMatrix PackA(const Wave& wave, std::string& packed) {
  const int64_t bytes = wave.k * kernels::SizeOf(wave.dtype);
  packed.resize(static_cast<size_t>(wave.grid.m * bytes));
  for (int64_t i = 0; i < wave.grid.m; ++i) {
    const std::byte* row = wave.a.row(wave.packed_rows[static_cast<size_t>(i)]);
    CopyRow(reinterpret_cast<const char*>(row), &packed[static_cast<size_t>(i * bytes)], bytes);
  }
  return {reinterpret_cast<const std::byte*>(packed.data()), wave.grid.m, wave.k, wave.k, wave.dtype};
}

// Between C in its own row order and stride (`c`) and in packed rows (`packed`).
void MoveC(const Wave& wave, std::string& c, std::string& packed, bool to_packed) {
  const int64_t size = kernels::SizeOf(wave.c_dtype);
  const int64_t bytes = wave.grid.n * size;
  packed.resize(static_cast<size_t>(wave.grid.m * bytes));
  for (int64_t i = 0; i < wave.grid.m; ++i) {
    char* own = &c[static_cast<size_t>(wave.packed_rows[static_cast<size_t>(i)] * wave.c_stride * size)];
    char* in_packed = &packed[static_cast<size_t>(i * bytes)];
    to_packed ? CopyRow(own, in_packed, bytes) : CopyRow(in_packed, own, bytes);
  }
}

// Which token each tile of an order finishes and starts: a listed tile owns the next one, appended tiles belong to the
// last, which is finished when the wave is.
class TokenSteps {
 public:
  explicit TokenSteps(TokenPlan plan) : next_(plan.prefetch), last_(plan.last()) {
    // The last page's token, or none.
    if (plan.prefetch > 0) running_ = plan.prefetch - 1;
  }

  struct Step {
    std::optional<int64_t> finished;
    std::optional<int64_t> started;
  };
  Step Next(bool appended) {
    Step step;
    if (running_ != last_) step.finished = std::exchange(running_, std::nullopt);
    if (!appended) {
      step.started = next_++;
      running_ = step.started;
      last_started_ = last_started_ || running_ == last_;
    } else if (!last_started_) {
      step.started = last_;
      last_started_ = true;
    }
    return step;
  }

 private:
  int64_t next_;
  const int64_t last_;
  std::optional<int64_t> running_;  // The listed tile's, or extent's, that has not been reported as finished.
  bool last_started_ = false;
};

// The L2 model replays at some 50 ns a touch. Allowing one touch for each 2^18 flops keeps that below a
// hundredth of the time the flops themselves take; what is too fine-grained for it has no reading.
std::optional<Reading> L2Hit(const Wave& wave, int64_t l2_bytes) {
  constexpr int64_t kMinTouches = 64;
  constexpr int64_t kMaxTouches = int64_t{1} << 20;
  const double flops =
      2.0 * static_cast<double>(wave.grid.m) * static_cast<double>(wave.grid.n) * static_cast<double>(wave.k);
  const auto allowed = std::clamp(static_cast<int64_t>(std::min(flops / (1 << 18), 1e9)), kMinTouches, kMaxTouches);
  const std::vector<kernels::TileRect> order = Rects(wave);
  if (l2_bytes <= 0 || order.empty()) return std::nullopt;
  const auto ratio = kernels::TraversalHitRatio(order, wave.k, wave.tile.bk, wave.dtype, l2_bytes, allowed);
  if (!ratio) return std::nullopt;
  return Reading{*ratio, Source::kModel};
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuDevice>> CpuDevice::Create(const kernels::CpuInfo& cpu, Clock* clock) {
  const std::string kernel(kernels::TileGemm::kernel_name());
  if (kernel == "none") {
    return absl::UnavailableError(
        absl::StrCat("device cpu: ", cpu.model, " (", cpu.isa, ") can't run the kernels, which need AVX2 and FMA"));
  }
  DeviceInfo info;
  info.name = "cpu";
  info.description = absl::StrCat(cpu.model, ", ", cpu.isa, ", ", cpu.cores, " cores");
  info.dtypes = {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16};
  info.kernels = {kernel};
  return std::unique_ptr<CpuDevice>(new CpuDevice(std::move(info), cpu.l2_bytes, clock));
}

absl::StatusOr<std::shared_ptr<const DeviceTensor>> CpuDevice::Upload(HostTensor tensor, WeightBudget& budget) {
  return CpuTensor::Create(std::move(tensor), budget);
}

absl::Status CpuDevice::Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor) {
  // Every tensor this device is handed was uploaded by it.
  return static_cast<const CpuTensor&>(tensor).Prepare(static_cast<const CpuTensor*>(predecessor));
}

EffectiveSpec CpuDevice::Plan(const Wave& wave) const {
  EffectiveSpec e;
  e.device = info_.name;
  e.kernel = info_.kernels[0];
  e.k_step = kernels::TileGemm::k_step(wave.k);
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

Bytes CpuDevice::WorkingBytes(const Wave& wave) const {
  // The row panels of A that TileGemm packs are bounded by A itself and a constant. Products below are those of
  // matrices a client has sent: far from overflow.
  int64_t bytes = 0;
  if (wave.w) {
    const int64_t packed = kernels::PackedWeights::PackedBytes(wave.k, wave.grid.n);
    if (packed > std::numeric_limits<int64_t>::max() / 2) return Bytes(packed / 2);
    bytes += packed;
  }
  if (!wave.packed_rows.empty()) {
    bytes += wave.grid.m * (wave.k * kernels::SizeOf(wave.dtype) + wave.grid.n * kernels::SizeOf(wave.c_dtype));
  }
  return Bytes(bytes);
}

absl::StatusOr<WaveReport> CpuDevice::Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                          std::string& c) {
  WaveReport report;
  report.effective = Plan(wave);

  const Time begin = clock_->Now();

  Packed packed;
  const bool repacked = !wave.packed_rows.empty();
  kernels::ConstMatrix a = wave.a;
  try {
    InitC(wave, c);
    if (repacked) {
      a = PackA(wave, packed.a);
      MoveC(wave, c, packed.c, /*to_packed=*/true);
    }
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
  problem.a = a;
  problem.w = *std::move(panels);
  problem.c = {reinterpret_cast<std::byte*>(repacked ? packed.c.data() : c.data()), wave.grid.m, wave.grid.n,
               repacked ? wave.grid.n : wave.c_stride, wave.c_dtype};
  problem.alpha = wave.alpha;
  problem.beta = wave.beta;
  problem.bias = wave.bias;
  problem.activation = wave.activation;
  auto gemm = kernels::TileGemm::Create(std::move(problem), std::min(wave.grid.bm, wave.grid.m),
                                        std::min(wave.grid.bn, wave.grid.n));
  if (!gemm.ok()) return gemm.status();
  const Time prepared = clock_->Now();

  const auto& order = wave.traversal.order;
  TokenSteps tokens(wave.tokens);
  for (size_t i = 0; i < order.size(); ++i) {
    const auto [finished, started] = tokens.Next(wave.traversal.IsAppended(i));
    if (absl::Status status = progress.Step(finished, started); !status.ok()) return status;
    if (wave.tails == TailPolicy::kDrop && wave.grid.Partial(order[i])) continue;
    (*gemm)->Run(RectOf(wave.grid, order[i]));
  }
  const Time computed = clock_->Now();

  if (repacked) MoveC(wave, c, packed.c, /*to_packed=*/false);
  const Time stored = clock_->Now();

  report.timings.copy = (prepared - begin) + (stored - computed);
  report.timings.compute = computed - prepared;
  if (computed > prepared) {
    const double share = Seconds((*gemm)->kernel_time()) / Seconds(computed - prepared);
    report.readings.wgmma_active = Reading{std::clamp(share, 0.0, 1.0), Source::kKernel};
  }
  report.readings.l2_hit = L2Hit(wave, l2_bytes_);
  return report;
}

}  // namespace bwrt::runtime
