// The errors for work that comes when the daemon takes none.
#ifndef BWRT_RUNTIME_NOT_SERVING_H_
#define BWRT_RUNTIME_NOT_SERVING_H_

#include <chrono>

#include "absl/status/status.h"
#include "runtime/error.h"

namespace bwrt::runtime {

inline absl::Status DrainingError() {
  return MakeError(absl::StatusCode::kUnavailable, "DRAINING",
                   "this daemon is draining and takes no new work; go to another");
}

inline absl::Status RestoringError() {
  ErrorDetails details;
  details.reason = "RESTORING";
  details.retry_after = std::chrono::milliseconds(200);
  return MakeError(absl::StatusCode::kUnavailable,
                   "this daemon is reading its weights back from the state directory; retry soon, or watch its health",
                   details);
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_NOT_SERVING_H_
