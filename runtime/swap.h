// A swap: the request to make prepared versions current, and what came of it.
#ifndef BWRT_RUNTIME_SWAP_H_
#define BWRT_RUNTIME_SWAP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "runtime/clock.h"
#include "runtime/digest.h"
#include "runtime/swap_decision.h"
#include "runtime/swap_window.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

class Model;

struct SwapOptions {
  SwapPolicy policy = SwapPolicy::kInWindow;
  Duration wait_timeout = std::chrono::seconds(30);  // kWaitForWindow, from the ticket's arrival.
  std::optional<Duration> hold_after;                // kWaitForWindow, from the ticket's arrival.
};

// A place in the line of swaps. Kept when a swap has to be rebuilt on a newer base, so that it does not lose its
// turn or gain time.
struct SwapTicket {
  uint64_t number = 0;
  Time arrival;
  Duration held{0};  // How long it has had new waves held back.
};

// One model's share of a swap.
struct SwapPart {
  std::shared_ptr<Model> model;
  WeightVersion::Ptr next;         // Built on a version of the model.
  std::optional<Digest> manifest;  // Of `next` in the state directory.
};

struct SwapFlip {
  Version previous;
  Version version;
};

struct SwapOutcome {
  enum class Kind {
    kFlipped,
    // A version was built on a base that is no longer current. Nothing changed: build it anew and ask again with
    // the same ticket.
    kBaseMoved,
    kFailed,
  };
  Kind kind = Kind::kFailed;
  absl::Status status;  // kFailed: why.
  SwapTicket ticket;
  std::vector<SwapFlip> flips;  // kFlipped: one a part.
  Duration waited{0};           // Since the ticket's arrival.
  Duration paused{0};           // kFlipped in place: since no wave of the models could start.
};

using SwapCallback = std::function<void(const SwapOutcome&)>;

struct SwapRequest {
  SwapTicket ticket;
  std::vector<SwapPart> parts;  // At least one; the models differ.
  SwapOptions options;
  // Set where there is a state directory: made durable before the flip.
  std::optional<SwapDecision> decision;
  // Nobody may use the replaced versions while the new ones come: the flip waits until nothing is in flight, with new
  // waves held, and the models then stay paused until FinishLoading.
  bool in_place = false;
  // Called exactly once, outside the lock, possibly inside Swap.
  SwapCallback done;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SWAP_H_
