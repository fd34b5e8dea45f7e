// Waves of 8-bit operands before the validator: their scales, their C, and devices that don't compute with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/runtime/validated_wave.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;
using ::testing::HasSubstr;

WaveRequestBuilder F8(DTypeWish dtype = DTypeWish::kF8E4M3) {
  WaveRequestBuilder builder;
  builder.Dims(128, 128, 64).DType(dtype);
  return builder.Edit([](WaveRequest& r) {
    static const std::string zeros(128 * 64, '\0');
    r.a.bytes = r.w.bytes = zeros;
  });
}

WaveRequestBuilder Scaled(WaveRequestBuilder request, std::optional<float> a, std::optional<float> w) {
  return request.Edit([a, w](WaveRequest& r) {
    r.a_scale = a;
    r.w_scale = w;
  });
}

TEST(WaveValidatorF8, TakesScales) {
  const Wave plain = Accepted(F8());
  EXPECT_EQ(plain.dtype, DType::kF8E4M3);
  EXPECT_EQ(plain.c_dtype, DType::kF32);
  EXPECT_EQ(plain.factor(), 1.0f);
  const Wave scaled = Accepted(Scaled(F8(DTypeWish::kF8E5M2), 3.0f, 0.5f).Alpha(2));
  EXPECT_EQ(scaled.dtype, DType::kF8E5M2);
  EXPECT_EQ(scaled.a_scale, 3.0f);
  EXPECT_EQ(scaled.w_scale, 0.5f);
  EXPECT_EQ(scaled.factor(), 3.0f);
}

TEST(WaveValidatorF8, CIsOfAWiderType) {
  for (const auto& [wish, dtype] : {std::pair(DTypeWish::kF16, DType::kF16), std::pair(DTypeWish::kBF16, DType::kBF16),
                                    std::pair(DTypeWish::kF32, DType::kF32)}) {
    EXPECT_EQ(Accepted(F8().CDType(wish)).c_dtype, dtype);
  }
  const absl::Status status = Check(F8().CDType(DTypeWish::kF8E4M3));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("c_dtype=14: not a dtype this daemon computes C in"));
}

TEST(WaveValidatorF8, ScalesAreFiniteAndPositiveAndOfF8Alone) {
  for (const float bad : {0.0f, -1.0f, kInfinity, kNaN}) {
    EXPECT_THAT(std::string(Check(Scaled(F8(), bad, std::nullopt)).message()), HasSubstr("a_scale=")) << bad;
    EXPECT_THAT(std::string(Check(Scaled(F8(), std::nullopt, bad)).message()), HasSubstr("w_scale=")) << bad;
  }
  const absl::Status other = Check(Scaled(WaveRequestBuilder(), std::nullopt, 1.0f));
  EXPECT_TRUE(absl::IsInvalidArgument(other));
  EXPECT_THAT(std::string(other.message()), HasSubstr("w_scale=1: only F8_E4M3 and F8_E5M2 have scales"));
  const float huge = std::numeric_limits<float>::max();
  EXPECT_THAT(std::string(Check(Scaled(F8(), huge, 2.0f)).message()), HasSubstr("beyond the range of f32"));
  EXPECT_TRUE(Check(Scaled(F8(), huge, 0.5f)).ok());
}

TEST(WaveValidatorF8, ADeviceWithoutItRefuses) {
  const WaveValidator validator(TileWhitelist::Default(), false, Limits{}, false,
                                DTypeSet::Of({DType::kF32, DType::kBF16}));
  const auto refused = validator.Validate(F8().Build(), Mode::kComplete, *Weights(), kNow);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("spec.dtype=14: not a dtype this daemon computes "
                                                                 "with; use F32 or BF16"));
}

TEST(WaveValidatorF8, KComesInGranulesOf32) {
  EXPECT_THAT(std::string(Check(F8().Dims(128, 128, 48)).message()), HasSubstr("try k=64"));
}

}  // namespace
}  // namespace bwrt::runtime
