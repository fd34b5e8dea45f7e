// What `bwrtctl explain` explains: one wave out of a file, as a question for a daemon.
//
// A plain value; reading is thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

struct ExplainedWave {
  std::string name = {};  // Such as "windows[0].waves[2]".
  v1::SubmitWaveRequest request = {};
  // Keys of a planner's wave that mean nothing here.
  std::vector<std::string> ignored_keys = {};
};

struct ExplainFlags {
  std::string spec = {};  // "-" is the standard input.
  std::string svg = {};
  // Which wave of a plan. Unset: the first.
  std::optional<uint64_t> wave = {};
  // Unset: what the file says, else the smallest grid that holds every listed tile, and 512.
  std::optional<int64_t> m = {}, n = {}, k = {};
};

// Reads a planner's waves, a SubmitWaveRequest or a WaveSpec, the last two in proto JSON. The wave comes without
// operands. An error is the user's.
absl::StatusOr<ExplainedWave> ReadExplainedWave(const ExplainFlags& flags);

// As ReadExplainedWave, with the operands that a SubmitWaveRequest has.
absl::StatusOr<ExplainedWave> ReadSpecWave(const ExplainFlags& flags);

}  // namespace bwrt::client
