#include "tests/bench/gemm/traversal_bench.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/l2_model.h"
#include "kernels/tile_rect.h"
#include "tests/bench/gemm/cpu_gemm.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/matrix_buffer.h"
#include "tests/bench/gemm/paired.h"
#include "tests/bench/gemm/rounds.h"
#include "tests/bench/gemm/tile_orders.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

using kernels::DType;

constexpr int64_t kBk = 64;  // The waves' step over K, in which the model replays them.

// A traversal, or, of random ones, several.
struct Traversal {
  std::string name;
  std::vector<TileOrder> orders;
};

// The row snake first.
std::vector<Traversal> TraversalsOf(const runtime::TileGrid& grid) {
  constexpr uint32_t kShuffles = 5;
  const int64_t rows = grid.rows();
  const int64_t cols = grid.cols();
  Traversal shuffled{"random", {}};
  for (uint32_t seed = 1; seed <= kShuffles; ++seed) shuffled.orders.push_back(Shuffled(rows, cols, seed));
  return {{"row_snake", {RowSnake(rows, cols)}},
          std::move(shuffled),
          {"column_snake", {ColumnSnake(rows, cols)}},
          {"grouped_4", {Grouped(rows, cols, 4)}}};
}

// By the model, in a cache of `bytes`; the mean of several orders.
double HitRatio(const GemmShape& shape, const Traversal& traversal, int64_t bytes) {
  const runtime::TileGrid grid = GridOf(shape);
  double sum = 0;
  for (const TileOrder& order : traversal.orders) {
    std::vector<kernels::TileRect> rects;
    for (const runtime::TileCoord& tile : order) {
      const int64_t row0 = tile.m * grid.bm;
      const int64_t col0 = tile.n * grid.bn;
      rects.push_back({row0, col0, std::min(grid.bm, grid.m - row0), std::min(grid.bn, grid.n - col0)});
    }
    sum += kernels::TraversalHitRatio(rects, shape.k, kBk, shape.dtype, bytes, std::numeric_limits<int64_t>::max())
               .value_or(0);
  }
  return sum / static_cast<double>(traversal.orders.size());
}

void MeasureShape(const GemmSetting& setting, CpuEngine* engine, const GemmShape& shape, const RoundPlan& plan,
                  Report* report) {
  const MatrixBuffer a = MatrixBuffer::Random(shape.dtype, shape.m, shape.k, /*seed=*/1);
  const MatrixBuffer w = MatrixBuffer::Random(shape.dtype, shape.k, shape.n, /*seed=*/2);
  const CpuEngine::Tensors tensors = engine->Upload(shape, w.data(), /*copies=*/1);
  const std::vector<Traversal> traversals = TraversalsOf(GridOf(shape));
  const auto c = std::make_shared<std::string>();
  std::vector<std::vector<std::unique_ptr<CpuGemm>>> waves;
  std::vector<TimedCall> calls;
  std::string snakes_c;
  for (const Traversal& traversal : traversals) {
    std::vector<std::unique_ptr<CpuGemm>> of_one;
    for (const TileOrder& order : traversal.orders) {
      of_one.push_back(std::make_unique<CpuGemm>(engine, shape, a.data(), tensors, order, c));
      of_one.back()->Multiply(0);
      if (snakes_c.empty()) snakes_c = *c;
      Require(WorstTileError(shape.dtype, shape.m, shape.n, of_one.back()->c(),
                             reinterpret_cast<const std::byte*>(snakes_c.data())) <= Tolerance(shape.dtype),
              absl::StrCat(shape.name(), ": ", traversal.name, " changes the result"));
    }
    waves.push_back(std::move(of_one));
  }
  for (const auto& of_one : waves) {
    calls.emplace_back([&of_one](int i) { of_one[static_cast<size_t>(i) % of_one.size()]->Multiply(0); });
  }
  const RoundTimes times = MeasureRounds(calls, plan);
  const std::vector<std::vector<double>>& seconds = times.seconds;

  const bool fits = shape.bytes() <= setting.l3_bytes;
  const double snake_l2 = HitRatio(shape, traversals[0], setting.cpu.l2_bytes);
  const double snake_l3 = HitRatio(shape, traversals[0], setting.l3_bytes);
  for (size_t i = 1; i < traversals.size(); ++i) {
    const std::vector<double> ratios = PairedRatios(seconds[0], seconds[i]);
    const double ratio = Median(ratios);
    const Interval interval = MedianInterval95(ratios);
    const double l2 = HitRatio(shape, traversals[i], setting.cpu.l2_bytes);
    const double l3 = HitRatio(shape, traversals[i], setting.l3_bytes);
    report->AddItem(
        "traversals",
        {{"traversal", traversals[i].name},
         {"against", traversals[0].name},
         {"dtype", std::string(kernels::Name(shape.dtype))},
         {"m", shape.m},
         {"n", shape.n},
         {"k", shape.k},
         {"fits_l3", fits},
         {"gflops", shape.flops() / Median(seconds[i]) / 1e9},
         {"against_gflops", shape.flops() / Median(seconds[0]) / 1e9},
         {"ratio", ratio},
         {"ratio_low", interval.low},
         {"ratio_high", interval.high},
         {"rounds", ratios.size()},
         {"others_share", times.others_share},
         {"l2_model_hit", l2},
         {"l2_model_hit_against", snake_l2},
         {"l2_model_names_faster", NamesFaster(ratio, l2, snake_l2)},
         {"l3_model_hit", l3},
         {"l3_model_hit_against", snake_l3},
         // The daemon's own reading is of that cache.
         {"model_names_faster", NamesFaster(ratio, l3, snake_l3)}},
        absl::StrFormat("%-20s %-12s / row_snake  ratio %.3f [%.3f, %.3f]  model hits: L2 %.3f / %.3f, L3 %.3f / "
                        "%.3f%s",
                        shape.name(), traversals[i].name, ratio, interval.low, interval.high, l2, snake_l2, l3,
                        snake_l3, fits ? "" : "  (beyond L3)"));
  }
}

}  // namespace

nlohmann::ordered_json NamesFaster(double speed_ratio, double hit, double other_hit) {
  constexpr double kNotable = 0.05;
  if (std::abs(speed_ratio - 1) <= kNotable) return "within 5 %";
  return speed_ratio > 1 ? hit > other_hit : hit < other_hit;
}

std::vector<GemmShape> TraversalShapes(DType dtype, int64_t l3_bytes) {
  constexpr int64_t kMostSide = 8192;
  const auto whole_tiles = [&](double bytes) {
    const auto tiles =
        static_cast<int64_t>(std::sqrt(bytes / static_cast<double>(kernels::SizeOf(dtype)))) / CpuGemm::kTile;
    return std::clamp<int64_t>(tiles, 2, kMostSide / CpuGemm::kTile) * CpuGemm::kTile;
  };
  const int64_t fits = whole_tiles(static_cast<double>(l3_bytes) * 0.75 / 3);
  const int64_t beyond = whole_tiles(static_cast<double>(l3_bytes) * 2);
  return {{dtype, fits, fits, fits}, {dtype, 8 * CpuGemm::kTile, beyond, beyond}};
}

void MeasureTraversals(const GemmSetting& setting, Report* report) {
  // Random orders are the reason for more rounds than whole products have.
  RoundPlan plan{.min_rounds = 11, .max_rounds = 31, .budget_seconds = 10, .turn_seconds = 0.1};
  if (setting.quick) plan = {.min_rounds = 2, .max_rounds = 2, .budget_seconds = 0, .turn_seconds = 1e-3};
  // Of a quick run: what would be right for a cache of 1 MiB.
  const int64_t l3_bytes = setting.quick ? int64_t{1} << 20 : setting.l3_bytes;
  CpuEngine engine(setting.cpu, setting.threads);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const GemmShape& shape : TraversalShapes(dtype, l3_bytes)) {
      setting.progress(absl::StrCat("traversals of ", shape.name()));
      MeasureShape(setting, &engine, shape, plan, report);
    }
  }
}

}  // namespace bwrt::bench
