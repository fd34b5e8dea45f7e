// SwapDecision: the durable form of "these versions become current", and the journal that keeps it.
//
// A daemon with a state directory makes a swap's decision durable before the flip, so that an acknowledged swap
// is never lost; one that then doesn't flip is durably revoked before anybody hears of it.
#ifndef BWRT_RUNTIME_SWAP_DECISION_H_
#define BWRT_RUNTIME_SWAP_DECISION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/digest.h"
#include "runtime/ids.h"

namespace bwrt::runtime {

struct SwapDecision {
  struct Part {
    std::string model;
    Version version;
    Digest manifest;        // Of the version's manifest, which is durable already.
    std::string update_id;  // Empty: the swap came from SetWeights or Rollback.
    friend bool operator==(const Part&, const Part&) = default;
  };
  uint64_t id = 0;  // Unique in one state directory.
  std::vector<Part> parts;
  friend bool operator==(const SwapDecision&, const SwapDecision&) = default;
};

// Blocking; called from one thread at a time (the executor that was given to the SwapLine). Of one model at most
// one decision is open (decided, neither revoked nor confirmed) at a time.
class SwapJournal {
 public:
  virtual ~SwapJournal() = default;
  // OK: after a crash the versions are current, until Revoke. Otherwise: they are not, and nothing is left to revoke.
  virtual absl::Status Decide(const SwapDecision& decision) = 0;
  // The decided swap did not take place. On an error a restart may find the versions current: no further decision
  // is accepted.
  virtual absl::Status Revoke(const SwapDecision& decision) = 0;
  // The decided swap took place. Nothing that must be durable: what it replaced may now be collected.
  virtual void Confirm(const SwapDecision& decision) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SWAP_DECISION_H_
