// What `bwrtctl bench` does for each case: connect, warm up, and measure rounds of a closed loop.
//
// Free functions; one thread a case.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bwrt/v1/wave.pb.h"
#include "client/bench_artifact.h"

namespace bwrt::client {

// The waves of one case.
struct BenchLoad {
  std::string address = {};
  std::string name = {};  // Of the case.
  // With all operands, and every size and its dtype given.
  v1::SubmitWaveRequest wave = {};
  int64_t in_flight = 1;
  bool unary = false;  // SubmitWave instead of StreamWaves.
};

struct BenchEffort {
  int64_t sync_every = 64;     // As LoopPlan's (client/bench_loop.h).
  int64_t warmup_waves = 256;  // Though never fewer than are in flight. 0: none.
  int rounds = 5;              // > 0.
  // Of each round: so many waves, or, when 0, as many as begin in `seconds`.
  int64_t waves = 0;
  absl::Duration seconds = absl::Seconds(1);
  // Told after each round, the warm-up included. May be empty.
  std::function<void()> on_round = {};
};

// Rates and seconds are those of the median round, latencies those of all rounds' waves. The errors of the connection
// and of waves that the daemon refuses for good.
absl::StatusOr<BenchCase> RunBenchCase(const BenchLoad& load, const BenchEffort& effort);

// The wave's shape and type as artifacts name them.
BenchSpec SpecOf(const v1::SubmitWaveRequest& wave);

}  // namespace bwrt::client
