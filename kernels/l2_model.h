#ifndef BWRT_KERNELS_L2_MODEL_H_
#define BWRT_KERNELS_L2_MODEL_H_

// How well a traversal of tiles would use a cache: a fully associative cache of operand blocks with
// LRU replacement.
//
// A model, not a measurement: it knows no lines, no prefetcher and no other tenant. Not
// thread-safe: one thread uses one.
//
// 1. resident bytes <= capacity after every touch.
// 2. hit_bytes() <= total_bytes(); the first touch of a block is always a miss (a compulsory miss
//    counts as a miss).
// 3. A block larger than the capacity misses, pushes everything else out and does not stay.
// 4. Touch is O(1) amortised: each block it evicts was inserted once.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "kernels/dtype.h"
#include "kernels/tile_rect.h"

namespace bwrt::kernels {

class L2Model {
 public:
  // `expected_blocks` is how many blocks will be resident at most, as far as the caller knows; up
  // to there Touch does not allocate. A capacity that is not positive holds nothing.
  explicit L2Model(int64_t capacity_bytes, int64_t expected_blocks = 0);

  // Reads block `block`, which has `bytes` > 0 (the same at every touch of it).
  void Touch(uint64_t block, int64_t bytes);

  int64_t hit_bytes() const { return hit_bytes_; }
  int64_t total_bytes() const { return total_bytes_; }

 private:
  // Blocks sit in slots, linked from the most to the least recently used; freed slots are chained
  // through `newer`.
  struct Slot {
    uint64_t block;
    int64_t bytes;
    int32_t newer;
    int32_t older;
  };

  // Index in table_ of `block`, or of the empty entry where it belongs.
  std::size_t Find(uint64_t block) const;
  void Grow();
  void Unlink(int32_t slot);
  void LinkNewest(int32_t slot);
  void EvictOldest();

  const int64_t capacity_bytes_;
  int64_t resident_bytes_ = 0;
  int64_t hit_bytes_ = 0;
  int64_t total_bytes_ = 0;
  std::vector<Slot> slots_;
  // Open addressing over a power of two, at most half full; entries are slots or empty.
  std::vector<int32_t> table_;
  int32_t newest_;
  int32_t oldest_;
  int32_t free_;
};

// The share of operand bytes that hits when `order` runs tile by tile over K in steps of `bk`: at
// every step a tile reads A's block (its tile row, that step) of rows * step elements, then W's
// block (its tile column, that step) of step * cols elements, the last step being what is left of
// K. C is not counted.
// The tiles are those of a real matrix: rows * k and cols * k, in bytes, fit in int64_t.
//
// Costs 2 * ceil(k / bk) * order.size() touches of some 10 to 20 ns. nullopt when that exceeds
// `max_touches`, when there is nothing to replay, or when k or bk is not positive; so the caller
// bounds the cost.
std::optional<double> TraversalHitRatio(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t max_touches);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_L2_MODEL_H_
