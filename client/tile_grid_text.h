// A wave's tiles and tokens as text.
//
// A pure function; thread-safe.
#pragma once

#include <string>

#include "client/tile_drawing.h"

namespace bwrt::client {

// Lines of ASCII, each with its newline: what the wave is, its grid with one cell a tile, what the marks in the cells
// mean, and its tokens with the open ones underlined.
//
//   +----+----+----+
//   | 1  | 2  | 3  |
//   +----+----+----+
//   | 6+ | 5  | 4  |
//   +----+----+----+
std::string TileGridText(const TileDrawing& drawing);

}  // namespace bwrt::client
