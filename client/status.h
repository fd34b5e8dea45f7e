// Errors of the daemon as absl::Status, and what they carry.
//
// Free functions over values; thread-safe. The google.rpc details of an error travel as one payload
// of the absl::Status: the serialized google.rpc.Status, under kDetailsUrl.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"

namespace grpc {
class Status;
}

namespace bwrt::client {

inline constexpr absl::string_view kDetailsUrl = "type.googleapis.com/google.rpc.Status";

// The only conversions from the wire's errors.
absl::Status FromGrpcStatus(const grpc::Status& status);
absl::Status FromRpcStatus(const google::rpc::Status& status);

struct FieldViolation {
  std::string field;        // Path in the request, such as "spec.tile_order[3].m".
  std::string reason;       // UPPER_SNAKE.
  std::string description;  // Value, limit and fix.
};

struct PreconditionViolation {
  std::string type;     // Such as "SWAP_WINDOW".
  std::string subject;  // What it is about.
  std::string description;
};

struct ErrorDetails {
  std::string reason;  // UPPER_SNAKE; empty when the error did not come from the daemon.
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> field_violations;
  std::vector<PreconditionViolation> precondition_violations;
  std::optional<absl::Duration> retry_delay;
};

// What `status` carries; empty members for what it does not.
ErrorDetails DetailsOf(const absl::Status& status);

// An INVALID_ARGUMENT of our own, in the form the daemon's have.
absl::Status InvalidFields(absl::string_view message, std::vector<FieldViolation> violations);

// True for an error of the transport: nobody answered. A daemon that refuses gives a reason.
bool IsUnreachable(const absl::Status& status);

// For people: code, reason and message, then one line a violation. No newline at the end.
std::string FormatError(const absl::Status& status);

}  // namespace bwrt::client
