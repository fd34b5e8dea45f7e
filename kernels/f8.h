#ifndef BWRT_KERNELS_F8_H_
#define BWRT_KERNELS_F8_H_

// The two 8-bit floating-point types, as OCP's "8-bit Floating Point Specification" defines them, from and to f32.
//
// Pure functions without state: thread-safe.
//
// 1. Narrowing rounds to nearest, ties to even, and saturates: what lies beyond the largest finite number, infinities
// too,
//    becomes that number with its sign.
// 2. Subnormals are kept, in both directions. A NaN stays a NaN and keeps its sign.

#include <cstdint>

namespace bwrt::kernels {

// 4 bits of exponent, 3 of mantissa; up to 448; no infinities, one NaN of each sign.
float FromF8E4M3(uint8_t bits);
uint8_t ToF8E4M3(float value);

// 5 bits of exponent, 2 of mantissa; up to 57344; infinities and NaNs as in IEEE 754.
float FromF8E5M2(uint8_t bits);
uint8_t ToF8E5M2(float value);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_F8_H_
