#include "tests/bench/gemm/paired.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tests/bench/require.h"

namespace bwrt::bench {

Interval MedianInterval95(std::vector<double> samples) {
  Require(!samples.empty(), "no samples");
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  // Samples `outside` and n - 1 - outside bound the median unless at most `outside` of n lie on one side of it.
  double binomial = std::pow(0.5, static_cast<double>(n));
  double tail = binomial;
  size_t outside = 0;
  while (2 * (outside + 1) < n) {
    binomial *= static_cast<double>(n - outside) / static_cast<double>(outside + 1);
    if (2 * (tail + binomial) > 0.05) break;
    tail += binomial;
    ++outside;
  }
  return {samples[outside], samples[n - 1 - outside]};
}

double GeometricMean(const std::vector<double>& samples) {
  Require(!samples.empty(), "no samples");
  double logs = 0;
  for (const double sample : samples) logs += std::log(sample);
  return std::exp(logs / static_cast<double>(samples.size()));
}

std::vector<double> PairedRatios(const std::vector<double>& numerator, const std::vector<double>& denominator) {
  Require(numerator.size() == denominator.size(), "unequal numbers of rounds");
  std::vector<double> ratios;
  for (size_t i = 0; i < numerator.size(); ++i) ratios.push_back(numerator[i] / denominator[i]);
  return ratios;
}

}  // namespace bwrt::bench
