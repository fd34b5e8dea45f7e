// TokenClock: how far one wave has come, in tokens.
//
// A wave with P io_extents and T listed tiles has the tokens 0 .. P+T-1: token i < P is the prefetch of
// extent i, token P+j the j-th listed tile to run. The clock reads [lo, hi]: the smallest unfinished token and
// the largest started one.
//
// Not thread-safe: its owner, Model, guards it.
//
// Invariants:
//  1. 0 <= lo <= last and 0 <= hi <= last. Token 0 counts as started from the beginning.
//  2. hi never falls; lo never falls.
//  3. Every token below lo is finished; lo is unfinished unless everything is.
#ifndef BWRT_RUNTIME_TOKEN_CLOCK_H_
#define BWRT_RUNTIME_TOKEN_CLOCK_H_

#include <algorithm>
#include <cstdint>
#include <functional>

#include "absl/container/inlined_vector.h"

namespace bwrt::runtime {

// P and T of one wave. T >= 1.
struct TokenPlan {
  int64_t prefetch = 0;
  int64_t tiles = 1;
  int64_t total() const { return prefetch + tiles; }
  int64_t last() const { return total() - 1; }
  friend bool operator==(const TokenPlan&, const TokenPlan&) = default;
};

struct ClockReading {
  int64_t lo = 0;
  int64_t hi = 0;
  friend bool operator==(const ClockReading&, const ClockReading&) = default;
};

class TokenClock {
 public:
  explicit TokenClock(TokenPlan plan) : last_(plan.last()) {}

  // Both take a token in [0, last]. Tokens may finish in any order; finishing implies having started.
  void Start(int64_t token) { hi_ = std::max(hi_, token); }
  void Finish(int64_t token) {
    Start(token);
    if (token != unfinished_) {
      const auto at = std::lower_bound(finished_early_.begin(), finished_early_.end(), token, std::greater<>());
      if (token > unfinished_ && (at == finished_early_.end() || *at != token)) finished_early_.insert(at, token);
      return;
    }
    ++unfinished_;
    while (!finished_early_.empty() && finished_early_.back() == unfinished_) {
      finished_early_.pop_back();
      ++unfinished_;
    }
  }

  ClockReading Read() const { return {.lo = std::min(unfinished_, last_), .hi = hi_}; }
  // Where the clock of a wave that retired with a result comes to rest.
  ClockReading Resting() const { return {.lo = last_, .hi = last_}; }

 private:
  int64_t last_;
  int64_t hi_ = 0;
  int64_t unfinished_ = 0;  // last_ + 1 once everything has finished.
  // Finished tokens above unfinished_, falling: few, but for prefetches that wait for an early one. Inline, as it
  // changes under the lock that waves and swaps share.
  absl::InlinedVector<int64_t, 8> finished_early_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TOKEN_CLOCK_H_
