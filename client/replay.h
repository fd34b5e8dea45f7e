// Runs a plan's waves on a daemon and judges what comes back.
//
// Replay is a plain function; the client must be alive while it runs. Each wave brings its own A
// and W, drawn from the generator (client/operands.h) by its position in the plan, or takes W from
// the daemon. Waves are sent in the plan's order, several at a time, each with a deadline of its
// own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/plan.h"

namespace bwrt::client {

struct ReplayOptions {
  std::string model = {};  // Empty: the daemon's default.
  DType dtype = F32;       // Of A and W.
  DType c_dtype = F32;     // F32 or dtype.
  int64_t k = 512;
  uint64_t seed = 0;
  bool verify = false;  // Compare each tile with the reference.
  // Take W from this tensor of the model. Empty: each wave brings its own.
  std::string tensor = {};
  // The seed `tensor` was published with (`bwrtctl weights set ... NAME:...=random:SEED`); to
  // verify.
  std::optional<uint64_t> tensor_seed = {};
  int in_flight = 8;                           // Waves at a time, at least 1.
  absl::Duration timeout = absl::Seconds(60);  // For one wave, retries on a full queue included.
  // Called after every wave with how many are done; one call at a time, from any thread. Optional.
  std::function<void(uint64_t done)> on_progress = {};
};

struct ReplayFailure {
  std::string wave;     // Its path in the plan.
  absl::Status status;  // The RPC's, or DATA_LOSS for a wrong result.
};

struct ReplayResult {
  uint64_t waves = 0;
  uint64_t verified = 0;                     // Waves whose every tile agreed with the reference.
  uint64_t failed = 0;                       // Waves refused, or answered wrongly.
  uint64_t tiles = 0;                        // Tiles of the waves that ran, those that the daemon appended included.
  double max_rel_error = 0;                  // The worst tile's; 0 unless verifying.
  double seconds = 0;                        // Wall time, generation and verification included.
  std::vector<ReplayFailure> failures = {};  // The first in the plan's order, at most 10.
};

// The request of wave number `index` of a plan. RESOURCE_EXHAUSTED: it does not fit into one
// message.
absl::StatusOr<v1::SubmitWaveRequest> MakeReplayRequest(const PlannedWave& wave, uint64_t index,
                                                        const ReplayOptions& options);

// DATA_LOSS unless the daemon understood the wave as the plan means it: P, T, window, tiles.
absl::Status CheckEcho(const PlannedWave& wave, const v1::WaveResult& result);

// UNAVAILABLE: the daemon cannot be reached; the rest of the plan was not tried.
absl::StatusOr<ReplayResult> Replay(Client& client, const Plan& plan, const ReplayOptions& options);

}  // namespace bwrt::client
