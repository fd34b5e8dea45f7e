#ifndef BWRT_KERNELS_CACHE_COUNTS_H_
#define BWRT_KERNELS_CACHE_COUNTS_H_

#include <cstdint>
#include <optional>

namespace bwrt::kernels {

// What hardware counted during a stretch of work, of one thread or several: cycles, reads of one
// cache, and those that missed it. A value.
struct CacheCounts {
  uint64_t cycles = 0;
  uint64_t reads = 0;
  uint64_t misses = 0;

  CacheCounts& operator+=(const CacheCounts& other);
  // 1 - misses / reads; nullopt where nothing was read. The two are counted at slightly different points of the
  // pipeline, so that misses may exceed reads by a few: that is 0.
  std::optional<double> hit_ratio() const;
  friend bool operator==(const CacheCounts&, const CacheCounts&) = default;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CACHE_COUNTS_H_
