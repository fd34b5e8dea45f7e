// What bwrtctl tune reads and writes: shapes to tune for, and the whitelist of the tile shapes that won.
//
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/v1/execution.pb.h"

namespace bwrt::client {

// "MxNxK[:dtype[:transposed]]", such as "64x4096x4096:bf16"; the dtype is f32 where there is none. INVALID_ARGUMENT
// says what is wrong.
absl::StatusOr<v1::TuneProblem> ParseTuneShape(absl::string_view text);

// One a line; blank lines and lines that start with '#' are skipped. INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<v1::TuneProblem>> ParseTuneShapes(absl::string_view text);

// As ParseTuneShape reads it.
std::string FormatTuneShape(const v1::TuneProblem& problem);

// A tile shape as a line of a whitelist, "bm,bn,bk,stage,cx,cy".
std::string WhitelistLine(const v1::TileShape& shape);

// What bwrtd reads with --tile-whitelist, and the digest that it then answers: each shape once, in numeric order.
struct Whitelist {
  std::string text = {};
  std::string digest = {};  // "sha256:<hex>" of the text.
  int shapes = 0;
};
Whitelist WhitelistOf(const std::vector<v1::TileShape>& shapes);

}  // namespace bwrt::client
