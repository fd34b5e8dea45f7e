// CaseBench: whole products of ours against oneDNN and OpenBLAS.
#ifndef BWRT_TESTS_BENCH_GEMM_CASE_BENCH_H_
#define BWRT_TESTS_BENCH_GEMM_CASE_BENCH_H_

#include <cstdint>

#include "tests/bench/gemm/gemm_setting.h"
#include "tests/bench/report.h"

namespace bwrt::bench {

// How many copies of W the contenders rotate over: at least two, and so many that together they are three times the
// largest cache (or 1 GiB), so that a W never comes from there.
int WeightCopies(int64_t weight_bytes, int64_t l3_bytes);

// Every wanted case: that ours equals the peers' results, then the rates in turn. Throws when results differ. Adds the
// array "cases" and the figures made of it: geomean_ratio, min_ratio, and the rate of the best peer at the largest M as
// peer_gflops_f32 and peer_gflops_bf16. Nothing when no case is wanted.
void MeasureCases(const GemmSetting& setting, Report* report);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_CASE_BENCH_H_
