#include "kernels/f8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace bwrt::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// What the specification's tables say, computed from the fields.
double Value(uint8_t bits, int mantissa, int bias) {
  const int exponent = (bits & 0x7f) >> mantissa;
  const double fraction = bits & ((1 << mantissa) - 1);
  const double one = 1 << mantissa;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction / one, 1 - bias) : std::ldexp(1 + fraction / one, exponent - bias);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

TEST(F8Test, EveryE4M3HasItsValueAndRoundTrips) {
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<uint8_t>(i);
    const float value = FromF8E4M3(bits);
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value)) << i;
    } else {
      EXPECT_EQ(static_cast<double>(value), Value(bits, 3, 7)) << i;
    }
    EXPECT_EQ(std::signbit(value), (bits & 0x80) != 0) << i;
    EXPECT_EQ(ToF8E4M3(value), bits) << i;
  }
  EXPECT_EQ(FromF8E4M3(0x7e), 448.0f);
  EXPECT_EQ(FromF8E4M3(0x01), std::ldexp(1.0f, -9));
}

TEST(F8Test, EveryE5M2HasItsValueAndRoundTrips) {
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<uint8_t>(i);
    const float value = FromF8E5M2(bits);
    const int magnitude = bits & 0x7f;
    EXPECT_EQ(std::signbit(value), (bits & 0x80) != 0) << i;
    if (magnitude > 0x7c) {
      EXPECT_TRUE(std::isnan(value)) << i;
      EXPECT_TRUE(std::isnan(FromF8E5M2(ToF8E5M2(value)))) << i;
    } else if (magnitude == 0x7c) {
      EXPECT_TRUE(std::isinf(value)) << i;
      EXPECT_EQ(ToF8E5M2(value), (bits & 0x80) | 0x7b) << "it saturates";
    } else {
      EXPECT_EQ(static_cast<double>(value), Value(bits, 2, 15)) << i;
      EXPECT_EQ(ToF8E5M2(value), bits) << i;
    }
  }
  EXPECT_EQ(FromF8E5M2(0x7b), 57344.0f);
}

template <typename From, typename To>
void CheckRounding(uint8_t largest, From from, To to) {
  for (int i = 0; i < largest; ++i) {
    const auto low = static_cast<uint8_t>(i);
    const auto high = static_cast<uint8_t>(i + 1);
    const float middle = (from(low) + from(high)) / 2;  // Exact.
    const uint8_t even = (low & 1) == 0 ? low : high;
    EXPECT_EQ(to(middle), even) << i;
    EXPECT_EQ(to(std::nextafter(middle, 0.0f)), low) << i;
    EXPECT_EQ(to(std::nextafter(middle, kInf)), high) << i;
    EXPECT_EQ(to(-middle), even | 0x80) << i;
  }
}

TEST(F8Test, E4M3RoundsToNearestEven) { CheckRounding(0x7e, FromF8E4M3, ToF8E4M3); }
TEST(F8Test, E5M2RoundsToNearestEven) { CheckRounding(0x7b, FromF8E5M2, ToF8E5M2); }

TEST(F8Test, TooLargeSaturates) {
  EXPECT_EQ(ToF8E4M3(449.0f), 0x7e);
  EXPECT_EQ(ToF8E4M3(1e30f), 0x7e);
  EXPECT_EQ(ToF8E4M3(-kInf), 0xfe);
  EXPECT_EQ(ToF8E5M2(60000.0f), 0x7b);
  EXPECT_EQ(ToF8E5M2(std::numeric_limits<float>::max()), 0x7b);
  EXPECT_EQ(ToF8E5M2(kInf), 0x7b);
}

TEST(F8Test, TooSmallBecomesZeroWithItsSign) {
  EXPECT_EQ(ToF8E4M3(-std::numeric_limits<float>::denorm_min()), 0x80);
  EXPECT_EQ(ToF8E4M3(0x1p-10f), 0x00);
  EXPECT_EQ(ToF8E5M2(0x1p-17f), 0x00);
}

}  // namespace
}  // namespace bwrt::kernels
