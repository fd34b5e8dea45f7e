// The swap window: when a model's version may flip. Pure functions of a snapshot; Model carries them out.
//
// A model's window is open iff for every wave of it in flight `begin <= lo` and `hi < end`; with none in
// flight the wave that retired last is tested with its resting clock; before the first wave, and after a
// restart, it is open.
#ifndef BWRT_RUNTIME_SWAP_WINDOW_H_
#define BWRT_RUNTIME_SWAP_WINDOW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/ids.h"
#include "runtime/token_clock.h"

namespace bwrt::runtime {

// The tokens [begin, end) in which a wave's planner allows a flip.
struct SwapWindow {
  int64_t begin = 0;
  int64_t end = 1;
  friend bool operator==(const SwapWindow&, const SwapWindow&) = default;
};

inline bool Allows(const SwapWindow& window, const ClockReading& clock) {
  return window.begin <= clock.lo && clock.hi < window.end;
}

// One wave as the window sees it.
struct WindowClaim {
  WaveNumber wave;
  std::string wave_id;  // The client's own; may be empty.
  SwapWindow window;
  ClockReading clock;
  bool in_flight = false;
  friend bool operator==(const WindowClaim&, const WindowClaim&) = default;
};

// Everything the window depends on. With waves in flight `resting` does not matter.
struct WindowSnapshot {
  std::vector<WindowClaim> in_flight;
  std::optional<WindowClaim> resting;  // The wave that retired last; none before the first.

  // The claims the window is tested against.
  std::vector<WindowClaim> Tested() const {
    if (!in_flight.empty()) return in_flight;
    if (resting) return {*resting};
    return {};
  }
  bool IsOpen() const;
};

enum class SwapPolicy {
  kInWindow = 0,
  kWaitForWindow = 1,
  kWhenIdle = 2,
};

enum class SwapVerdict {
  kFlip,
  kRefuse,
  kWait,
};

// What happens to a swap that asks now. kWhenIdle must have been allowed by the caller.
SwapVerdict Decide(SwapPolicy policy, bool open, bool idle);

// FAILED_PRECONDITION, reason WHEN_IDLE_FORBIDDEN, for a policy that this daemon does not allow.
absl::Status CheckPolicy(SwapPolicy policy, bool allow_when_idle);

// Whether a new wave may start. While waves are held back for a waiting swap, one may start only alone: waves
// that overlap can keep the window closed for ever, a single wave passes through its whole window.
inline bool MayStart(bool holding, bool idle) { return !holding || idle; }

// "wave 17 (id) window [4,8) clock [2,3]", for errors.
std::string Describe(const WindowClaim& claim);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SWAP_WINDOW_H_
