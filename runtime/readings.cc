#include "runtime/readings.h"

namespace bwrt::runtime {

absl::string_view Name(Source source) {
  switch (source) {
    case Source::kHardware:
      return "hardware";
    case Source::kKernel:
      return "kernel";
    case Source::kModel:
      return "model";
  }
  return "unknown";
}

std::vector<Advice> Advise(const Readings& r) {
  std::vector<Advice> advice;
  if (r.wgmma_active && r.wgmma_active->ratio < kLowWgmmaActive) {
    advice.push_back({"wgmma_active", r.wgmma_active->ratio,
                      "low wgmma_active: choose larger bm or bn, so that more work follows each load"});
  }
  if (r.tma_occ && r.tma_occ->ratio < kLowTmaOcc) {
    advice.push_back(
        {"tma_occ", r.tma_occ->ratio, "low tma_occ: add prefetch (more or longer io_extents, or more stages)"});
  }
  if (r.l2_hit && r.l2_hit->ratio < kLowL2Hit) {
    advice.push_back({"l2_hit", r.l2_hit->ratio, "low l2_hit: widen swizzle_group_size or give a richer tile_order"});
  }
  if (r.ring_occ && r.ring_occ->ratio < kRingLow) {
    advice.push_back(
        {"ring_occ", r.ring_occ->ratio, "ring below 30 %: the consumers starve; prefetch earlier or add stages"});
  }
  if (r.ring_occ && r.ring_occ->ratio > kRingHigh) {
    advice.push_back(
        {"ring_occ", r.ring_occ->ratio, "ring above 60 %: the producers wait; use fewer stages or larger tiles"});
  }
  return advice;
}

}  // namespace bwrt::runtime
