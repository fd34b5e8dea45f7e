// Flaws: the single ways to break a valid wave. Used by bad_wave_generator.cc.
//
// Tables of pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client/bad_wave.h"
#include "client/draws.h"
#include "client/wave_space.h"

namespace bwrt::client {

// The part of a request that a flaw breaks. Flaws of different parts can be in one wave; kAlone goes with none,
// because what else could be said about the wave depends on it.
enum class WavePart {
  kAlone,
  kIds,
  kScale,
  kPlan,
  kPriority,
  kTimeout,
  kActivation,
  kTails,
  kWindow,
  kHints,
  kPack,
  kRows,
  kExtents,
  kOrder,
  kA,
  kW,
  kC,
  kBias
};

// A wave being broken.
struct Breaking {
  Draws& draws;
  const WaveSpace& space;
  BadWave& wave;

  v1::SubmitWaveRequest& request() { return wave.request; }
  WaveSpec* spec() { return wave.request.mutable_spec(); }
  // INVALID_ARGUMENT, with this among its violations.
  void Expect(std::string field, std::string reason) {
    wave.violations.push_back({std::move(field), std::move(reason)});
  }
  // Another code; has no violations.
  void Refuse(absl::StatusCode code, std::string reason) {
    wave.code = code;
    wave.reason = std::move(reason);
    wave.violations.clear();
  }
};

struct Flaw {
  const char* name;
  WavePart part;
  // False, and nothing changed, where this wave can't be broken in this way.
  bool (*apply)(Breaking* breaking);
};

std::vector<Flaw> ScalarFlaws();
std::vector<Flaw> TraversalFlaws();
std::vector<Flaw> ListFlaws();
std::vector<Flaw> ShapeFlaws();
std::vector<Flaw> OperandFlaws();
std::vector<Flaw> StateFlaws();  // Of the daemon's models and whitelist rather than of the request.

// The type of A and W as the daemon will understand it.
DType InputDType(const Breaking& breaking);

// Leaves a small wave of `dtype` with zeros for operands, no order, rows or C, for flaws that change its sizes.
void Simplify(Breaking* breaking, DType dtype, int64_t m, int64_t n, int64_t k);

}  // namespace bwrt::client
