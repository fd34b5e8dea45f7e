#include "client/bench_runner.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "client/bench_loop.h"
#include "client/wave_carrier.h"

namespace bwrt::client {
namespace {

// The smallest sample that `percent` of all do not exceed. At least one sample.
template <class Sample>
Sample Percentile(std::vector<Sample>* samples, double percent) {
  const double rank = std::ceil(percent / 100 * static_cast<double>(samples->size()));
  const auto at = samples->begin() + static_cast<int64_t>(std::max(rank, 1.0)) - 1;
  std::nth_element(samples->begin(), at, samples->end());
  return *at;
}

}  // namespace

BenchSpec SpecOf(const v1::SubmitWaveRequest& wave) {
  return {.m = wave.m(),
          .n = wave.n(),
          .k = wave.k(),
          .bm = wave.spec().bm(),
          .bn = wave.spec().bn(),
          .bk = wave.spec().bk(),
          .dtype = wave.spec().dtype()};
}

absl::StatusOr<BenchCase> RunBenchCase(const BenchLoad& load, const BenchEffort& effort) {
  const CarrierOptions options = {.address = load.address, .wave = load.wave, .in_flight = load.in_flight};
  const auto carrier = load.unary ? CarryByCalls(options) : CarryByStreams(options);
  if (!carrier.ok()) return carrier.status();
  BenchCase result;
  result.name = load.name;
  result.spec = SpecOf(load.wave);
  result.in_flight = load.in_flight;

  LoopPlan plan = {.in_flight = load.in_flight, .sync_every = effort.sync_every};
  const auto measured = [&effort] {
    if (effort.on_round) effort.on_round();
  };
  if (effort.warmup_waves > 0) {
    plan.waves = std::max(effort.warmup_waves, load.in_flight);
    const auto warm = RunLoop(**carrier, plan);
    if (!warm.ok()) return warm.status();
  }
  measured();
  plan.waves = effort.waves;
  plan.time = absl::ToChronoNanoseconds(effort.seconds);
  std::vector<double> rates;
  std::vector<float> latencies;
  for (int i = 0; i < effort.rounds; ++i) {
    const auto round = RunLoop(**carrier, plan);
    if (!round.ok()) return round.status();
    result.rounds.push_back({.waves = round->waves, .seconds = round->seconds});
    result.waves += round->waves;
    result.seconds += round->seconds;
    result.refused += round->refused;
    rates.push_back(static_cast<double>(round->waves) / round->seconds);
    latencies.insert(latencies.end(), round->latencies_us.begin(), round->latencies_us.end());
    measured();
  }
  result.waves_per_second = Percentile(&rates, 50);
  result.gflops = 2e-9 * static_cast<double>(result.spec.m) * static_cast<double>(result.spec.n) *
                  static_cast<double>(result.spec.k) * result.waves_per_second;
  result.p50_us = Percentile(&latencies, 50);
  result.p99_us = Percentile(&latencies, 99);
  return result;
}

}  // namespace bwrt::client
