// The one error for work that comes while the daemon drains.
#ifndef BWRT_RUNTIME_DRAIN_H_
#define BWRT_RUNTIME_DRAIN_H_

#include "absl/status/status.h"
#include "runtime/error.h"

namespace bwrt::runtime {

inline absl::Status DrainingError() {
  return MakeError(absl::StatusCode::kUnavailable, "DRAINING",
                   "this daemon is draining and takes no new work; go to another");
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_DRAIN_H_
