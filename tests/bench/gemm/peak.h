// Peak: what this machine's processors can multiply and add at most, with operands that never leave the registers.
#ifndef BWRT_TESTS_BENCH_GEMM_PEAK_H_
#define BWRT_TESTS_BENCH_GEMM_PEAK_H_

#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace bwrt::bench {

struct PeakRate {
  std::string instructions;  // Such as "avx512_fma".
  kernels::DType dtype;
  double gflops = 0;  // Of all threads together.
};

// For each kind of instruction that this processor has: the best of `repeats` runs of about `seconds` on `threads`
// threads at once. A multiply-add counts as two operations.
std::vector<PeakRate> MeasurePeaks(int threads, double seconds, int repeats);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_PEAK_H_
