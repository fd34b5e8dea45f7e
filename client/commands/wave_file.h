// A FILE argument that holds waves: one request in proto JSON, or a planner's waves.
//
// A plain value; reading is thread-safe.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"
#include "client/plan.h"

namespace bwrt::client {

// Exactly one is set.
struct WaveFile {
  std::optional<v1::SubmitWaveRequest> request = {};
  std::optional<Plan> plan = {};
};

// "-" is the standard input. An error is the user's: the file cannot be read, or is neither of the
// two.
absl::StatusOr<WaveFile> ReadWaveFile(const std::string& path);

}  // namespace bwrt::client
