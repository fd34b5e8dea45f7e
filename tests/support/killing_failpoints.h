// KillingFailpoints: ends the process, by SIGKILL, at a step of its work.
//
// Configured by the environment, so that a daemon's command line stays what it is:
//   BWRT_FAILPOINT="step[:n]"    die when `step` is reached for the n-th time; n is 1 unless given
//   BWRT_FAILPOINT_TRACE="PATH"  append the name of each step, when it is first reached, to a file, one a line
#ifndef BWRT_TESTS_SUPPORT_KILLING_FAILPOINTS_H_
#define BWRT_TESTS_SUPPORT_KILLING_FAILPOINTS_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/failpoints.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

// Every step of a daemon with a state directory.
std::vector<std::string> AllSteps();

// Thread-safe.
class KillingFailpoints final : public Failpoints {
 public:
  static constexpr char kStepVariable[] = "BWRT_FAILPOINT";
  static constexpr char kTraceVariable[] = "BWRT_FAILPOINT_TRACE";

  // Reads the environment; a step that can't be understood is never reached.
  KillingFailpoints();

  void Reach(absl::string_view step) override;

 private:
  std::string step_;
  std::string trace_;
  Mutex mu_;
  int64_t left_ ABSL_GUARDED_BY(mu_) = 1;  // Times that step_ is still to be reached.
  std::set<std::string> reached_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_KILLING_FAILPOINTS_H_
