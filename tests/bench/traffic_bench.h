// TrafficBench: waves and changes of weights at the same time: what staging costs the waves, and that no wave ever sees
// half of a swap.
#ifndef BWRT_TESTS_BENCH_TRAFFIC_BENCH_H_
#define BWRT_TESTS_BENCH_TRAFFIC_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

namespace bwrt::bench {

struct Interference {
  double wave_ms = 0;               // The median of the waves alone.
  double wave_p99_ratio = 0;        // While another client stages, over alone.
  double stage_rate_kept = 0;       // Of staging beside the waves, over alone.
  double stage_rate = 0;            // Alone, in bytes a second.
  double equal_wave_p99_ratio = 0;  // The same where the publisher's process is no nicer than the waves' client.
  double equal_stage_rate_kept = 0;
  double noop_wave_p99_ratio = 0;   // The same of waves that compute next to nothing.
  double noop_stage_rate_kept = 0;  // Beside those.
};

// `seconds` a measurement, `repeats` of each. `flags` are bwrtd's. The publisher stages at nice 19, so that it takes
// what the waves' client and bwrtd leave of this machine; but for equal_*.
Interference MeasureInterference(const std::string& bwrtd, const std::vector<std::string>& flags, double seconds,
                                 int repeats);

struct Correctness {
  int64_t flips = 0;
  int64_t waves = 0;
  int64_t torn = 0;    // Waves whose C is not what their version makes it.
  int64_t failed = 0;  // Waves and swaps that ended with an error.
};

// At least as many flips and checked waves, at the same time.
Correctness CheckSwapsUnderTraffic(const std::string& bwrtd, int64_t flips, int64_t waves);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_TRAFFIC_BENCH_H_
