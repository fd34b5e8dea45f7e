#include "tests/bench/drift_bench.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/digest.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"
#include "tests/bench/stager.h"
#include "tests/bench/wave_client.h"

namespace bwrt::bench {
namespace {

// One is large enough to be a mapping of its own, the others come from the heap.
constexpr WaveShape kLarge = {1, 512, 512};
constexpr int64_t kShardBytes = int64_t{256} << 10;
constexpr int64_t kChunk = int64_t{64} << 10;
constexpr int kTensors = 2;

// What is resident at one moment depends on what is on its way: the median over the last tenth of the first `baseline`
// swaps, and over as many at the end.
double Ratio(const BenchDaemon& daemon, int baseline, int swaps, const std::function<void(int)>& swap) {
  std::vector<double> before;
  std::vector<double> after;
  const int sampled = std::max(1, baseline / 10);
  for (int i = 0; i < swaps; ++i) {
    swap(i);
    if (i < baseline && i >= baseline - sampled) before.push_back(static_cast<double>(daemon.ResidentBytes()));
    if (i >= swaps - sampled) after.push_back(static_cast<double>(daemon.ResidentBytes()));
  }
  return Median(std::move(after)) / Median(std::move(before));
}

}  // namespace

Drift MeasureDrift(const std::string& bwrtd, int baseline, int swaps) {
  Drift drift;
  {
    const BenchDaemon daemon = StartBwrtd(bwrtd, {});
    const auto weights = v1::Weights::NewStub(daemon.Connect());
    const v1::SetWeightsRequest request = ConstantWeights(kLarge, 1);
    drift.set_weights = Ratio(daemon, baseline, swaps, [&](int /*i*/) {
      grpc::ClientContext context;
      v1::SetWeightsResponse response;
      Require(weights->SetWeights(&context, request, &response));
    });
  }
  const BenchDaemon daemon = StartBwrtd(bwrtd, {});
  Stager stager(daemon.Connect(), kShardBytes, kChunk, runtime::Digest::Kind::kXxh3, kTensors);
  drift.updates = Ratio(daemon, baseline, swaps, [&](int /*i*/) {
    const std::string update = stager.Begin("");
    stager.Stage(update);
    stager.Precommit(update);
    stager.Commit(update);
  });
  return drift;
}

}  // namespace bwrt::bench
