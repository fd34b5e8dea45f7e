// Failpoints: named steps at which a test may stop the process, make it wait, or make a step fail. The daemon that is
// shipped has none: its pointer is null.
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
  // Whether `step`, such as "memory.allocate", is to fail now.
  virtual bool Fails(absl::string_view /*step*/) { return false; }
};

inline void Reach(Failpoints* failpoints, absl::string_view step) {
  if (failpoints != nullptr) failpoints->Reach(step);
}

inline bool Fails(Failpoints* failpoints, absl::string_view step) {
  return failpoints != nullptr && failpoints->Fails(step);
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_FAILPOINTS_H_
