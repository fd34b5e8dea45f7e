#include "client/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bwrt::client {
namespace {

TEST(DType, NamesRoundTrip) {
  for (const DType dtype : {F32, F16, BF16, F8_E4M3, F8_E5M2}) EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype);
  EXPECT_EQ(ParseDType("BF16"), BF16);
  EXPECT_EQ(ParseDType("f64"), std::nullopt);
  EXPECT_EQ(ParseDType("unspecified"), std::nullopt);
}

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(RoundToBf16(1.0f), 0x3f80);
  EXPECT_EQ(RoundToBf16(1.0f + 0x1p-8f), 0x3f80);             // A tie: down, to even.
  EXPECT_EQ(RoundToBf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);  // Just above it.
  EXPECT_EQ(RoundToBf16(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);   // A tie: up, to even.
  EXPECT_EQ(RoundToBf16(-1.0f - 0x1p-8f), 0xbf80);
  EXPECT_EQ(RoundToBf16(-0.0f), 0x8000);
  EXPECT_EQ(RoundToBf16(3.4028235e38f), 0x7f80);  // The largest float rounds to infinity.
  EXPECT_EQ(RoundToBf16(INFINITY), 0x7f80);
  EXPECT_TRUE(std::isnan(FromBf16(RoundToBf16(NAN))));
}

TEST(F16, RoundsToNearestEven) {
  EXPECT_EQ(RoundToF16(1.0f), 0x3c00);
  EXPECT_EQ(RoundToF16(1.0f + 0x1p-11f), 0x3c00);             // A tie: down, to even.
  EXPECT_EQ(RoundToF16(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);  // Just above it.
  EXPECT_EQ(RoundToF16(1.0f + 0x1p-10f + 0x1p-11f), 0x3c02);  // A tie: up, to even.
  EXPECT_EQ(RoundToF16(-2.0f), 0xc000);
  EXPECT_EQ(RoundToF16(65504.0f), 0x7bff);
  EXPECT_EQ(RoundToF16(65519.0f), 0x7bff);
  EXPECT_EQ(RoundToF16(65520.0f), 0x7c00);
  EXPECT_EQ(RoundToF16(0x1p-24f), 0x0001);
  EXPECT_EQ(RoundToF16(0x1p-25f), 0x0000);  // A tie: to even, zero.
  EXPECT_EQ(RoundToF16(0x1p-25f * 1.5f), 0x0001);
  EXPECT_EQ(RoundToF16(0x1p-14f), 0x0400);             // The smallest normal.
  EXPECT_EQ(RoundToF16(0x1p-14f - 0x1p-26f), 0x0400);  // Rounds up into the normals.
  EXPECT_EQ(RoundToF16(2.0f - 0x1p-12f), 0x4000);      // Carries into the exponent.
  EXPECT_EQ(RoundToF16(-0.0f), 0x8000);
  EXPECT_TRUE(std::isnan(FromF16(RoundToF16(NAN))));
}

TEST(F16, EveryValueRoundTrips) {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const float value = FromF16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(RoundToF16(value), bits);
  }
}

TEST(F16, HalfwayBetweenNeighboursGoesToTheEvenOne) {
  for (int bits = 0; bits < 0x7bff; ++bits) {
    const double low = FromF16(static_cast<uint16_t>(bits));
    const double high = FromF16(static_cast<uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(RoundToF16(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(RoundToF16(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(RoundToF16(std::nextafter(middle, 1e9f)), bits + 1);
  }
}

TEST(Bf16, EveryValueRoundTrips) {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const float value = FromBf16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(RoundToBf16(value), bits);
  }
}

TEST(Elements, DecodeWhatWasAppended) {
  for (const DType dtype : {F32, F16, BF16, F8_E4M3, F8_E5M2}) {
    std::string bytes;
    for (const float value : {0.5f, -2.0f, 0.0f}) AppendElement(dtype, value, &bytes);
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), 3 * DTypeBytes(dtype));
    const auto values = DecodeElements(dtype, bytes);
    ASSERT_TRUE(values.ok());
    EXPECT_EQ(*values, (std::vector<double>{0.5, -2.0, 0.0}));
  }
}

TEST(F8, EveryCodeRoundTrips) {
  for (const DType dtype : {F8_E4M3, F8_E5M2}) {
    for (int i = 0; i < 256; ++i) {
      const auto bits = static_cast<uint8_t>(i);
      const float value = FromF8(dtype, bits);
      if (std::isnan(value)) {
        EXPECT_EQ(RoundToF8(dtype, value) & 0x7f, 0x7f) << i;
      } else if (std::isinf(value)) {
        EXPECT_EQ(RoundToF8(dtype, value), bits - 1) << "saturates";
      } else {
        EXPECT_EQ(RoundToF8(dtype, value), bits) << DTypeName(dtype) << " " << i;
      }
    }
  }
  EXPECT_EQ(FromF8(F8_E4M3, 0x38), 1.0f);
  EXPECT_EQ(FromF8(F8_E4M3, 0x7e), 448.0f);
  EXPECT_EQ(FromF8(F8_E4M3, 0x01), 0x1p-9f);
  EXPECT_TRUE(std::isnan(FromF8(F8_E4M3, 0x7f)));
  EXPECT_EQ(FromF8(F8_E5M2, 0x3c), 1.0f);
  EXPECT_EQ(FromF8(F8_E5M2, 0x7b), 57344.0f);
  EXPECT_EQ(FromF8(F8_E5M2, 0xfc), -INFINITY);
}

TEST(F8, RoundsToNearestEvenAndSaturates) {
  EXPECT_EQ(RoundToF8(F8_E4M3, 1.0625f), 0x38);  // A tie: down, to even.
  EXPECT_EQ(RoundToF8(F8_E4M3, 1.0626f), 0x39);
  EXPECT_EQ(RoundToF8(F8_E4M3, 1.1875f), 0x3a);  // A tie: up, to even.
  EXPECT_EQ(RoundToF8(F8_E4M3, 0x1p-10f), 0x00);
  EXPECT_EQ(RoundToF8(F8_E4M3, 0x1.8p-10f), 0x01);
  EXPECT_EQ(RoundToF8(F8_E4M3, 1e9f), 0x7e);
  EXPECT_EQ(RoundToF8(F8_E4M3, -INFINITY), 0xfe);
  EXPECT_EQ(RoundToF8(F8_E5M2, -1e9f), 0xfb);
  EXPECT_EQ(RoundToF8(F8_E5M2, -0.0f), 0x80);
}

TEST(Elements, RefusesPartsOfElements) {
  EXPECT_FALSE(DecodeElements(F32, "abc").ok());
  EXPECT_FALSE(DecodeElements(BF16, "abc").ok());
  EXPECT_FALSE(DecodeElements(DTYPE_UNSPECIFIED, "").ok());
}

}  // namespace
}  // namespace bwrt::client
