#ifndef BWRT_KERNELS_K_CHUNKS_H_
#define BWRT_KERNELS_K_CHUNKS_H_

// How K is cut for the micro-kernels: chunks of MaxLength(type) and one shorter one at the end.
//
// A value, immutable: thread-safe.
//
// 1. Lengths are positive multiples of PackedWeights::KMultiple(type) and add up to K, padded to that
//    multiple.
// 2. All chunks but the last have MaxLength(type).
// 3. The row stride of a packed chunk of A is a function of its length and type alone.

#include <algorithm>
#include <cstdint>

#include "kernels/packed_weights.h"

namespace bwrt::kernels {

class KChunks {
 public:
  // Long enough to amortise loading and storing the sums, short enough for a chunk of a W panel to
  // stay in L2. Measured: eight times as much is 7 to 25 % slower.
  static constexpr int64_t kMaxBytes = 2048;
  static constexpr int64_t MaxLength(DType dtype) { return kMaxBytes / SizeOf(dtype); }

  // `dtype` is what the kernels read, kF32 or kBF16; `padded_k` is a positive multiple of
  // PackedWeights::KMultiple(dtype).
  KChunks(int64_t padded_k, DType dtype) : padded_k_(padded_k), dtype_(dtype) {}

  DType dtype() const { return dtype_; }
  int64_t padded_k() const { return padded_k_; }
  int64_t max_length() const { return MaxLength(dtype_); }
  int64_t count() const { return (padded_k_ + max_length() - 1) / max_length(); }
  int64_t begin(int64_t chunk) const { return chunk * max_length(); }
  int64_t length(int64_t chunk) const { return std::min(max_length(), padded_k_ - begin(chunk)); }

  // Elements between rows of a packed chunk of `length`. Rows at a distance of a large power of two
  // compete for the same cache sets, so those lengths get one more cache line.
  int64_t RowStride(int64_t length) const {
    const int64_t line = 64 / SizeOf(dtype_);
    return length % (4 * line) == 0 ? length + line : length;
  }

  // Elements that one row of A takes once packed, over all chunks.
  int64_t packed_row() const { return (count() - 1) * RowStride(max_length()) + RowStride(length(count() - 1)); }

 private:
  int64_t padded_k_;
  DType dtype_;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_K_CHUNKS_H_
