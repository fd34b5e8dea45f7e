// CpuUse: how much of the machine other programs took while something was measured. What they take, a contender does
// not get, and one that waits for all of its threads suffers most: figures with a large share say little.
#ifndef BWRT_TESTS_BENCH_GEMM_CPU_USE_H_
#define BWRT_TESTS_BENCH_GEMM_CPU_USE_H_

#include "tests/bench/samples.h"

namespace bwrt::bench {

class CpuUse {
 public:
  // Counts from here on.
  CpuUse();

  // Processor time that others used since, the hypervisor's other guests included, as a share of all processors'. From
  // the kernel's counters, which tick a hundred times a second; 0 where it has none.
  double OthersShare() const;

 private:
  struct Seconds {
    double all = 0;
    double own = 0;
  };
  static Seconds Used();

  const Seconds before_;
  const Stopwatch watch_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_CPU_USE_H_
