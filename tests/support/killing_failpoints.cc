#include "tests/support/killing_failpoints.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "runtime/state/steps.h"

namespace bwrt::runtime {
namespace {

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::vector<std::string> AllSteps() {
  std::vector<std::string> steps(kStateSteps.begin(), kStateSteps.end());
  steps.insert(steps.end(),
               {"stage.chunk", "precommit.begin", "precommit.verified", "precommit.stored", "precommit.recorded",
                "commit.deciding", "commit.decided", "commit.flipped", "commit.revoking", "commit.revoked",
                "commit.loaded", "abort.begin", "rollback.begin", "delete.begin", "delete.recorded"});
  return steps;
}

KillingFailpoints::KillingFailpoints() : trace_(Variable(kTraceVariable)) {
  const std::string text = Variable(kStepVariable);
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  MutexLock lock(mu_);
  if (parts.second.empty() || absl::SimpleAtoi(parts.second, &left_)) step_ = parts.first;
}

void KillingFailpoints::Reach(absl::string_view step) {
  MutexLock lock(mu_);
  if (!trace_.empty() && reached_.emplace(step).second) std::ofstream(trace_, std::ios::app) << step << '\n';
  if (step != step_ || --left_ > 0) return;
  kill(getpid(), SIGKILL);
  // The signal may come a moment later; nothing more must happen until then.
  while (true) pause();
}

}  // namespace bwrt::runtime
