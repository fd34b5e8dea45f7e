// Waves between the wire and the runtime. Decoding checks nothing: that is WaveValidator's work.
#ifndef BWRT_SERVER_SERVICES_WAVE_CODEC_H_
#define BWRT_SERVER_SERVICES_WAVE_CODEC_H_

#include <memory>

#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/telemetry.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "kernels/dtype.h"
#include "runtime/readings.h"
#include "runtime/wave.h"
#include "runtime/wave_request.h"

namespace bwrt::server {

// The operands' bytes stay where they are: `owner` must keep `wave` alive.
runtime::WaveRequest DecodeWave(const v1::SubmitWaveRequest& wave, std::shared_ptr<const void> owner);

DType EncodeDType(kernels::DType dtype);
void EncodeReadings(const runtime::Readings& readings, v1::Readings* out);
// What ran, or would run.
void EncodeEffective(const runtime::Wave& wave, const runtime::EffectiveSpec& effective, v1::EffectiveSpec* out);
void EncodeTokens(const runtime::Wave& wave, v1::TokenPlan* out);
void EncodePlacement(const runtime::Placement& placement, v1::Placement* out);
// Moves C into `out`.
void EncodeResult(const runtime::Wave& wave, runtime::WaveResult&& result, v1::WaveResult* out);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_WAVE_CODEC_H_
