#include "kernels/f8.h"

#include <bit>
#include <cmath>

#include "kernels/dtype.h"

namespace bwrt::kernels {
namespace {

// To a type of `mantissa` bits whose smallest normal number is 2^least; `largest` is its largest finite code.
uint8_t Narrow(float value, int mantissa, int least, uint8_t largest, uint8_t nan) {
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 0x80 : 0);
  if (std::isnan(value)) return sign | nan;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude == 0) return sign;
  int exponent = std::isinf(value) ? 128 : std::ilogb(magnitude);
  if (exponent < least) exponent = least;
  if (exponent > 127) return sign | largest;
  // Units of the last place there; nearbyint rounds to even. A carry moves on into the exponent, as it should.
  const double units = std::nearbyint(std::ldexp(magnitude, mantissa - exponent));
  const double code = units + std::ldexp(static_cast<double>(exponent - least), mantissa);
  return code >= static_cast<double>(largest) ? sign | largest : sign | static_cast<uint8_t>(code);
}

}  // namespace

float FromF8E4M3(uint8_t bits) {
  const int magnitude = bits & 0x7f;
  // The bias is 7; subnormals have the exponent of 1 without the leading one.
  const int exponent = magnitude >> 3;
  const int fraction = magnitude & 7;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                              : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  if (magnitude == 0x7f) value = std::bit_cast<float>(0x7fc00000u);
  return (bits & 0x80) != 0 ? -value : value;
}

uint8_t ToF8E4M3(float value) { return Narrow(value, 3, -6, 0x7e, 0x7f); }

// The upper half of binary16.
float FromF8E5M2(uint8_t bits) { return FromF16(static_cast<uint16_t>(uint16_t{bits} << 8)); }

uint8_t ToF8E5M2(float value) { return Narrow(value, 2, -14, 0x7b, 0x7f); }

}  // namespace bwrt::kernels
