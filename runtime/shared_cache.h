// SharedCache: the cache that a device's tiles share while they run: a GPU's L2, a processor's last level.
#ifndef BWRT_RUNTIME_SHARED_CACHE_H_
#define BWRT_RUNTIME_SHARED_CACHE_H_

#include <cstdint>
#include <string>

namespace bwrt::runtime {

struct SharedCache {
  std::string name;   // Such as "L3 of 32 MiB".
  int64_t bytes = 0;  // 0: not known.
  int64_t tiles = 1;  // That run at once and share it; at least 1.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SHARED_CACHE_H_
