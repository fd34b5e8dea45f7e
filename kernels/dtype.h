#ifndef BWRT_KERNELS_DTYPE_H_
#define BWRT_KERNELS_DTYPE_H_

// Element types of matrices, and conversions between them and f32, the type in which everything is
// computed.
//
// Pure functions without state: thread-safe.
//
// 1. Narrowing rounds to nearest, ties to even; values beyond the largest finite number become
//    infinite, but in the 8-bit types, where they and infinity become that number.
// 2. Subnormals are kept, in both directions.
// 3. A NaN stays a NaN: narrowing keeps its sign and the upper part of its payload and makes it
//    quiet; widening is exact. The 8-bit types keep the sign alone, and a narrowed NaN is 0x7f or 0xff.
// 4. Bulk conversions give bit for bit what the scalar ones give, on every CPU.

#include <cstdint>

#include "absl/strings/string_view.h"

namespace bwrt::kernels {

enum class DType : uint8_t { kF32, kF16, kBF16, kF8E4M3, kF8E5M2 };

inline constexpr int kDTypes = 5;

// Bytes of one element.
constexpr int64_t SizeOf(DType dtype) { return dtype == DType::kF32 ? 4 : dtype < DType::kF8E4M3 ? 2 : 1; }

// Whether it is one of the 8-bit types, whose values come with a scale.
constexpr bool IsF8(DType dtype) { return dtype >= DType::kF8E4M3; }

// "f32", "f16", "bf16", "f8_e4m3" or "f8_e5m2".
constexpr absl::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kF8E4M3:
      return "f8_e4m3";
    case DType::kF8E5M2:
      return "f8_e5m2";
  }
  return "unknown";
}

// bfloat16: the upper half of an f32.
float FromBF16(uint16_t bits);
uint16_t ToBF16(float value);

// IEEE 754 binary16.
float FromF16(uint16_t bits);
uint16_t ToF16(float value);

// OCP's 8-bit types. E4M3: 4 bits of exponent, 3 of mantissa, up to 448, no infinity and one NaN of each sign. E5M2: up
// to 57344, infinities and NaNs as in IEEE 754.
float FromF8E4M3(uint8_t bits);
uint8_t ToF8E4M3(float value);
float FromF8E5M2(uint8_t bits);
uint8_t ToF8E5M2(float value);

// Converts `n` elements. Neither pointer needs an alignment; the ranges must not overlap. With kF32
// this is a copy. Nothing is read or written when n <= 0.
void ToF32(DType dtype, const void* src, int64_t n, float* dst);
void FromF32(DType dtype, const float* src, int64_t n, void* dst);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_DTYPE_H_
