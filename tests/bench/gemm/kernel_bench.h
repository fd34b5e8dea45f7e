// KernelBench: which library computes a tile fastest: the figures behind the choice of the kernels' library.
#ifndef BWRT_TESTS_BENCH_GEMM_KERNEL_BENCH_H_
#define BWRT_TESTS_BENCH_GEMM_KERNEL_BENCH_H_

#include <string>

#include "tests/bench/gemm/gemm_setting.h"
#include "tests/bench/report.h"

namespace bwrt::bench {

// Tile by tile on one thread: oneDNN's matmul of a tile's size against libxsmm's kernels in several blockings. Adds the
// array "kernels". Throws when their results differ.
void MeasureKernels(const GemmSetting& setting, Report* report);

// Version and what libxsmm compiles for, such as "1.17 cpx".
std::string XsmmVersion();

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_KERNEL_BENCH_H_
