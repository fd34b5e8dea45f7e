#ifndef BWRT_KERNELS_L2_MODEL_H_
#define BWRT_KERNELS_L2_MODEL_H_

// How well a traversal of tiles would use a cache: a fully associative one of operand blocks, with
// LRU replacement.
//
// A model, not a measurement: it knows no lines, no sets, no prefetcher and no other tenant.
//
// What is read: the tiles run in groups of `concurrent` at a time, in traversal order, and a group
// goes over K in lock step: at every step of bk each of its tiles, in order, reads A's block (its
// tile row, that step) and then W's block (its tile column, that step); the last step is what is
// left of K. C is not counted. `concurrent` is how many do tiles at once and share the cache: the
// multiprocessors of a GPU with its L2, the threads on processors that share a last-level cache.
//
// What hits: a block hits exactly when the distinct blocks read since its last read, and itself, fit
// the cache (LRU is a stack algorithm: Mattson, Gecsei, Slutz, Traiger, "Evaluation techniques for
// storage hierarchies", IBM Systems Journal 9(2), 1970). So
// 1. a block's first read is a miss, and one larger than the cache always misses;
// 2. a larger cache never hits less.
//
// Why K costs nothing: a group's blocks of one step are those of any other step, moved along K.
// Between two reads of a block at step s, in groups p < q, lie p's steps after s, every step of the
// groups in between, and q's steps before s. So what is distinct there has one width (rows of A plus
// columns of W) at all steps before s, one at all steps after s, and one at s: the sum of widths
// times depths is linear in s, and how many steps hit is a division. The widths are sums over a
// window of the traversal, each found in O(log tiles).
//
// Free functions; thread-safe.

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "kernels/dtype.h"
#include "kernels/tile_rect.h"

namespace bwrt::kernels {

// Of A's and W's bytes.
struct L2Traffic {
  int64_t read_bytes = 0;      // That the tiles read, each its own operands.
  int64_t hit_bytes = 0;       // Of these, from the cache.
  int64_t distinct_bytes = 0;  // That are read at least once: no traversal gets along with fewer misses.

  int64_t miss_bytes() const { return read_bytes - hit_bytes; }  // From memory.
  double hit_ratio() const { return static_cast<double>(hit_bytes) / static_cast<double>(read_bytes); }
};

// The traffic of `order`, whose tiles are blocks of one real matrix: those that share row0 have one
// height, those that share col0 one width. Neither a capacity nor a `concurrent` below 1 is an
// error: nothing hits, and one tile runs at a time.
//
// nullopt where there is nothing to read, k or bk is not positive, or bytes do not fit in int64_t.
// Time O(n log n) for n tiles, whatever k: 0.05 to 0.15 us a tile, 0.3 where there are a million; memory O(n).
std::optional<L2Traffic> ModelL2Traffic(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t concurrent = 1);

// The hit ratio of that. nullopt also where the tiles have more than `max_operands` operands: two
// each. So the caller bounds the cost.
std::optional<double> TraversalHitRatio(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t max_operands, int64_t concurrent = 1);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_L2_MODEL_H_
