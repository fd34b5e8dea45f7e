// Random waves that a daemon must accept, over the whole space the design allows.
//
// A wave is a pure function of (seed, index, space), equal on every platform; any wave can be had without those before
// it. Most waves are small, so that thousands of them run in seconds; some span several tiles of 256. The strides of
// A and W leave gaps full of NaN, and a C that beta = 0 leaves out is often one of NaN: neither may show in a result.
//
// A WaveGenerator is immutable and thread-safe, and owns the stored weights that its waves name.
#pragma once

#include <cstdint>
#include <string>

#include "bwrt/v1/wave.pb.h"
#include "client/wave_space.h"

namespace bwrt::client {

struct GeneratedWave {
  v1::SubmitWaveRequest request = {};
  // The tensor that W names; null for a wave with its own W. The generator's.
  const v1::Tensor* stored_w = nullptr;
};

class WaveGenerator {
 public:
  WaveGenerator(uint64_t seed, WaveSpace space);

  const WaveSpace& space() const { return space_; }
  uint64_t seed() const { return seed_; }

  GeneratedWave Generate(uint64_t index) const;

  // How to get wave `index` again, for the message of a failed test.
  std::string Reproduce(uint64_t index) const;

 private:
  const uint64_t seed_;
  const WaveSpace space_;
};

}  // namespace bwrt::client
