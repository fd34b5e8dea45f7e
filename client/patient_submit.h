// One wave, submitted with patience: a full queue is waited out as the daemon asks.
//
// A free function; thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bwrt/v1/wave.pb.h"
#include "client/client.h"

namespace bwrt::client {

// As Client::SubmitWave, all tries within `timeout`.
absl::StatusOr<v1::WaveResult> SubmitPatiently(Client& client, const v1::SubmitWaveRequest& request,
                                               absl::Duration timeout);

}  // namespace bwrt::client
