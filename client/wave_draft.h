// A wave without its operands' bytes, and the operands that a seed gives it: what can be written down in a few lines
// and run again.
//
// Plain values and pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

// Operands keep their strides. One that brings its own bytes is inline and empty; for a C that is not, the wave
// supplies none.
struct WaveDraft {
  v1::SubmitWaveRequest request = {};  // No bias.
  bool bias = false;                   // It has one.
};

// Takes the bytes out.
WaveDraft DraftOf(v1::SubmitWaveRequest request);

// As a question for ValidateWave: operands are absent, their strides are not.
v1::SubmitWaveRequest WithoutOperands(const WaveDraft& draft);

// Of A and W: what the spec says, else the type of the stored W (null: it has none), else f32.
DType InputDTypeOf(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w);

// Of C: what the request says, else f32.
DType OutputDTypeOf(const v1::SubmitWaveRequest& request);

// Which draws fill a wave's operands.
struct OperandSeed {
  uint64_t seed = 0;
  uint64_t wave = 0;
};

// The wave with operands of its own: equal on every platform, another for each seed and wave. The values of A, W and C
// are of one kind each (client/matrix_draw.h); gaps of A and W are NaN, those of C sentinels. A C that beta = 0 leaves
// out is all NaN, so that an element nobody wrote shows. The draft is one that ValidateWave accepts.
// - RESOURCE_EXHAUSTED: its operands, or C, have more than `max_bytes` bytes. Nothing was allocated.
absl::StatusOr<v1::SubmitWaveRequest> FillOperands(const WaveDraft& draft, DType dtype, const OperandSeed& seed,
                                                   uint64_t max_bytes);

// "a", "w" (the stored one, where there is one), "c" and "bias", those that the wave has, to the xxh3 digest of their
// bytes.
std::map<std::string, std::string> OperandDigests(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w);

}  // namespace bwrt::client
