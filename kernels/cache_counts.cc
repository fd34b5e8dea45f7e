#include "kernels/cache_counts.h"

#include <algorithm>

namespace bwrt::kernels {

CacheCounts& CacheCounts::operator+=(const CacheCounts& other) {
  cycles += other.cycles;
  reads += other.reads;
  misses += other.misses;
  return *this;
}

std::optional<double> CacheCounts::hit_ratio() const {
  if (reads == 0) return std::nullopt;
  return 1 - std::min(1.0, static_cast<double>(misses) / static_cast<double>(reads));
}

}  // namespace bwrt::kernels
