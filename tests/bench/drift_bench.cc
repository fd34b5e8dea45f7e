#include "tests/bench/drift_bench.h"

#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/digest.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"
#include "tests/bench/stager.h"
#include "tests/bench/wave_client.h"

namespace bwrt::bench {
namespace {

// One is large enough to be a mapping of its own, the others come from the heap.
constexpr WaveShape kLarge = {1, 512, 512};
constexpr int64_t kShardBytes = int64_t{256} << 10;
constexpr int64_t kChunk = int64_t{64} << 10;
constexpr int kTensors = 2;

double Ratio(const BenchDaemon& daemon, int baseline, int swaps, const std::function<void(int)>& swap) {
  for (int i = 0; i < baseline; ++i) swap(i);
  const int64_t before = daemon.ResidentBytes();
  for (int i = baseline; i < swaps; ++i) swap(i);
  return static_cast<double>(daemon.ResidentBytes()) / static_cast<double>(before);
}

}  // namespace

Drift MeasureDrift(const std::string& bwrtd, int baseline, int swaps) {
  Drift drift;
  {
    const BenchDaemon daemon(bwrtd, {});
    const auto weights = v1::Weights::NewStub(daemon.Connect());
    const v1::SetWeightsRequest request = ConstantWeights(kLarge, 1);
    drift.set_weights = Ratio(daemon, baseline, swaps, [&](int /*i*/) {
      grpc::ClientContext context;
      v1::SetWeightsResponse response;
      Require(weights->SetWeights(&context, request, &response));
    });
  }
  const BenchDaemon daemon(bwrtd, {});
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
