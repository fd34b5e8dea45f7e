// Failpoints: named steps at which a test may stop the process, or make it wait. The daemon that is shipped has
// none: its pointer is null.
#ifndef BWRT_RUNTIME_FAILPOINTS_H_
#define BWRT_RUNTIME_FAILPOINTS_H_

#include "absl/strings/string_view.h"

namespace bwrt::runtime {

// Thread-safe.
class Failpoints {
 public:
  virtual ~Failpoints() = default;
  // `step` is reached, such as "commit.decided".
  virtual void Reach(absl::string_view step) = 0;
};

inline void Reach(Failpoints* failpoints, absl::string_view step) {
  if (failpoints != nullptr) failpoints->Reach(step);
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_FAILPOINTS_H_
