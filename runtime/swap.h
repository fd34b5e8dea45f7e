// A swap: the request to make a prepared version current, and what came of it.
#ifndef BWRT_RUNTIME_SWAP_H_
#define BWRT_RUNTIME_SWAP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "runtime/clock.h"
#include "runtime/swap_window.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

struct SwapOptions {
  SwapPolicy policy = SwapPolicy::kInWindow;
  Duration wait_timeout = std::chrono::seconds(30);  // kWaitForWindow, from the ticket's arrival.
  std::optional<Duration> hold_after;                // kWaitForWindow, from the ticket's arrival.
};

// A place in a model's line of swaps. Kept when a swap has to be rebuilt on a newer base, so that it does not
// lose its turn or gain time.
struct SwapTicket {
  uint64_t number = 0;
  Time arrival;
  Duration held{0};  // How long it has had new waves held back.
};

struct SwapOutcome {
  enum class Kind {
    kFlipped,
    // The version was built on a base that is no longer current. Nothing changed: build it anew and ask
    // again with the same ticket.
    kBaseMoved,
    kFailed,
  };
  Kind kind = Kind::kFailed;
  absl::Status status;  // kFailed: why.
  SwapTicket ticket;
  Version previous;  // kFlipped.
  Version version;   // kFlipped.
  Duration waited{0};
};

using SwapCallback = std::function<void(const SwapOutcome&)>;

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SWAP_H_
