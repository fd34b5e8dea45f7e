// Runs a reference and a device in lock step over waves drawn from a seed, and says where they part.
//
// Plain functions; used by one thread. The daemons must outlive the call and run nothing else of the models it
// publishes.
//
// 1. Wave i of a seed is the same wave with the same operands and weights in every run with a daemon of the same
//    capabilities and the same swap_every, whatever is compared.
// 2. Each wave runs on both, one after the other, before the next begins; weights are swapped in between.
// 3. The bytes of both results are compared by digest. Where they differ the device is still right within the tolerance
//    of client/wave_oracle.h, tile by tile; elements of tiles that do not run must be equal in any case.
// 4. A result must also come from the device that is verified, and from the version that was published last.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/matrix_rect.h"
#include "client/verify_bundle.h"
#include "client/verify_daemon.h"
#include "client/wave_draft.h"

namespace bwrt::client {

struct VerifyOptions {
  std::string device = "cpu";
  std::string ref_device = "reference";
  uint64_t waves = 1024;
  uint64_t seed = 0;
  uint64_t compare_every = 1;             // Compares each K-th wave, K >= 1. The client's own engine computes no other.
  uint64_t swap_every = 64;               // Waves between two swaps of weights; 0: none.
  std::optional<MatrixRect> region = {};  // Of C; clipped to each wave's.
  std::optional<WaveDraft> wave = {};     // The wave to run. Unset: random ones.
  absl::Duration timeout = absl::Seconds(60);  // Of one wave on one device.
  bool keep_going = false;                     // Do not stop at the first mismatch.
  // Called after every wave with how many are done. Optional.
  std::function<void(uint64_t done)> on_progress = {};
};

// Where waves run. A device that is kReferenceDevice has no daemon.
struct VerifySides {
  VerifyDaemon* device = nullptr;
  VerifyDaemon* reference = nullptr;
  // Says which waves are valid: the device's daemon, else the reference's, else any. Never null.
  VerifyDaemon* judge = nullptr;
};

struct VerifyMismatch {
  VerifyCase of = {};
  VerifyFinding finding = {};
};

// Of the waves of one type of A and W that were compared.
struct TypeError {
  double worst = 0;  // Tile of any wave that was not bit-equal, as client/wave_oracle.h measures it.
  double tolerance = 0;
};

struct VerifyReport {
  uint64_t waves = 0;  // That ran.
  uint64_t compared = 0;
  uint64_t exact = 0;         // Of these, bit-equal.
  uint64_t not_compared = 0;  // Due to be compared, but C has no element in the region.
  uint64_t mismatches = 0;
  uint64_t swaps = 0;
  uint64_t swaps_refused = 0;  // By the daemon's swap policy; the waves went on with the version before.
  double seconds = 0;
  std::map<std::string, TypeError> errors = {};  // By DTypeName.
  std::optional<VerifyMismatch> first_mismatch = {};
  // Unless OK, the device's daemon is gone and what was left did not run.
  absl::Status lost = absl::OkStatus();
};

// A device that fails is a mismatch; what else fails ends the run:
// - INVALID_ARGUMENT and others of ValidateWave: options.wave cannot run.
// - RESOURCE_EXHAUSTED: a wave does not fit into one message of a daemon.
// - and those of the reference's daemon.
absl::StatusOr<VerifyReport> Verify(const VerifySides& sides, const VerifyOptions& options);

// Runs the one wave of a bundle. Of the options devices, region and timeout count.
// - FAILED_PRECONDITION: other operands came out than the bundle tells of.
// - and those of Verify.
absl::StatusOr<VerifyReport> VerifyAgain(const VerifySides& sides, const VerifyCase& of, const VerifyOptions& options);

}  // namespace bwrt::client
