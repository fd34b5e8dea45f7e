// Operands for tests and benches: pseudo-random matrices, equal on every platform.
//
// Pure functions of (seed, stream, index); thread-safe. The generator is SplitMix64 (Steele, Lea
// and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014) used as a counter: with
//
//   mix(z): z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9; z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
//           return z ^ (z >> 31)                             (all modulo 2^64)
//   gamma  = 0x9e3779b97f4a7c15
//   key    = mix(mix(seed + gamma) + (stream + 1) * gamma)
//   draw_i = mix(key + (i + 1) * gamma)
//
// draw_i is output i of SplitMix64 seeded with `key`, so any element can be had without those
// before it. Its upper 24 bits u give the value (u - 2^23) / 2^23: uniform in [-1, 1), exact in
// f32.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "bwrt/wavespec.pb.h"

namespace bwrt::client {

// One matrix's sequence of values. Matrices of the same role and shape in different waves differ.
struct OperandStream {
  enum Role : uint64_t { kA = 0, kW = 1, kC = 2, kBias = 3 };

  uint64_t seed = 0;
  uint64_t wave = 0;  // Position of the wave in its plan.
  Role role = kA;

  // The `stream` of the formula.
  uint64_t id() const { return 4 * wave + role; }
};

float RandomValue(uint64_t seed, uint64_t stream, uint64_t index);

// `rows` x `columns` values, packed row-major, rounded to `dtype`. RESOURCE_EXHAUSTED: more bytes
// than one message can carry (2 GiB). INVALID_ARGUMENT: negative dimensions or an unspecified type.
absl::StatusOr<std::string> RandomMatrix(const OperandStream& stream, DType dtype, int64_t rows, int64_t columns);

}  // namespace bwrt::client
