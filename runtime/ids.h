// Strong types for what must never be mixed up: versions, wave numbers and byte counts.
#ifndef BWRT_RUNTIME_IDS_H_
#define BWRT_RUNTIME_IDS_H_

#include <compare>
#include <cstdint>

namespace bwrt::runtime {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr StrongInt next() const { return StrongInt(value_ + 1); }
  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
  template <typename H>
  friend H AbslHashValue(H state, StrongInt id) {
    return H::combine(std::move(state), id.value_);
  }

 private:
  Rep value_{};
};

// A version of one model. 0 is the empty version that "default" starts with.
using Version = StrongInt<struct VersionTag, uint64_t>;
// The runtime's own number of a wave, unique while the process lives.
using WaveNumber = StrongInt<struct WaveNumberTag, uint64_t>;
// A size in memory.
using Bytes = StrongInt<struct BytesTag, int64_t>;

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_IDS_H_
