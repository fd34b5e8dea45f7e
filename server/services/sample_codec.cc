#include "server/services/sample_codec.h"

#include <optional>

#include "runtime/device_counters.h"
#include "runtime/readings.h"
#include "server/services/wave_codec.h"

namespace bwrt::server {
namespace {

void EncodeCounters(const runtime::DeviceCounters& counters, v1::Readings* out) {
  const auto set = [](const std::optional<double>& from, auto mutable_reading) {
    if (!from) return;
    v1::Reading* to = mutable_reading();
    to->set_ratio(*from);
    to->set_source(v1::HARDWARE);
  };
  set(counters.wgmma_active, [out] { return out->mutable_wgmma_active_hardware(); });
  set(counters.l2_hit, [out] { return out->mutable_l2_hit_hardware(); });
  set(counters.sm_active, [out] { return out->mutable_sm_active(); });
  set(counters.dram_throughput, [out] { return out->mutable_dram_throughput(); });
}

}  // namespace

void EncodeSample(const runtime::Runtime::DeviceSample& from, v1::SampleResponse* to) {
  to->set_device(from.device);
  EncodeReadings(from.sample.readings, to->mutable_readings());
  EncodeCounters(from.counters, to->mutable_readings());
  to->set_waves(static_cast<uint32_t>(from.sample.waves));
  to->set_compute_seconds(runtime::Seconds(from.sample.compute));
  // What the GPU does for others is no advice to a planner.
  if (from.sample.waves == 0) return;
  for (const runtime::Advice& advice : runtime::Advise(runtime::BestOf(from.sample.readings, from.counters))) {
    v1::Advice* out = to->add_advice();
    out->set_metric(advice.metric);
    out->set_ratio(advice.ratio);
    out->set_text(advice.text);
  }
}

}  // namespace bwrt::server
