// WaveCarrier: brings copies of one wave to a daemon, many at a time, and their answers back.
//
// For load generators: it is asynchronous and has no threads, so that what they measure is the daemon and not the
// client's own threads waking each other. One thread uses it. Destroying it cancels what is in flight.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

class WaveCarrier {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Answer {
    uint64_t id = 0;
    // How the wave ended; an error carries the daemon's details (client/status.h).
    absl::Status status = {};
  };

  virtual ~WaveCarrier() = default;

  // Sends the wave once more. `id` names it until its answer has come.
  virtual void Send(uint64_t id) = 0;

  // Waits until answers have come, but not beyond `deadline`, and appends them. An error is the connection's, not a
  // wave's: nothing more will come.
  virtual absl::Status Receive(Time deadline, std::vector<Answer>* answers) = 0;
};

struct CarrierOptions {
  std::string address = {};
  // With its operands. Every answer must bring a C of its size.
  v1::SubmitWaveRequest wave = {};
  // The most that will be in flight at a time, > 0.
  int64_t in_flight = 1;
};

// The daemon stops reading a stream while as many of its waves are in flight.
inline constexpr int64_t kWavesPerStream = 64;

// Over StreamWaves: one stream for each kWavesPerStream waves in flight, all of one connection.
// - UNAVAILABLE: nobody accepts there.
absl::StatusOr<std::unique_ptr<WaveCarrier>> CarryByStreams(const CarrierOptions& options);

// Over SubmitWave: one call for each wave, all of one connection. Errors as above.
absl::StatusOr<std::unique_ptr<WaveCarrier>> CarryByCalls(const CarrierOptions& options);

}  // namespace bwrt::client
