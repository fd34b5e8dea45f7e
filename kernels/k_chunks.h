#ifndef BWRT_KERNELS_K_CHUNKS_H_
#define BWRT_KERNELS_K_CHUNKS_H_

// How K is cut for the micro-kernels: chunks of kMaxLength and one shorter one at the end.
//
// A value, immutable: thread-safe.
//
// 1. Lengths are positive multiples of PackedWeights::kKMultiple and add up to K, padded to that
//    multiple.
// 2. All chunks but the last have kMaxLength.
// 3. The row stride of a packed chunk of A is a function of its length alone.

#include <algorithm>
#include <cstdint>

#include "kernels/packed_weights.h"

namespace bwrt::kernels {

class KChunks {
 public:
  // Long enough to amortise loading and storing the sums, short enough for a chunk of a W panel to
  // stay in L2. Measured: 4096 is 7 to 25 % slower.
  static constexpr int64_t kMaxLength = 512;

  // `padded_k` is a positive multiple of PackedWeights::kKMultiple.
  explicit KChunks(int64_t padded_k) : padded_k_(padded_k) {}

  int64_t count() const { return (padded_k_ + kMaxLength - 1) / kMaxLength; }
  int64_t begin(int64_t chunk) const { return chunk * kMaxLength; }
  int64_t length(int64_t chunk) const { return std::min(kMaxLength, padded_k_ - begin(chunk)); }

  // Elements between rows of a packed chunk of `length`. Rows at a distance of a large power of two
  // compete for the same cache sets, so those lengths get one more cache line.
  static constexpr int64_t RowStride(int64_t length) { return length % 64 == 0 ? length + 16 : length; }

  // Elements that one row of A takes once packed, over all chunks.
  int64_t packed_row() const { return (count() - 1) * RowStride(kMaxLength) + RowStride(length(count() - 1)); }

 private:
  int64_t padded_k_;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_K_CHUNKS_H_
