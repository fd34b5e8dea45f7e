#include "tests/bench/gemm/peak.h"

#include <algorithm>
#include <cstdint>
#include <thread>

#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

// Twelve accumulators cover the latency of an instruction (4 cycles) on processors that start up to three in a cycle.
// Written in assembly, so that the loop is what it says whatever the compiler is asked to do.
constexpr int kAccumulators = 12;
constexpr int64_t kIterations = 100'000;

#define BWRT_TWELVE(op, r)                                                                                         \
  op " %%" r "12, %%" r "13, %%" r "0\n" op " %%" r "12, %%" r "13, %%" r "1\n" op " %%" r "12, %%" r "13, %%" r   \
     "2\n" op " %%" r "12, %%" r "13, %%" r "3\n" op " %%" r "12, %%" r "13, %%" r "4\n" op " %%" r "12, %%" r     \
     "13, %%" r "5\n" op " %%" r "12, %%" r "13, %%" r "6\n" op " %%" r "12, %%" r "13, %%" r "7\n" op " %%" r     \
     "12, %%" r "13, %%" r "8\n" op " %%" r "12, %%" r "13, %%" r "9\n" op " %%" r "12, %%" r "13, %%" r "10\n" op \
     " %%" r "12, %%" r "13, %%" r "11\n"

// The factors are no zeros, with which processors can be cooler and so faster than with numbers. What the accumulators
// start from does not matter: sums saturate long before they are infinite.
#define BWRT_PEAK_LOOP(name, op, r)                                                                                \
  void name() {                                                                                                    \
    const float factor = 1.25f;                                                                                    \
    int64_t left = kIterations;                                                                                    \
    asm volatile("vbroadcastss %[factor], %%" r "12\n"                                                           \
                 "vbroadcastss %[factor], %%" r "13\n"                                                           \
                 "vxorps %%xmm0, %%xmm0, %%xmm0\nvxorps %%xmm1, %%xmm1, %%xmm1\nvxorps %%xmm2, %%xmm2, %%xmm2\n" \
                 "vxorps %%xmm3, %%xmm3, %%xmm3\nvxorps %%xmm4, %%xmm4, %%xmm4\nvxorps %%xmm5, %%xmm5, %%xmm5\n" \
                 "vxorps %%xmm6, %%xmm6, %%xmm6\nvxorps %%xmm7, %%xmm7, %%xmm7\nvxorps %%xmm8, %%xmm8, %%xmm8\n" \
                 "vxorps %%xmm9, %%xmm9, %%xmm9\nvxorps %%xmm10, %%xmm10, %%xmm10\n"                             \
                 "vxorps %%xmm11, %%xmm11, %%xmm11\n"                                                            \
                 "1:\n" BWRT_TWELVE(op, r) "dec %[left]\n"                                                       \
                 "jnz 1b\n"                                                                                      \
                 "vzeroupper\n"                                                                                  \
                 : [left] "+r"(left)                                                                             \
                 : [factor] "m"(factor)                                                                          \
                 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
                   "xmm10", "xmm11", "xmm12", "xmm13"); \
  }

BWRT_PEAK_LOOP(FmaAvx2, "vfmadd231ps", "ymm")
BWRT_PEAK_LOOP(FmaAvx512, "vfmadd231ps", "zmm")
BWRT_PEAK_LOOP(DotAvx512Bf16, "vdpbf16ps", "zmm")

#undef BWRT_PEAK_LOOP
#undef BWRT_TWELVE

struct Loop {
  const char* instructions;
  kernels::DType dtype;
  bool has;
  void (*run)();
  double flops;  // Of one instruction.
};

double RateOfAll(const Loop& loop, int threads, double seconds) {
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> pool;
  pool.reserve(rates.size());
  for (double& rate : rates) {
    pool.emplace_back([&loop, &rate, seconds] {
      loop.run();
      const Stopwatch watch;
      int64_t runs = 0;
      do {
        loop.run();
        ++runs;
      } while (watch.seconds() < seconds);
      rate = static_cast<double>(runs) * kIterations * kAccumulators * loop.flops / watch.seconds();
    });
  }
  for (std::thread& thread : pool) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

}  // namespace

std::vector<PeakRate> MeasurePeaks(int threads, double seconds, int repeats) {
  const Loop loops[] = {
      {"avx2_fma", kernels::DType::kF32, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), FmaAvx2,
       2 * 8},
      {"avx512_fma", kernels::DType::kF32, __builtin_cpu_supports("avx512f") != 0, FmaAvx512, 2 * 16},
      {"avx512_bf16_dot", kernels::DType::kBF16, __builtin_cpu_supports("avx512bf16") != 0, DotAvx512Bf16, 2 * 32},
  };
  std::vector<PeakRate> peaks;
  for (const Loop& loop : loops) {
    if (!loop.has) continue;
    double best = 0;
    for (int i = 0; i < repeats; ++i) best = std::max(best, RateOfAll(loop, threads, seconds));
    peaks.push_back({loop.instructions, loop.dtype, best / 1e9});
  }
  return peaks;
}

}  // namespace bwrt::bench
