#include "runtime/swap_window.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

bool WindowSnapshot::IsOpen() const {
  const auto allows = [](const WindowClaim& claim) { return Allows(claim.window, claim.clock); };
  if (!in_flight.empty()) return std::all_of(in_flight.begin(), in_flight.end(), allows);
  return !resting || allows(*resting);
}

SwapVerdict Decide(SwapPolicy policy, bool open, bool idle) {
  if (open) return SwapVerdict::kFlip;
  switch (policy) {
    case SwapPolicy::kInWindow:
      return SwapVerdict::kRefuse;
    case SwapPolicy::kWaitForWindow:
      return SwapVerdict::kWait;
    case SwapPolicy::kWhenIdle:
      return idle ? SwapVerdict::kFlip : SwapVerdict::kRefuse;
  }
  return SwapVerdict::kRefuse;
}

absl::Status CheckPolicy(SwapPolicy policy, bool allow_when_idle) {
  if (policy != SwapPolicy::kWhenIdle || allow_when_idle) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "WHEN_IDLE_FORBIDDEN",
                   "policy=WHEN_IDLE: this daemon forbids it (--allow-when-idle=false); use IN_WINDOW or "
                   "WAIT_FOR_WINDOW");
}

std::string Describe(const WindowClaim& claim) {
  return absl::StrCat("wave ", claim.wave.value(), claim.wave_id.empty() ? "" : " (", claim.wave_id,
                      claim.wave_id.empty() ? "" : ")", claim.in_flight ? " in flight" : " resting", ": window [",
                      claim.window.begin, ",", claim.window.end, "), clock [", claim.clock.lo, ",", claim.clock.hi,
                      "]");
}

}  // namespace bwrt::runtime
