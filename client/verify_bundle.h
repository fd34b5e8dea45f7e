// A bundle: what `bwrtctl verify` leaves behind of a wave on which two devices disagree, in a directory of its own.
//
//   DIR/bundle.json  {"format": 1, "case": {...}, "finding": {...}}
//
// The case is what it takes to run the wave again: operands and weights are drawn from seeds, not stored, and their
// digests say whether the same ones came out. The finding is for people and other tools; nothing here reads it.
//
// Plain values and free functions; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "client/matrix_rect.h"
#include "client/verify_weights.h"
#include "client/wave_draft.h"
#include "client/wave_oracle.h"

namespace bwrt::client {

struct VerifyCase {
  uint64_t seed = 0;
  uint64_t wave = 0;  // Its index among those of the seed.
  std::string device = "cpu";
  std::string ref_device = "reference";
  bool lenient = false;                                     // The device's daemon ran shapes that are not whitelisted.
  std::optional<MatrixRect> region = {};                    // Of C, as given; unset: all of it.
  WeightsRecipe weights = {};                               // Of the wave's model.
  std::map<std::string, std::string> operand_digests = {};  // OperandDigests.
  WaveDraft draft = {};
};

// What a device computed around the first difference.
struct Surroundings {
  // At most so much of each result: 1,024 bytes of both.
  static constexpr int64_t kMaxBytes = 512;

  MatrixRect elements = {};
  std::string reference = {};  // Bytes in C's type, row after row.
  std::string device = {};
};

// Up to eight rows around `at`, which lies in `within`; where `at` is in a gap, a piece of that row instead.
// `reference` and `device` have C's size.
Surroundings SurroundingsOf(const v1::SubmitWaveRequest& wave, const ElementIndex& at, const MatrixRect& within,
                            absl::string_view reference, absl::string_view device);

// What both have at `at`, which is among the elements.
struct ElementPair {
  double reference = 0;
  double device = 0;
};
ElementPair ValuesAt(const Surroundings& around, DType c_dtype, const ElementIndex& at);

struct VerifyFinding {
  std::string mismatch = {};               // In words.
  std::optional<ElementIndex> first = {};  // The first difference.
  double rel_error = 0;                    // Of the worst tile, and what it may be.
  double tolerance = 0;
  std::string reference_digest = {};  // Of what was compared.
  std::string device_digest = {};
  std::optional<Surroundings> around = {};
  v1::WaveResult result = {};  // The device's, without C; empty where it returned none.
  // Of the daemons: devices, drivers, libraries, build. Unset: the client's own engine.
  std::optional<v1::GetCapabilitiesResponse> device_capabilities = {};
  std::optional<v1::GetCapabilitiesResponse> ref_capabilities = {};
  std::vector<std::pair<std::string, std::string>> flags = {};  // Of the run that found it.
};

// The content of bundle.json.
std::string EncodeBundle(const VerifyCase& of, const VerifyFinding& finding);

// INVALID_ARGUMENT: not a bundle of this format; names the field. A case that decodes may still hold a wave that no
// daemon accepts.
absl::StatusOr<VerifyCase> DecodeBundle(absl::string_view text);

// Creates `directory` and what is above it, where missing, and writes the bundle there, over an earlier one.
absl::Status WriteBundle(const std::string& directory, const VerifyCase& of, const VerifyFinding& finding);

// As DecodeBundle; NOT_FOUND and the like where the file cannot be read. Errors name it.
absl::StatusOr<VerifyCase> ReadBundle(const std::string& directory);

}  // namespace bwrt::client
