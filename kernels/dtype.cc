#include "kernels/dtype.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/isa.h"

namespace bwrt::kernels {
namespace {

// The scalar conversions are free of branches, so that the loops below vectorise.

BWRT_INLINE_BODY float WidenBF16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

BWRT_INLINE_BODY uint16_t NarrowBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

BWRT_INLINE_BODY float WidenF16(uint16_t half) {
  const uint32_t magnitude = uint32_t{half} & 0x7fffu;
  // The exponent's bias grows by 127 - 15 = 112. Multiplying, rather than adding to the exponent,
  // is right for subnormals as well; it is exact.
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f);
  const uint32_t special = 0x7f800000u | (magnitude << 13);
  const uint32_t sign = (uint32_t{half} & 0x8000u) << 16;
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00u ? special : finite));
}

BWRT_INLINE_BODY uint16_t NarrowF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Rounds 13 bits away; a carry moves on into the exponent, up to infinity, as it should.
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Beside 0.5, whose last place is 2^-24, the smallest f16, the addition itself rounds to a
  // multiple of it.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;  // 2^-14
  half = magnitude >= 0x47800000u ? 0x7c00u : half;              // 2^16
  half = magnitude > 0x7f800000u ? nan : half;
  return static_cast<uint16_t>(half | ((bits >> 16) & 0x8000u));
}

// E5M2 is the upper half of binary16.
BWRT_INLINE_BODY float WidenE5M2(uint8_t bits) { return WidenF16(static_cast<uint16_t>(uint16_t{bits} << 8)); }

// The bias grows by 127 - 7 = 120; as for binary16.
BWRT_INLINE_BODY float WidenE4M3(uint8_t bits) {
  const uint32_t magnitude = uint32_t{bits} & 0x7fu;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 20) * 0x1p120f);
  const uint32_t sign = (uint32_t{bits} & 0x80u) << 24;
  return std::bit_cast<float>(sign | (magnitude == 0x7fu ? 0x7fc00000u : finite));
}

// As NarrowF16, to `kMantissa` bits with a bias of `bias`. `largest` is the largest finite code.
template <int kMantissa>
BWRT_INLINE_BODY uint8_t NarrowF8(float value, uint32_t bias, uint32_t largest) {
  constexpr int kAway = 23 - kMantissa;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t rounding = (1u << (kAway - 1)) - 1 + ((magnitude >> kAway) & 1u);
  const uint32_t normal = (magnitude - ((127u - bias) << 23) + rounding) >> kAway;
  // Beside this number, whose last place is the smallest subnormal, 2^(1 - bias - kMantissa), the addition rounds to a
  // multiple of that.
  const uint32_t beside = (1u - bias - static_cast<uint32_t>(kMantissa) + 23u + 127u) << 23;
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + std::bit_cast<float>(beside)) - beside;
  uint32_t code = magnitude < ((128u - bias) << 23) ? subnormal : normal;
  // Larger numbers have larger codes, infinity too.
  code = std::min(code, largest);
  code = magnitude > 0x7f800000u ? 0x7fu : code;
  return static_cast<uint8_t>(code | ((bits >> 24) & 0x80u));
}

BWRT_INLINE_BODY uint8_t NarrowE4M3(float value) { return NarrowF8<3>(value, 7, 0x7e); }
BWRT_INLINE_BODY uint8_t NarrowE5M2(float value) { return NarrowF8<2>(value, 15, 0x7b); }

// memcpy reads and writes unaligned elements, and compiles to plain moves.
BWRT_INLINE_BODY uint16_t Load16(const unsigned char* src, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, src + 2 * i, sizeof(bits));
  return bits;
}

BWRT_INLINE_BODY void Store16(unsigned char* dst, int64_t i, uint16_t bits) {
  std::memcpy(dst + 2 * i, &bits, sizeof(bits));
}

BWRT_INLINE_BODY void ToF32Body(DType dtype, const void* src, int64_t n, float* __restrict dst) {
  const auto* bytes = static_cast<const unsigned char*>(src);
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, static_cast<std::size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = WidenF16(Load16(bytes, i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = WidenBF16(Load16(bytes, i));
      return;
    case DType::kF8E4M3:
      for (int64_t i = 0; i < n; ++i) dst[i] = WidenE4M3(bytes[i]);
      return;
    case DType::kF8E5M2:
      for (int64_t i = 0; i < n; ++i) dst[i] = WidenE5M2(bytes[i]);
      return;
  }
}

BWRT_INLINE_BODY void FromF32Body(DType dtype, const float* __restrict src, int64_t n, void* dst) {
  auto* bytes = static_cast<unsigned char*>(dst);
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, static_cast<std::size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) Store16(bytes, i, NarrowF16(src[i]));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) Store16(bytes, i, NarrowBF16(src[i]));
      return;
    case DType::kF8E4M3:
      for (int64_t i = 0; i < n; ++i) bytes[i] = NarrowE4M3(src[i]);
      return;
    case DType::kF8E5M2:
      for (int64_t i = 0; i < n; ++i) bytes[i] = NarrowE5M2(src[i]);
      return;
  }
}

BWRT_TARGET_AVX2 void ToF32Avx2(DType dtype, const void* src, int64_t n, float* dst) { ToF32Body(dtype, src, n, dst); }

BWRT_TARGET_AVX2 void FromF32Avx2(DType dtype, const float* src, int64_t n, void* dst) {
  FromF32Body(dtype, src, n, dst);
}

}  // namespace

float FromBF16(uint16_t bits) { return WidenBF16(bits); }
uint16_t ToBF16(float value) { return NarrowBF16(value); }
float FromF16(uint16_t bits) { return WidenF16(bits); }
uint16_t ToF16(float value) { return NarrowF16(value); }
float FromF8E4M3(uint8_t bits) { return WidenE4M3(bits); }
uint8_t ToF8E4M3(float value) { return NarrowE4M3(value); }
float FromF8E5M2(uint8_t bits) { return WidenE5M2(bits); }
uint8_t ToF8E5M2(float value) { return NarrowE5M2(value); }

void ToF32(DType dtype, const void* src, int64_t n, float* dst) {
  if (n <= 0) return;
  HasAvx2() ? ToF32Avx2(dtype, src, n, dst) : ToF32Body(dtype, src, n, dst);
}

void FromF32(DType dtype, const float* src, int64_t n, void* dst) {
  if (n <= 0) return;
  HasAvx2() ? FromF32Avx2(dtype, src, n, dst) : FromF32Body(dtype, src, n, dst);
}

}  // namespace bwrt::kernels
