// GemmSetting: what all parts of the benchmark are told about the machine and the run.
#ifndef BWRT_TESTS_BENCH_GEMM_GEMM_SETTING_H_
#define BWRT_TESTS_BENCH_GEMM_GEMM_SETTING_H_

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/cpu_info.h"

namespace bwrt::bench {

struct GemmSetting {
  kernels::CpuInfo cpu;
  int64_t l3_bytes = 0;  // The largest cache.
  int threads = 1;       // Of every contender.
  bool quick = false;    // Small shapes and few rounds.
  // Whether a case of this name (GemmShape::name) is to be measured.
  std::function<bool(const std::string& name)> wanted;
  // Says on a terminal what is being measured.
  std::function<void(const std::string& what)> progress;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_GEMM_SETTING_H_
