// Random operands and epilogues of waves. Used by wave_generator.cc.
//
// Pure functions of the draws; thread-safe.
#pragma once

#include "bwrt/v1/wave.pb.h"
#include "client/draws.h"

namespace bwrt::client {

// Sets A, W (unless it names a tensor), C, alpha, beta, bias and activation. Sizes, w_transposed and c_dtype are set;
// `dtype` is that of A and W.
void DrawOperands(Draws* draws, DType dtype, v1::SubmitWaveRequest* request);

}  // namespace bwrt::client
