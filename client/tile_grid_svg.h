// A wave's tiles and tokens as a picture.
//
// A pure function; thread-safe.
#pragma once

#include <string>

#include "client/tile_drawing.h"

namespace bwrt::client {

// An SVG document that needs no other file: the grid to scale with the way through it, and beneath it the tokens with
// the swap window. For whoever looks into the document:
//
// 1. A cell is <rect class="tile KIND">, KIND one of listed, appended, dropped, omitted and unknown, row by row.
// 2. <path class="run"> goes through the centres of the listed tiles that run, in order, and <path class="run
// appended">
//    from the last of them through the appended ones. Where tiles in between are not shown, a path is interrupted.
// 3. A token, or a run of them too long to show, is <rect class="token">, in order, and <rect class="window"> covers
//    exactly those in the swap window; it is missing where the window holds none.
std::string TileGridSvg(const TileDrawing& drawing);

}  // namespace bwrt::client
