// What a planner should make of modelled traversals: names for them, which reads least, how the wave's own compares,
// and what spec.swizzle_group_size alone would do.
//
// Plain values and pure functions; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bwrt/v1/execution.pb.h"
#include "client/plot.h"

namespace bwrt::client {

struct ReportedTraversal {
  std::string name = {};  // Such as "groups of 8".
  v1::TraversalChoice choice = {};
  double hit_ratio = 0;
  uint64_t memory_bytes = 0;
  double relative = 1;  // memory_bytes over those of the best.
};

struct TraversalReport {
  std::vector<ReportedTraversal> traversals = {};  // As asked for; never empty.
  // The one that reads least from memory; of equals the wave's own, else the first.
  size_t best = 0;
  std::optional<size_t> given = {};  // The wave's own.
  // The best of those that the spec can ask for by swizzle_group_size; of equals the first.
  std::optional<size_t> best_swizzle = {};
  uint64_t read_bytes = 0;      // By the tiles.
  uint64_t distinct_bytes = 0;  // Of these, each once: no traversal gets along with less from memory.
};

// `request` was answered by `response`, which has a traversal.
TraversalReport ReportTraversals(const v1::ModelTraversalsRequest& request,
                                 const v1::ModelTraversalsResponse& response);

// What the spec must say for that order: its swizzle_group_size, 0 for row-major. Empty for what only tile_order can
// say.
std::optional<uint32_t> SwizzleOf(const v1::TraversalChoice& choice);

// For people: the best, how the given one compares, and what spec.swizzle_group_size would do.
std::vector<std::string> Advice(const TraversalReport& report);

// Hit ratios beside bytes from memory, a bar for each traversal.
Plot TraversalPlot(const TraversalReport& report, const std::string& title);

}  // namespace bwrt::client
