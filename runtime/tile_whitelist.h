// TileWhitelist: the tile shapes this daemon promises to run as asked, and the digest by which a planner can
// tell that it planned with the same list. Immutable.
#ifndef BWRT_RUNTIME_TILE_WHITELIST_H_
#define BWRT_RUNTIME_TILE_WHITELIST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/tile_shape.h"

namespace bwrt::runtime {

class TileWhitelist {
 public:
  // The built-in list of the planner handoff.
  static TileWhitelist Default();

  // One shape a line, "bm,bn,bk,stage,cx,cy", positive decimal numbers; blank lines and lines that start with
  // '#' are skipped, repeated shapes count once. INVALID_ARGUMENT names the line; an empty list is refused.
  static absl::StatusOr<TileWhitelist> Parse(absl::string_view text);

  bool Contains(const TileShape& shape) const;
  // The listed shape that differs least: the sum over the six numbers of |log2(a / b)|, ties to the smaller.
  const TileShape& Nearest(const TileShape& shape) const;

  const std::vector<TileShape>& shapes() const { return shapes_; }  // Sorted numerically.
  const std::string& digest() const { return digest_; }             // "sha256:<hex>".

 private:
  explicit TileWhitelist(std::vector<TileShape> shapes);

  std::vector<TileShape> shapes_;
  std::string digest_;
};

// "(bm,bn,bk,stage,(cx,cy))", as planners write it.
std::string ToString(const TileShape& shape);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TILE_WHITELIST_H_
