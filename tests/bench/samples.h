// Samples: what is made of repeated measurements.
#ifndef BWRT_TESTS_BENCH_SAMPLES_H_
#define BWRT_TESTS_BENCH_SAMPLES_H_

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace bwrt::bench {

// The smallest sample that `percent` of all do not exceed. At least one sample.
inline double Percentile(std::vector<double> samples, double percent) {
  const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(samples.size())));
  const size_t at = std::max<size_t>(rank, 1) - 1;
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(at), samples.end());
  return samples[at];
}

inline double Median(std::vector<double> samples) { return Percentile(std::move(samples), 50); }

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_SAMPLES_H_
