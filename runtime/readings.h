// Readings: the ratios a planner steers by, what hardware counters say beside them, and the advice drawn from them.
#ifndef BWRT_RUNTIME_READINGS_H_
#define BWRT_RUNTIME_READINGS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace bwrt::runtime {

enum class Source { kHardware, kKernel, kModel };

absl::string_view Name(Source source);  // "hardware", "kernel", "model".

struct Reading {
  double ratio = 0;  // In [0, 1].
  Source source = Source::kKernel;
  friend bool operator==(const Reading&, const Reading&) = default;
};

// A reading that has no source is absent, never 0.
struct Readings {
  std::optional<Reading> wgmma_active;  // Tensor-core (CPU: micro-kernel) share of the compute time.
  std::optional<Reading> tma_occ;       // Share of time with asynchronous copies outstanding.
  std::optional<Reading> l2_hit;        // Hit ratio of operand reads in the cache that tiles share: a GPU's L2.
  std::optional<Reading> ring_occ;      // Mean fill of the operand ring.
  // Measured, where it is: in an L2 (on a processor, a core's own), or in the last level. No advice is drawn from them:
  // they count a tile's repeated reads too, which no order of tiles changes.
  std::optional<Reading> l2_hit_hardware = {};
  std::optional<Reading> llc_hit_hardware = {};
  friend bool operator==(const Readings&, const Readings&) = default;
};

struct Advice {
  std::string metric;
  double ratio = 0;
  std::string text;
};

// Below these a reading counts as low; the ring's good range is the planner handoff's.
inline constexpr double kLowWgmmaActive = 0.70;
inline constexpr double kLowTmaOcc = 0.30;
inline constexpr double kLowL2Hit = 0.60;
inline constexpr double kRingLow = 0.30;
inline constexpr double kRingHigh = 0.60;

// What a planner should change; empty when every present reading is good.
std::vector<Advice> Advise(const Readings& readings);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_READINGS_H_
