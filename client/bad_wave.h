// A wave that a daemon must refuse, and how.
//
// A plain value and pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

struct ExpectedViolation {
  std::string field;   // Path in the request.
  std::string reason;  // UPPER_SNAKE.

  friend bool operator==(const ExpectedViolation&, const ExpectedViolation&) = default;
  friend auto operator<=>(const ExpectedViolation&, const ExpectedViolation&) = default;
};

struct BadWave {
  v1::SubmitWaveRequest request = {};
  // What was broken, such as "alpha is not finite"; several joined by " and ".
  std::string flaw = {};
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  // The reason of ErrorInfo; with violations it is that of any of them, and this is empty.
  std::string reason = {};
  // All that BadRequest must list, in any order, and nothing besides.
  std::vector<ExpectedViolation> violations = {};
};

// What is wrong with `status` as the answer to `wave`, in words; empty where nothing is.
std::string Misjudged(const BadWave& wave, const absl::Status& status);

}  // namespace bwrt::client
