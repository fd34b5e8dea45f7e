// Errors with details that programs can read, carried inside absl::Status.
//
// runtime/ knows no protobuf, so the details travel as one opaque payload of the status; server/ turns them
// into google.rpc messages at the boundary.
#ifndef BWRT_RUNTIME_ERROR_H_
#define BWRT_RUNTIME_ERROR_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"

namespace bwrt::runtime {

// One thing wrong with a request. `description` names the value, the limit and the fix.
struct FieldViolation {
  std::string field;   // Path in the request, such as "spec.tile_order[3].m".
  std::string reason;  // UPPER_SNAKE.
  std::string description;
  friend bool operator==(const FieldViolation&, const FieldViolation&) = default;
};

// One condition outside the request that did not hold.
struct PreconditionViolation {
  std::string type;
  std::string subject;
  std::string description;
  friend bool operator==(const PreconditionViolation&, const PreconditionViolation&) = default;
};

struct ErrorDetails {
  std::string reason;                                         // UPPER_SNAKE.
  std::vector<std::pair<std::string, std::string>> metadata;  // The values behind the reason.
  std::vector<FieldViolation> fields;
  std::vector<PreconditionViolation> preconditions;
  std::optional<Duration> retry_after;  // Set where trying again can help.
  friend bool operator==(const ErrorDetails&, const ErrorDetails&) = default;
};

absl::Status MakeError(absl::StatusCode code, absl::string_view message, const ErrorDetails& details);

// Shorthand for an error that has a reason and no more.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message);

// The details that MakeError put in, or nullopt for a status made in another way.
std::optional<ErrorDetails> GetDetails(const absl::Status& status);

// The reason alone; empty where there is none.
std::string GetReason(const absl::Status& status);

// INVALID_ARGUMENT with every violation, or OK when there are none. `what` names the request, such as "wave".
absl::Status InvalidRequest(absl::string_view what, std::vector<FieldViolation> violations);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_ERROR_H_
