// WaveCase: one product of the wave benchmark, as every contender is given it.
//
// A plain value. W is the tensor "w" of the model "default", so that it does not travel with the wave; C is of the
// operands' type. Operands are random in [-1, 1).
#ifndef BWRT_TESTS_BENCH_WAVE_CASE_H_
#define BWRT_TESTS_BENCH_WAVE_CASE_H_

#include <cstdint>
#include <string>

#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::bench {

struct WaveCase {
  DType dtype = F32;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;

  // "f32/128x4096x4096": type, then M, N and K.
  std::string name() const;
  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

// The wave: tiles of 128x128 from the default whitelist in a row snake, its window open throughout.
v1::SubmitWaveRequest MakeWave(const WaveCase& wave_case);

// What publishes the W of cases with this type, N and K.
v1::SetWeightsRequest MakeWeights(const WaveCase& wave_case);

// ||a - b|| / ||b|| (Frobenius) of two results of `dtype`, which have the same size.
double RelativeDifference(DType dtype, const std::string& a, const std::string& b);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_WAVE_CASE_H_
