// What is made of paired measurements: of ratios, each of two contenders in the same round, so that whatever slowed the
// machine in that round cancels.
#ifndef BWRT_TESTS_BENCH_GEMM_PAIRED_H_
#define BWRT_TESTS_BENCH_GEMM_PAIRED_H_

#include <vector>

namespace bwrt::bench {

struct Interval {
  double low = 0;
  double high = 0;
};

// An interval that holds the population's median with at least 95 % confidence, whatever its distribution: the
// smallest symmetric pair of order statistics for which the binomial (n, 1/2) tail beyond both is at most 5 %. Fewer
// than six samples have none: then all of their range.
Interval MedianInterval95(std::vector<double> samples);

// Of positive samples; at least one.
double GeometricMean(const std::vector<double>& samples);

// numerator[i] / denominator[i] of equally many rounds.
std::vector<double> PairedRatios(const std::vector<double>& numerator, const std::vector<double>& denominator);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_PAIRED_H_
