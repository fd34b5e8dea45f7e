// DriftBench: whether the daemon's memory grows with the number of swaps.
#ifndef BWRT_TESTS_BENCH_DRIFT_BENCH_H_
#define BWRT_TESTS_BENCH_DRIFT_BENCH_H_

#include <string>

namespace bwrt::bench {

struct Drift {
  double set_weights = 0;  // Resident memory after `swaps` over that after `baseline`, swaps by SetWeights.
  double updates = 0;      // By updates: begin, stage, precommit, commit.
};

Drift MeasureDrift(const std::string& bwrtd, int baseline, int swaps);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_DRIFT_BENCH_H_
