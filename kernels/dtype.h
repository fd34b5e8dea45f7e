#ifndef BWRT_KERNELS_DTYPE_H_
#define BWRT_KERNELS_DTYPE_H_

// Element types of matrices, and conversions between them and f32, the type in which everything is
// computed.
//
// Pure functions without state: thread-safe.
//
// 1. Narrowing rounds to nearest, ties to even; values beyond the largest finite number become
//    infinite.
// 2. Subnormals are kept, in both directions.
// 3. A NaN stays a NaN: narrowing keeps its sign and the upper part of its payload and makes it
//    quiet; widening is exact.
// 4. Bulk conversions give bit for bit what the scalar ones give, on every CPU.

#include <cstdint>

#include "absl/strings/string_view.h"

namespace bwrt::kernels {

enum class DType : uint8_t { kF32, kF16, kBF16 };

// Bytes of one element.
constexpr int64_t SizeOf(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// "f32", "f16" or "bf16".
constexpr absl::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
  }
  return "unknown";
}

// bfloat16: the upper half of an f32.
float FromBF16(uint16_t bits);
uint16_t ToBF16(float value);

// IEEE 754 binary16.
float FromF16(uint16_t bits);
uint16_t ToF16(float value);

// Converts `n` elements. Neither pointer needs an alignment; the ranges must not overlap. With kF32
// this is a copy. Nothing is read or written when n <= 0.
void ToF32(DType dtype, const void* src, int64_t n, float* dst);
void FromF32(DType dtype, const float* src, int64_t n, void* dst);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_DTYPE_H_
