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

// Of each flip the longest Start that overlapped it, until the version it replaced had been freed; of these the 99th
// percentile.
struct FlipDelay {
  double flip_p99_us = 0;
  // The same of sham flips between them: a version is built and freed, but never made current.
  double start_p99_us = 0;
};

FlipDelay MeasureFlips(const FlipCase& flip_case);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_FLIP_BENCH_H_
