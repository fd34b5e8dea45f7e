#include "tests/bench/gemm/case_bench.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/gemm/cpu_gemm.h"
#include "tests/bench/gemm/matrix_buffer.h"
#include "tests/bench/gemm/onednn_gemm.h"
#include "tests/bench/gemm/openblas_gemm.h"
#include "tests/bench/gemm/paired.h"
#include "tests/bench/gemm/rounds.h"
#include "tests/bench/gemm/tile_orders.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

using kernels::DType;

struct Grid {
  std::vector<int64_t> m;
  std::vector<std::pair<int64_t, int64_t>> nk;
  RoundPlan plan;
};

Grid GridFor(bool quick) {
  if (quick) {
    return {{1, 8, 200}, {{512, 256}}, {.min_rounds = 2, .max_rounds = 2, .budget_seconds = 0, .turn_seconds = 1e-3}};
  }
  return {{1, 8, 64, 128, 512, 2048}, {{4096, 4096}, {11008, 4096}, {4096, 11008}}, {}};
}

struct Peer {
  std::string name;
  std::unique_ptr<Contender> contender;
};

struct CaseResult {
  GemmShape shape;
  int weight_copies = 0;
  size_t rounds = 0;
  double error = 0;
  double ours_gflops = 0;
  std::map<std::string, double> peer_gflops;
  std::string better_peer;
  double ratio = 0;
  Interval interval;
  double others_share = 0;
  std::string onednn_implementation;
};

// Rate of the median round.
double Gflops(const GemmShape& shape, const std::vector<double>& seconds) {
  return shape.flops() / Median(seconds) / 1e9;
}

CaseResult MeasureCase(CpuEngine* engine, const GemmShape& shape, const MatrixBuffer& w,
                       const CpuEngine::Tensors& tensors, const RoundPlan& plan) {
  CaseResult result;
  result.shape = shape;
  result.weight_copies = static_cast<int>(tensors.size());
  const MatrixBuffer a = MatrixBuffer::Random(shape.dtype, shape.m, shape.k, /*seed=*/1);
  CpuGemm ours(engine, shape, a.data(), tensors, RowSnake(GridOf(shape).rows(), GridOf(shape).cols()));
  std::vector<Peer> peers;
  auto onednn = std::make_unique<OnednnGemm>(shape, a.data(), w.data(), result.weight_copies);
  result.onednn_implementation = onednn->implementation();
  peers.push_back({"onednn", std::move(onednn)});
  if (shape.dtype == DType::kF32) {
    peers.push_back({"openblas", std::make_unique<OpenblasGemm>(shape, a.data(), w.data(), result.weight_copies)});
  }

  ours.Multiply(0);
  for (const Peer& peer : peers) {
    peer.contender->Multiply(0);
    const double error = WorstTileError(shape.dtype, shape.m, shape.n, ours.c(), peer.contender->c());
    Require(error <= Tolerance(shape.dtype), absl::StrCat(shape.name(), ": ours differs from ", peer.name, " by ",
                                                          error, " (relative), more than ", Tolerance(shape.dtype)));
    result.error = std::max(result.error, error);
  }

  const auto rotating = [&](Contender* contender) {
    return [contender, copies = result.weight_copies](int i) { contender->Multiply(i % copies); };
  };
  std::vector<TimedCall> calls = {rotating(&ours)};
  for (const Peer& peer : peers) calls.emplace_back(rotating(peer.contender.get()));
  const RoundTimes times = MeasureRounds(calls, plan);
  const std::vector<std::vector<double>>& seconds = times.seconds;
  result.others_share = times.others_share;

  result.rounds = seconds[0].size();
  result.ours_gflops = Gflops(shape, seconds[0]);
  size_t better = 1;
  for (size_t i = 0; i < peers.size(); ++i) {
    result.peer_gflops[peers[i].name] = Gflops(shape, seconds[i + 1]);
    if (Median(seconds[i + 1]) < Median(seconds[better])) better = i + 1;
  }
  result.better_peer = peers[better - 1].name;
  const std::vector<double> ratios = PairedRatios(seconds[better], seconds[0]);
  result.ratio = Median(ratios);
  result.interval = MedianInterval95(ratios);
  return result;
}

void AddTo(const CaseResult& result, Report* report) {
  const GemmShape& shape = result.shape;
  // Operands and result once each, in the time that this many flops take.
  const double bytes_per_flop = static_cast<double>(shape.bytes()) / shape.flops();
  nlohmann::ordered_json item = {
      {"dtype", std::string(kernels::Name(shape.dtype))},
      {"m", shape.m},
      {"n", shape.n},
      {"k", shape.k},
      {"ours_gflops", result.ours_gflops},
      {"ours_gbps", result.ours_gflops * bytes_per_flop},
  };
  std::string line = absl::StrFormat("%-20s ours %7.1f", shape.name(), result.ours_gflops);
  for (const char* peer : {"onednn", "openblas"}) {
    const auto rate = result.peer_gflops.find(peer);
    const bool there = rate != result.peer_gflops.end();
    item[absl::StrCat(peer, "_gflops")] = there ? nlohmann::ordered_json(rate->second) : nullptr;
    item[absl::StrCat(peer, "_gbps")] = there ? nlohmann::ordered_json(rate->second * bytes_per_flop) : nullptr;
    if (there) absl::StrAppendFormat(&line, "  %s %7.1f", peer, rate->second);
  }
  item["better_peer"] = result.better_peer;
  item["ratio"] = result.ratio;
  item["ratio_low"] = result.interval.low;
  item["ratio_high"] = result.interval.high;
  item["rounds"] = result.rounds;
  item["weight_copies"] = result.weight_copies;
  item["others_share"] = result.others_share;
  item["error"] = result.error;
  item["onednn_implementation"] = result.onednn_implementation;
  absl::StrAppendFormat(&line, " GFLOP/s  %.1f GB/s  ratio %.3f [%.3f, %.3f]", result.ours_gflops * bytes_per_flop,
                        result.ratio, result.interval.low, result.interval.high);
  report->AddItem("cases", std::move(item), line);
}

// What is made of all cases.
class Summary {
 public:
  explicit Summary(int64_t largest_m) : largest_m_(largest_m) {}

  void Add(const CaseResult& result) {
    const std::string dtype(kernels::Name(result.shape.dtype));
    all_.push_back(result.ratio);
    others_.push_back(result.others_share);
    by_dtype_[dtype].push_back(result.ratio);
    if (worst_.empty() || result.ratio < least_) {
      worst_ = result.shape.name();
      least_ = result.ratio;
    }
    if (result.shape.m == largest_m_) {
      double& best = peer_[dtype];
      for (const auto& [name, rate] : result.peer_gflops) best = std::max(best, rate);
    }
  }

  void AddTo(Report* report) const {
    if (all_.empty()) return;
    report->Add("geomean_ratio", GeometricMean(all_), "", AtLeast(0.95));
    report->Add("min_ratio", least_, "", AtLeast(0.85));
    report->Note("min_ratio_case", worst_);
    report->Add("others_share", Median(others_), "", AtMost(0.05));
    for (const auto& [dtype, ratios] : by_dtype_) {
      report->Add(absl::StrCat("geomean_ratio_", dtype), GeometricMean(ratios), "");
    }
    for (const auto& [dtype, rate] : peer_) report->Add(absl::StrCat("peer_gflops_", dtype), rate, "GFLOP/s");
  }

 private:
  const int64_t largest_m_;
  std::vector<double> all_;
  std::vector<double> others_;
  std::map<std::string, std::vector<double>> by_dtype_;
  std::map<std::string, double> peer_;
  std::string worst_;
  double least_ = 0;
};

}  // namespace

int WeightCopies(int64_t weight_bytes, int64_t l3_bytes) {
  constexpr int64_t kMostBytes = int64_t{1} << 30;
  const int64_t bytes = std::min(3 * l3_bytes, kMostBytes);
  return static_cast<int>(std::max<int64_t>(2, (bytes + weight_bytes - 1) / weight_bytes));
}

void MeasureCases(const GemmSetting& setting, Report* report) {
  const Grid grid = GridFor(setting.quick);
  SetOnednnThreads(setting.threads);
  SetOpenblasThreads(setting.threads);
  CpuEngine engine(setting.cpu, setting.threads);
  Summary summary(grid.m.back());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [n, k] : grid.nk) {
      std::vector<GemmShape> shapes;
      for (const int64_t m : grid.m) shapes.push_back({dtype, m, n, k});
      shapes.erase(std::remove_if(shapes.begin(), shapes.end(),
                                  [&](const GemmShape& shape) { return !setting.wanted(shape.name()); }),
                   shapes.end());
      if (shapes.empty()) continue;
      const MatrixBuffer w = MatrixBuffer::Random(dtype, k, n, /*seed=*/2);
      const int copies = setting.quick ? 2 : WeightCopies(shapes[0].weight_bytes(), setting.l3_bytes);
      const CpuEngine::Tensors tensors = engine.Upload(shapes[0], w.data(), copies);
      for (const GemmShape& shape : shapes) {
        setting.progress(shape.name());
        const CaseResult result = MeasureCase(&engine, shape, w, tensors, grid.plan);
        AddTo(result, report);
        summary.Add(result);
      }
    }
  }
  summary.AddTo(report);
}

}  // namespace bwrt::bench
