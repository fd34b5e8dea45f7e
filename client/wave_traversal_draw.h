// Random traversals: the parts of a wave that say which tiles run, and in which order. Used by wave_generator.cc.
//
// Pure functions of the draws; thread-safe.
#pragma once

#include "bwrt/v1/wave.pb.h"
#include "client/draws.h"

namespace bwrt::client {

// Sets order, swizzle, coverage and tails. m, n, bm and bn are set.
void DrawTraversal(Draws* draws, v1::SubmitWaveRequest* request);

// Sets pack_order and rows. m is set.
void DrawPacking(Draws* draws, v1::SubmitWaveRequest* request);

// Sets io_extents (if they may be there), swap window, and hints that change nothing about C. The traversal is set.
void DrawTokens(Draws* draws, bool io_extents, v1::SubmitWaveRequest* request);

}  // namespace bwrt::client
