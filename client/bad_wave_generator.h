// Random waves that a daemon must refuse for a known reason: valid ones with one thing broken, sometimes several.
//
// A pure function of (seed, index, space), as WaveGenerator. Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/bad_wave.h"
#include "client/wave_generator.h"

namespace bwrt::client {

class BadWaveGenerator {
 public:
  // `waves` must outlive it.
  explicit BadWaveGenerator(const WaveGenerator* waves) : waves_(waves) {}

  BadWave Generate(uint64_t index) const;

  // As WaveGenerator's.
  std::string Reproduce(uint64_t index) const;

  // The name of every flaw there is, for tests that ask whether each occurs.
  static std::vector<std::string> Flaws();

 private:
  const WaveGenerator* const waves_;
};

}  // namespace bwrt::client
