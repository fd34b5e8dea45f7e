// TileShape: the five numbers a planner's tile whitelist is made of.
#ifndef BWRT_RUNTIME_TILE_SHAPE_H_
#define BWRT_RUNTIME_TILE_SHAPE_H_

#include <compare>
#include <cstdint>

namespace bwrt::runtime {

struct TileShape {
  int32_t bm = 0;
  int32_t bn = 0;
  int32_t bk = 0;
  int32_t stage = 1;
  int32_t cluster_x = 1;
  int32_t cluster_y = 1;
  friend auto operator<=>(const TileShape&, const TileShape&) = default;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TILE_SHAPE_H_
