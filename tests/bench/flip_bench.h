// FlipBench: what a flip costs the waves that start meanwhile, in process.
#ifndef BWRT_TESTS_BENCH_FLIP_BENCH_H_
#define BWRT_TESTS_BENCH_FLIP_BENCH_H_

#include <cstdint>

namespace bwrt::bench {

struct FlipCase {
  int64_t tensor_bytes;
  int tensors;
  int flips;
};

// 99th percentiles over all flips.
struct FlipDelay {
  // Of the delay of a wave that starts meanwhile: the longer of the longest Start that overlapped the flip itself and
  // the delay of a wave that came at a random time while the replaced version was being freed.
  double flip_p99_us = 0;
  // The same of sham flips between them: a version is built and freed, but never made current.
  double start_p99_us = 0;
  // Of the longest delay of all the waves that came while one version was replaced and freed, some 10 us apart; and the
  // same of sham flips. The longer the freeing, the more of this is what else happens to the machine.
  double flip_longest_p99_us = 0;
  double start_longest_p99_us = 0;
};

FlipDelay MeasureFlips(const FlipCase& flip_case);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_FLIP_BENCH_H_
