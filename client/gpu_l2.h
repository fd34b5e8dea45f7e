// The L2 caches of GPUs that a planner may plan for, by name.
//
// Pure functions over a constant table; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace bwrt::client {

struct GpuL2 {
  absl::string_view name;    // Such as "h100".
  int64_t l2_bytes;          // As the driver reports it; all of it, though two partitions may share it.
  uint32_t multiprocessors;  // Of the part as sold, not of the full die.
};

// In either case; empty for a name that is not in the table.
std::optional<GpuL2> FindGpuL2(absl::string_view name);

// All names, for error texts: "a100, b200, ...".
std::string GpuL2Names();

}  // namespace bwrt::client
