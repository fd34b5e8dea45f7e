#include "kernels/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace bwrt::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

// What binary16 means, by its definition.
double F16Value(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double fraction = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(DTypeTest, NamesAndSizes) {
  EXPECT_EQ(Name(DType::kF32), "f32");
  EXPECT_EQ(Name(DType::kF16), "f16");
  EXPECT_EQ(Name(DType::kBF16), "bf16");
  EXPECT_EQ(Name(DType::kF8E4M3), "f8_e4m3");
  EXPECT_EQ(Name(DType::kF8E5M2), "f8_e5m2");
  static_assert(SizeOf(DType::kF8E4M3) == 1 && SizeOf(DType::kF8E5M2) == 1);
  static_assert(IsF8(DType::kF8E4M3) && IsF8(DType::kF8E5M2) && !IsF8(DType::kBF16));
  static_assert(SizeOf(DType::kF32) == 4 && SizeOf(DType::kF16) == 2 && SizeOf(DType::kBF16) == 2);
}

TEST(DTypeTest, EveryBF16RoundTrips) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = FromBF16(bits);
    ASSERT_EQ(Bits(value), i << 16);
    ASSERT_EQ(ToBF16(value), std::isnan(value) ? bits | 0x40 : bits) << i;
  }
}

TEST(DTypeTest, EveryF16HasItsValueAndRoundTrips) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = FromF16(bits);
    if ((bits & 0x7c00) != 0x7c00) {
      ASSERT_EQ(static_cast<double>(value), F16Value(bits)) << i;
      ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << i;
      ASSERT_EQ(ToF16(value), bits) << i;
    } else if ((bits & 0x3ff) == 0) {
      ASSERT_EQ(value, (bits & 0x8000) != 0 ? -kInf : kInf);
      ASSERT_EQ(ToF16(value), bits);
    } else {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_EQ(ToF16(value), bits | 0x200) << i;
    }
  }
}

// What a code of 8 bits means, by its definition.
double F8Value(uint8_t bits, int mantissa, int bias) {
  const int exponent = (bits & 0x7f) >> mantissa;
  const double fraction = bits & ((1 << mantissa) - 1);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias - mantissa)
                                         : std::ldexp((1 << mantissa) + fraction, exponent - bias - mantissa);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

TEST(DTypeTest, EveryE4M3HasItsValueAndRoundTrips) {
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<uint8_t>(i);
    const float value = FromF8E4M3(bits);
    ASSERT_EQ(std::signbit(value), (bits & 0x80) != 0) << i;
    if ((bits & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(value)) << i;
    } else {
      ASSERT_EQ(static_cast<double>(value), F8Value(bits, 3, 7)) << i;
    }
    ASSERT_EQ(ToF8E4M3(value), bits) << i;
  }
  EXPECT_EQ(FromF8E4M3(0x7e), 448.0f);
  EXPECT_EQ(FromF8E4M3(0x01), 0x1p-9f);
}

TEST(DTypeTest, EveryE5M2HasItsValueAndRoundTrips) {
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<uint8_t>(i);
    const float value = FromF8E5M2(bits);
    ASSERT_EQ(std::signbit(value), (bits & 0x80) != 0) << i;
    const int magnitude = bits & 0x7f;
    if (magnitude > 0x7c) {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_EQ(ToF8E5M2(value), bits | 0x7f) << i;
    } else if (magnitude == 0x7c) {
      ASSERT_EQ(value, (bits & 0x80) != 0 ? -kInf : kInf);
      ASSERT_EQ(ToF8E5M2(value), bits - 1) << "saturates";
    } else {
      ASSERT_EQ(static_cast<double>(value), F8Value(bits, 2, 15)) << i;
      ASSERT_EQ(ToF8E5M2(value), bits) << i;
    }
  }
  EXPECT_EQ(FromF8E5M2(0x7b), 57344.0f);
}

template <typename From, typename To>
void CheckF8Rounding(uint8_t largest, From from, To to) {
  for (int i = 0; i < largest; ++i) {
    const auto low = static_cast<uint8_t>(i);
    const auto high = static_cast<uint8_t>(i + 1);
    const float middle = (from(low) + from(high)) / 2;  // Exact.
    const uint8_t even = (low & 1) == 0 ? low : high;
    ASSERT_EQ(to(middle), even) << i;
    ASSERT_EQ(to(std::nextafter(middle, 0.0f)), low) << i;
    ASSERT_EQ(to(std::nextafter(middle, kInf)), high) << i;
    ASSERT_EQ(to(-middle), even | 0x80) << i;
  }
  for (const float beyond : {from(largest) * 1.01f, from(largest) * 2, 3e38f, kInf}) {
    EXPECT_EQ(to(beyond), largest) << beyond;
    EXPECT_EQ(to(-beyond), largest | 0x80) << beyond;
  }
  EXPECT_EQ(to(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(to(-std::numeric_limits<float>::min()), 0x80);
  EXPECT_EQ(to(std::numeric_limits<float>::quiet_NaN()), 0x7f);
  EXPECT_EQ(to(-std::numeric_limits<float>::quiet_NaN()), 0xff);
  EXPECT_EQ(to(std::bit_cast<float>(0x7f800001u)), 0x7f) << "a signalling NaN too";
}

TEST(DTypeTest, E4M3RoundsToNearestEvenAndSaturates) { CheckF8Rounding(0x7e, FromF8E4M3, ToF8E4M3); }
TEST(DTypeTest, E5M2RoundsToNearestEvenAndSaturates) { CheckF8Rounding(0x7b, FromF8E5M2, ToF8E5M2); }

TEST(DTypeTest, BulkF8IsTheScalarsOnes) {
  std::mt19937 random(3);
  std::vector<float> values(1003);
  for (float& value : values) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    std::vector<uint8_t> codes(values.size() + 1, 0xa5);
    FromF32(dtype, values.data(), static_cast<int64_t>(values.size()), codes.data());
    EXPECT_EQ(codes.back(), 0xa5);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(codes[i], dtype == DType::kF8E4M3 ? ToF8E4M3(values[i]) : ToF8E5M2(values[i])) << values[i];
    }
    std::vector<uint8_t> all(256);
    std::iota(all.begin(), all.end(), uint8_t{0});
    std::vector<float> wide(256);
    ToF32(dtype, all.data(), 256, wide.data());
    for (int i = 0; i < 256; ++i) {
      const auto bits = static_cast<uint8_t>(i);
      ASSERT_EQ(Bits(wide[static_cast<size_t>(i)]), Bits(dtype == DType::kF8E4M3 ? FromF8E4M3(bits) : FromF8E5M2(bits)))
          << i;
    }
  }
}

// Between two neighbours the nearer one is taken, and from the middle the even one.
template <typename From, typename To>
void CheckRounding(uint16_t largest, From from, To to) {
  for (uint32_t i = 0; i < largest; ++i) {
    const auto low = static_cast<uint16_t>(i);
    const auto high = static_cast<uint16_t>(i + 1);
    const float middle = static_cast<float>((static_cast<double>(from(low)) + from(high)) / 2);  // Exact.
    const uint16_t even = (low & 1) == 0 ? low : high;
    ASSERT_EQ(to(middle), even) << i;
    ASSERT_EQ(to(std::nextafter(middle, 0.0f)), low) << i;
    ASSERT_EQ(to(std::nextafter(middle, kInf)), high) << i;
    ASSERT_EQ(to(-middle), even | 0x8000) << i;
  }
}

TEST(DTypeTest, F16RoundsToNearestEven) { CheckRounding(0x7bff, FromF16, ToF16); }
TEST(DTypeTest, BF16RoundsToNearestEven) { CheckRounding(0x7f7f, FromBF16, ToBF16); }

TEST(DTypeTest, TooLargeBecomesInfinite) {
  EXPECT_EQ(ToF16(65504.0f), 0x7bff);
  EXPECT_EQ(ToF16(65519.996f), 0x7bff);
  EXPECT_EQ(ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(ToF16(-1e30f), 0xfc00);
  EXPECT_EQ(ToBF16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(ToBF16(-kInf), 0xff80);
}

TEST(DTypeTest, TooSmallBecomesZeroWithItsSign) {
  EXPECT_EQ(ToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(ToF16(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(ToF16(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

TEST(DTypeTest, NaNStaysANaN) {
  // A signalling NaN whose payload lies below what fits: dropping it must not leave an infinity.
  const float small_payload = std::bit_cast<float>(0xff800001u);
  EXPECT_EQ(ToBF16(small_payload), 0xffc0);
  EXPECT_EQ(ToF16(small_payload), 0xfe00);
  // Rounding up must not carry into the sign.
  const float all_ones = std::bit_cast<float>(0x7fffffffu);
  EXPECT_EQ(ToBF16(all_ones), 0x7fff);
  EXPECT_EQ(ToF16(all_ones), 0x7fff);
}

TEST(DTypeTest, BulkEqualsScalarAtAnyLengthAndAlignment) {
  std::mt19937 random(1);
  std::vector<uint32_t> patterns(5000);
  for (uint32_t& pattern : patterns) pattern = random();
  std::vector<float> values(patterns.size());
  std::memcpy(values.data(), patterns.data(), patterns.size() * sizeof(float));

  for (const int64_t n : {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 5000}) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      std::vector<unsigned char> narrow(static_cast<std::size_t>(2 * n + 3), 0xee);
      FromF32(dtype, values.data(), n, narrow.data() + 1);
      std::vector<float> wide(static_cast<std::size_t>(n + 1), 42.0f);
      ToF32(dtype, narrow.data() + 1, n, wide.data());
      for (int64_t i = 0; i < n; ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, narrow.data() + 1 + 2 * i, 2);
        ASSERT_EQ(bits, dtype == DType::kF16 ? ToF16(values[i]) : ToBF16(values[i])) << Bits(values[i]);
        ASSERT_EQ(Bits(wide[i]), Bits(dtype == DType::kF16 ? FromF16(bits) : FromBF16(bits))) << bits;
      }
      EXPECT_EQ(narrow.front(), 0xee);
      EXPECT_EQ(narrow[2 * n + 1], 0xee);
      EXPECT_EQ(wide[n], 42.0f);
    }
  }
}

TEST(DTypeTest, F32IsCopied) {
  const std::vector<float> values = {1.5f, -0.0f, std::numeric_limits<float>::denorm_min()};
  std::vector<unsigned char> bytes(3 * sizeof(float) + 1);
  FromF32(DType::kF32, values.data(), 3, bytes.data() + 1);
  std::vector<float> back(3);
  ToF32(DType::kF32, bytes.data() + 1, 3, back.data());
  EXPECT_EQ(std::memcmp(bytes.data() + 1, static_cast<const void*>(back.data()), 3 * sizeof(float)), 0);
}

TEST(DTypeTest, NothingHappensForNoElements) {
  ToF32(DType::kF32, nullptr, 0, nullptr);
  FromF32(DType::kBF16, nullptr, -1, nullptr);
}

}  // namespace
}  // namespace bwrt::kernels
