// TilePlan: of a wave, only what decides on which tiles run, in which order, and what they read. Validated, so that
// code behind the validator indexes and multiplies without asking again.
#ifndef BWRT_RUNTIME_TILE_PLAN_H_
#define BWRT_RUNTIME_TILE_PLAN_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "runtime/traversal.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

struct TilePlan {
  TileGrid grid;
  int64_t k = 0;
  int64_t bk = 0;  // May be more than k.
  kernels::DType dtype = kernels::DType::kF32;
  TailPolicy tails = TailPolicy::kPad;
  Traversal traversal;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TILE_PLAN_H_
