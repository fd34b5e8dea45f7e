#ifndef BWRT_KERNELS_TILE_RECT_H_
#define BWRT_KERNELS_TILE_RECT_H_

#include <cstdint>

namespace bwrt::kernels {

// A block of C: rows row0 .. row0 + rows - 1, columns col0 .. col0 + cols - 1. A plain value. At
// the lower and right edges it is what is left of the tile, not the whole tile.
struct TileRect {
  int64_t row0 = 0;
  int64_t col0 = 0;
  int64_t rows = 0;
  int64_t cols = 0;

  friend bool operator==(const TileRect&, const TileRect&) = default;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_TILE_RECT_H_
