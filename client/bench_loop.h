// A closed loop: as many waves in flight as asked for, each answer followed by the next wave, and every wave timed.
//
// Free function; one thread. It has no clock of its own but the one it is given.
//
// 1. Never more than `in_flight` waves are outstanding, those that wait to be sent again included.
// 2. A wave that the daemon refuses for want of room (RESOURCE_EXHAUSTED with a delay) is sent again after that delay;
//    its time runs on.
// 3. Any other error ends the loop: what is measured would mean something else.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "client/wave_carrier.h"

namespace bwrt::client {

struct LoopPlan {
  int64_t in_flight = 1;
  // After so many waves none is sent until all are answered, though never before `in_flight` of them are outstanding.
  // 0: only at the end.
  int64_t sync_every = 64;
  // It ends with so many waves, or, when 0, with the first wave that would begin after `time`, but not before
  // `in_flight` waves.
  int64_t waves = 0;
  std::chrono::nanoseconds time = std::chrono::seconds(1);
  // Given up when no answer has come for so long.
  std::chrono::nanoseconds patience = std::chrono::minutes(1);
};

struct LoopResult {
  int64_t waves = 0;
  double seconds = 0;   // From the first wave sent to the last answer.
  int64_t refused = 0;  // Answers that led to another attempt.
  std::vector<float> latencies_us = {};
};

// - DEADLINE_EXCEEDED: no answer for as long as its patience.
// - The connection's error, or that of the first wave that failed.
absl::StatusOr<LoopResult> RunLoop(
    WaveCarrier& carrier, const LoopPlan& plan,
    const std::function<WaveCarrier::Time()>& now = [] { return std::chrono::steady_clock::now(); });

}  // namespace bwrt::client
