// What a device's waves and its hardware counters told, as Telemetry answers it.
#ifndef BWRT_SERVER_SERVICES_SAMPLE_CODEC_H_
#define BWRT_SERVER_SERVICES_SAMPLE_CODEC_H_

#include "bwrt/v1/telemetry.pb.h"
#include "runtime/runtime.h"

namespace bwrt::server {

// With what a planner should change, where waves have run.
void EncodeSample(const runtime::Runtime::DeviceSample& from, v1::SampleResponse* to);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_SAMPLE_CODEC_H_
