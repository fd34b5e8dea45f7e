#include "tests/bench/wave_bench.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr int kMinWaves = 3;
constexpr int kMaxWaves = 2000;
constexpr double kMicro = 1e6;

// Both run the same kernels, but may add in another order.
double Tolerance(DType dtype) { return dtype == F32 ? 1e-5 : 1e-2; }

bool SameWeights(const WaveCase& a, const WaveCase& b) { return a.dtype == b.dtype && a.n == b.n && a.k == b.k; }

}  // namespace

// A W of 64 MiB is published in one message.
WaveBench::WaveBench(const std::string& bwrtd, const std::string& self)
    : daemon_(StartBwrtd(bwrtd, {"--max-message-bytes=256M", "--log-level=warning"})),
      peer_(self, {"--echo"}),
      waves_(v1::Execution::NewStub(daemon_.Connect())),
      weights_(v1::Weights::NewStub(daemon_.Connect())),
      echo_(v1::Execution::NewStub(peer_.Connect())) {}

WaveFigures WaveBench::Measure(const WaveCase& wave_case, const WaveBudget& budget) {
  if (!SameWeights(wave_case, published_)) Publish(wave_case);
  wave_ = MakeWave(wave_case);
  engine_.SetWave(wave_);
  CheckResult(wave_case);

  WaveFigures figures{.wave_case = wave_case};
  // The warm-up also says how many fit a round.
  WaveFigures unused;
  const auto count = [&](double seconds) {
    return std::clamp(static_cast<int>(budget.seconds / seconds), kMinWaves, kMaxWaves);
  };
  const int waves = count(RunWaves(waves_.get(), kMinWaves, &unused));
  const int echoes = count(RunWaves(echo_.get(), kMinWaves, &unused));
  const int runs = count(RunEngine(kMinWaves));

  std::vector<double> wave, echo, engine, overhead, queue, copy, compute;
  for (int round = 0; round < budget.rounds; ++round) {
    WaveFigures timings;
    wave.push_back(RunWaves(waves_.get(), waves, &timings));
    echo.push_back(RunWaves(echo_.get(), echoes, &unused));
    engine.push_back(RunEngine(runs));
    overhead.push_back((wave.back() - echo.back()) / engine.back());
    queue.push_back(timings.queue_us);
    copy.push_back(timings.copy_us);
    compute.push_back(timings.compute_us);
  }
  figures.wave_us = kMicro * Median(wave);
  figures.echo_us = kMicro * Median(echo);
  figures.engine_us = kMicro * Median(engine);
  // The inverse's median is the median's inverse, and a difference that is noise around nought does no harm.
  const double share = Median(overhead);
  figures.rpc_ratio = share > 0 ? 1 / share : 0;
  figures.queue_us = Median(queue);
  figures.copy_us = Median(copy);
  figures.compute_us = Median(compute);
  return figures;
}

double WaveBench::RunWaves(v1::Execution::Stub* server, int count, WaveFigures* timings) {
  std::vector<double> seconds, queue, copy, compute;
  for (int i = 0; i < count; ++i) {
    grpc::ClientContext context;
    v1::WaveResult result;
    const Stopwatch watch;
    const grpc::Status status = server->SubmitWave(&context, wave_, &result);
    seconds.push_back(watch.seconds());
    Require(status);
    queue.push_back(result.timings().queue_seconds());
    copy.push_back(result.timings().copy_seconds());
    compute.push_back(result.timings().compute_seconds());
  }
  timings->queue_us = kMicro * Median(std::move(queue));
  timings->copy_us = kMicro * Median(std::move(copy));
  timings->compute_us = kMicro * Median(std::move(compute));
  return Median(std::move(seconds));
}

double WaveBench::RunEngine(int count) {
  std::vector<double> seconds;
  for (int i = 0; i < count; ++i) seconds.push_back(engine_.Run());
  return Median(std::move(seconds));
}

void WaveBench::Publish(const WaveCase& wave_case) {
  const v1::SetWeightsRequest request = MakeWeights(wave_case);
  grpc::ClientContext context;
  v1::SetWeightsResponse response;
  Require(weights_->SetWeights(&context, request, &response));
  engine_.SetWeights(request);
  published_ = wave_case;
}

void WaveBench::CheckResult(const WaveCase& wave_case) {
  grpc::ClientContext context;
  v1::WaveResult result;
  Require(waves_->SubmitWave(&context, wave_, &result));
  engine_.Run();
  const double difference = RelativeDifference(wave_case.dtype, result.c(), engine_.c());
  Require(difference <= Tolerance(wave_case.dtype),
          absl::StrCat(wave_case.name(), ": the daemon's C is off the engine's by ", difference));
}

}  // namespace bwrt::bench
