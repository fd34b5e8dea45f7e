// What `bwrtctl bench` measured, with all that is needed to judge it later: a JSON file.
//
// A plain value; encoding and decoding are thread-safe. Decoding trusts nothing: files of other versions, and values
// that no run can have produced, are refused by field.
//
//   {"format": "bwrt-bench", "version": 1, "created": "2026-01-31T12:00:00.5+00:00",
//    "machine": {"cpu", "cores", "memory_bytes", "kernel"}, "build": {"version", "compiler", "mode"},
//    "libraries": {NAME: VERSION}, "flags": {NAME: VALUE}, "sync_every": 64, "warmup_waves": 256,
//    "cases": [{"name", "spec": {"m", "n", "k", "bm", "bn", "bk", "dtype"}, "in_flight": 64, "waves": 8192,
//               "seconds", "waves_per_second", "gflops", "p50_us", "p99_us", "refused": 0,
//               "rounds": [{"waves": 2048, "seconds": 0.5}]}]}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bwrt/wavespec.pb.h"

namespace bwrt::client {

struct BenchMachine {
  std::string cpu = {};  // The processor's name; empty where not known.
  int64_t cores = 0;     // That the run could use; > 0.
  int64_t memory_bytes = 0;
  std::string kernel = {};  // Of the operating system, such as "6.1.0-18-amd64".
};

// The daemon's, as GetCapabilities says it.
struct BenchBuild {
  std::string version = {};
  std::string compiler = {};
  std::string mode = {};
};

// All > 0. dtype is F32, F16 or BF16.
struct BenchSpec {
  int64_t m = 0, n = 0, k = 0;
  int64_t bm = 0, bn = 0, bk = 0;
  DType dtype = F32;
};

struct BenchRound {
  int64_t waves = 0;   // That were answered, > 0.
  double seconds = 0;  // > 0.
};

struct BenchCase {
  // The same in all cases of one sweep, such as "small f32": cases of one name make one line of a plot. With in_flight
  // it names the case within the artifact, and across artifacts that are compared.
  std::string name = {};
  BenchSpec spec = {};
  int64_t in_flight = 1;        // Waves that the client keeps outstanding, > 0.
  int64_t waves = 0;            // In all rounds, > 0.
  double seconds = 0;           // Of all rounds, > 0.
  double waves_per_second = 0;  // The median round's, > 0.
  double gflops = 0;            // 2 m n k * waves_per_second / 1e9.
  double p50_us = 0;            // Of a wave, from sent to answered, in microseconds. 0: not measured.
  double p99_us = 0;            // Likewise.
  int64_t refused = 0;          // Waves that the daemon refused and that were sent again.
  std::vector<BenchRound> rounds = {};
};

struct BenchArtifact {
  absl::Time created = absl::UnixEpoch();
  BenchMachine machine = {};
  BenchBuild build = {};
  std::map<std::string, std::string> libraries = {};  // Name to version.
  std::map<std::string, std::string> flags = {};      // Those that shaped the run, as given or by default.
  int64_t sync_every = 64;   // After how many waves the client waits for all that are outstanding. 0: only at the end.
  int64_t warmup_waves = 0;  // Before each case, not counted.
  std::vector<BenchCase> cases = {};
};

inline constexpr absl::string_view kBenchFormat = "bwrt-bench";
inline constexpr int64_t kBenchVersion = 1;

// One line of JSON, without a newline. Names that are no UTF-8 are mended.
std::string EncodeBenchArtifact(const BenchArtifact& artifact);

// INVALID_ARGUMENT: not JSON; or not of this format and version; or a BadRequest with every field that is missing, of
// the wrong type or out of range, and cases that are there twice. Unknown fields are ignored.
absl::StatusOr<BenchArtifact> DecodeBenchArtifact(absl::string_view json);

// The artifact in `path`; "-" is the standard input. Errors name the path.
absl::StatusOr<BenchArtifact> ReadBenchArtifact(const std::string& path);

}  // namespace bwrt::client
