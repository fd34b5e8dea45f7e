// WaveBench: what a wave through the daemon takes, beside a bare gRPC echo of as many bytes and the bare engine.
//
// One client, one wave in flight, one contender at a time while the others are idle. Not thread-safe.
#ifndef BWRT_TESTS_BENCH_WAVE_BENCH_H_
#define BWRT_TESTS_BENCH_WAVE_BENCH_H_

#include <memory>
#include <string>
#include <vector>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/engine.h"
#include "tests/bench/wave_case.h"

namespace bwrt::bench {

// Medians over the rounds. Microseconds.
struct WaveFigures {
  WaveCase wave_case;
  double wave_us = 0;    // Through bwrtd, as the client sees it.
  double echo_us = 0;    // Through the bare server.
  double engine_us = 0;  // In this process.
  // engine / (wave - echo), of each round; 0 where a wave takes no longer than an echo, so that there is none.
  double rpc_ratio = 0;
  // What the daemon itself says of its waves: waiting for a lane, preparing operands and C, computing.
  double queue_us = 0;
  double copy_us = 0;
  double compute_us = 0;
};

struct WaveBudget {
  int rounds = 9;
  double seconds = 0.2;  // For each contender and round, at least kMinWaves waves.
};

class WaveBench {
 public:
  // `self` is this program, which can be the echo.
  WaveBench(const std::string& bwrtd, const std::string& self);

  // One case after the other; W is published anew where it changes. Throws when the daemon's C is not the engine's.
  WaveFigures Measure(const WaveCase& wave_case, const WaveBudget& budget);

  const runtime::DeviceInfo& device() const { return engine_.info(); }

 private:
  // Median seconds of one wave, of so many.
  double RunWaves(v1::Execution::Stub* server, int count, WaveFigures* timings);
  double RunEngine(int count);
  void Publish(const WaveCase& wave_case);
  void CheckResult(const WaveCase& wave_case);

  const BenchDaemon daemon_;
  const BenchDaemon peer_;
  const std::unique_ptr<v1::Execution::Stub> waves_;
  const std::unique_ptr<v1::Weights::Stub> weights_;
  const std::unique_ptr<v1::Execution::Stub> echo_;
  Engine engine_;
  WaveCase published_;
  v1::SubmitWaveRequest wave_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_WAVE_BENCH_H_
