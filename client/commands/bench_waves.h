// The waves that `bwrtctl bench` sends: what its flags describe, and what they need of a daemon.
//
// Plain values; free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

// Sizes that go together, and how many waves of them are worth having in flight.
enum class BenchPreset {
  kSmall,    // One tile of 128 x 128 x 128: what it costs to leave the process.
  kDecode,   // M = 1, N = K = 4096.
  kPrefill,  // M = 128 and 512, N = K = 4096.
};

struct BenchWaveFlags {
  BenchPreset preset = BenchPreset::kSmall;
  // Each instead of the preset's.
  std::vector<int64_t> m = {};
  std::optional<int64_t> n = {}, k = {};
  // "BMxBN" or "BMxBNxBK". Empty: 128x128. One sweep for each.
  std::vector<std::string> tiles = {};
  DType dtype = F32;
  // Empty: DTYPE_UNSPECIFIED, which is f32.
  DType c_dtype = DTYPE_UNSPECIFIED;
  // A file as `explain` reads it, instead of all of the above but the sizes that it leaves open.
  std::string spec = {};
  std::optional<uint64_t> wave = {};
};

// One sweep's wave.
struct BenchWave {
  std::string name = {};
  // With A drawn and W by the name of a tensor that has still to be published.
  v1::SubmitWaveRequest request = {};
};

// The default of --in-flight.
std::vector<int64_t> InFlightOf(BenchPreset preset);

// The waves, without A: their names are all different. An error is the user's.
absl::StatusOr<std::vector<BenchWave>> ReadBenchWaves(const BenchWaveFlags& flags);

// Takes what a tile shape leaves open from the first shape of the whitelist that it fits: the step, the stages and the
// cluster. Where none fits they are 64, 1 and 1x1.
void CompleteTile(const v1::GetCapabilitiesResponse& capabilities, v1::SubmitWaveRequest* request);

// Draws A.
absl::Status DrawA(v1::SubmitWaveRequest* request);

// The tensor that `request` takes its W from, drawn.
absl::StatusOr<v1::Tensor> DrawW(const v1::SubmitWaveRequest& request);

// What one of them makes a daemon hold while it waits or runs: A and C. Saturates.
int64_t HeldBytes(const v1::SubmitWaveRequest& request);

// What one of them takes in memory on its whole way, of daemon and client together, at most: A as sent, received and
// decoded, C as computed, sent, received and decoded. Saturates.
int64_t FootprintBytes(const v1::SubmitWaveRequest& request);

}  // namespace bwrt::client
