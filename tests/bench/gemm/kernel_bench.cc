#include "tests/bench/gemm/kernel_bench.h"

#include <libxsmm.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/matrix_buffer.h"
#include "tests/bench/gemm/onednn_gemm.h"
#include "tests/bench/gemm/paired.h"
#include "tests/bench/gemm/rounds.h"
#include "tests/bench/gemm/tile_libraries.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

using kernels::DType;

// What kernels/tile_gemm had first, and larger ones.
constexpr XsmmBlocking kBlockings[] = {{64, 64, 512}, {128, 64, 1024}, {128, 128, 512}};

void MeasureTile(const GemmShape& shape, const RoundPlan& plan, Report* report) {
  const MatrixBuffer a = MatrixBuffer::Random(shape.dtype, shape.m, shape.k, /*seed=*/1);
  const MatrixBuffer w = MatrixBuffer::Random(shape.dtype, shape.k, shape.n, /*seed=*/2);
  std::vector<std::pair<std::string, std::unique_ptr<Contender>>> contenders;
  contenders.emplace_back("onednn", std::make_unique<OnednnTiles>(shape, a.data(), w.data()));
  for (const XsmmBlocking& blocking : kBlockings) {
    contenders.emplace_back(blocking.name(), std::make_unique<XsmmTiles>(shape, a.data(), w.data(), blocking));
  }
  std::vector<TimedCall> calls;
  for (const auto& [name, contender] : contenders) {
    contender->Multiply(0);
    const double error = WorstTileError(shape.dtype, shape.m, shape.n, contender->c(), contenders[0].second->c());
    Require(error <= Tolerance(shape.dtype),
            absl::StrCat(shape.name(), ": ", name, " differs from oneDNN by ", error, " (relative)"));
    calls.emplace_back([contender = contender.get()](int /*i*/) { contender->Multiply(0); });
  }
  const std::vector<std::vector<double>> seconds = MeasureRounds(calls, plan).seconds;

  const int64_t rows = std::min(kLibraryTile, shape.m);
  nlohmann::ordered_json item = {{"dtype", std::string(kernels::Name(shape.dtype))},
                                 {"tile_rows", rows},
                                 {"tile_cols", kLibraryTile},
                                 {"m", shape.m},
                                 {"n", shape.n},
                                 {"k", shape.k}};
  std::string line = absl::StrFormat("%-4s %3d x %d x %-5d", kernels::Name(shape.dtype), rows, kLibraryTile, shape.k);
  for (size_t i = 0; i < contenders.size(); ++i) {
    const std::string& name = contenders[i].first;
    const double gflops = shape.flops() / Median(seconds[i]) / 1e9;
    item[absl::StrCat(name, "_gflops")] = gflops;
    absl::StrAppendFormat(&line, "  %s %.1f", name, gflops);
    if (i == 0) continue;
    const double ratio = Median(PairedRatios(seconds[0], seconds[i]));
    item[absl::StrCat(name, "_ratio")] = ratio;
    absl::StrAppendFormat(&line, " (%.2f)", ratio);
  }
  report->AddItem("kernels", std::move(item), line);
}

}  // namespace

std::string XsmmVersion() { return absl::StrCat(LIBXSMM_CONFIG_VERSION, " ", libxsmm_get_target_arch()); }

void MeasureKernels(const GemmSetting& setting, Report* report) {
  RoundPlan plan{.min_rounds = 7, .max_rounds = 15, .budget_seconds = 1.5, .turn_seconds = 0.04};
  std::vector<std::pair<int64_t, int64_t>> nk = {{1024, 4096}, {512, 11008}};
  if (setting.quick) {
    plan = {.min_rounds = 2, .max_rounds = 2, .budget_seconds = 0, .turn_seconds = 1e-3};
    nk = {{256, 528}};
  }
  SetOnednnThreads(1);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t rows : {int64_t{1}, int64_t{8}, int64_t{64}, kLibraryTile}) {
      for (const auto& [n, k] : nk) {
        // Of whole tiles several rows, so that A is a stream too.
        const GemmShape shape{dtype, rows == kLibraryTile ? 4 * rows : rows, n, k};
        setting.progress(absl::StrCat("tiles of ", shape.name()));
        MeasureTile(shape, plan, report);
      }
    }
  }
  SetOnednnThreads(setting.threads);
}

}  // namespace bwrt::bench
