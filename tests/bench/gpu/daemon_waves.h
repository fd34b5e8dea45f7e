// DaemonWaves: waves that a bwrtd of its own runs on the GPU, by cuBLASLt, with and without swaps beside them.
#ifndef BWRT_TESTS_BENCH_GPU_DAEMON_WAVES_H_
#define BWRT_TESTS_BENCH_GPU_DAEMON_WAVES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "tests/bench/bench_daemon.h"

namespace bwrt::bench {

class DaemonWaves {
 public:
  // bf16 waves of side x side x side with W stored [n, k]. `plugin` may be empty: where bwrtd finds it. Throws when
  // there is no such GPU, or when another kernel than cuBLASLt's runs.
  DaemonWaves(const std::string& bwrtd, const std::string& plugin, int ordinal, int64_t side);

  // Runs one; the seconds that the result says its kernels took.
  double Run();

  // 99th percentile of the time that small waves take while their weights are swapped `swaps` times, over that of
  // `waves` waves without swaps.
  double SwapRatio(int swaps, int waves);

 private:
  const BenchDaemon daemon_;
  const std::unique_ptr<v1::Execution::Stub> execution_;
  const std::unique_ptr<v1::Weights::Stub> weights_;
  v1::SubmitWaveRequest wave_;
  v1::WaveResult result_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GPU_DAEMON_WAVES_H_
