// Waves whose W is a stored tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "runtime/wave_validator.h"
#include "tests/runtime/validated_wave.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

// ------------------------------------------------------------------------------------------- stored weights

TEST(WaveValidatorTest, AStoredWGivesItsType) {
  const auto request = [](const char* tensor) {
    return Valid().DType(DTypeWish::kUnspecified).WTensor(tensor).Edit([](WaveRequest& r) {
      r.a.bytes = r.a.bytes.substr(0, 128 * 64 * 2);
    });
  };
  const Wave bf16 = Accepted(request("bf16"));
  EXPECT_EQ(bf16.dtype, kernels::DType::kBF16);
  EXPECT_EQ(bf16.w_tensor, "bf16");
  EXPECT_FALSE(bf16.w.has_value());
  EXPECT_EQ(bf16.a.dtype, kernels::DType::kBF16);
  EXPECT_EQ(Accepted(request("f16")).dtype, kernels::DType::kF16);
  EXPECT_EQ(Accepted(Valid().DType(DTypeWish::kUnspecified).WTensor("f32")).dtype, kernels::DType::kF32);
}

TEST(WaveValidatorTest, WithoutAWishOrAStoredWItIsF32) {
  EXPECT_EQ(Accepted(Valid().DType(DTypeWish::kUnspecified)).dtype, kernels::DType::kF32);
}

TEST(WaveValidatorTest, TheStoredTypeDecidesGranularity) {
  // 72 columns are granular in f32, not in bf16.
  EXPECT_THAT(
      ViolationsOf(Check(
          Valid().DType(DTypeWish::kUnspecified).WTensor("bf16").Dims(128, 128, 72).A(std::string(128 * 72 * 2, 'a')))),
      ElementsAre(Pair("k", "K_GRANULARITY")));
}

TEST(WaveValidatorTest, AStoredWOfAnotherTypeIsNotCast) {
  const absl::Status status = Check(Valid().WTensor("bf16"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "WEIGHT_DTYPE");
  EXPECT_EQ(MetadataOf(status, "tensor"), "bf16");
  EXPECT_EQ(MetadataOf(status, "model"), "default");
  EXPECT_EQ(MetadataOf(status, "version"), "1");
  EXPECT_THAT(std::string(status.message()), HasSubstr("stores it as bf16, not f32"));
}

TEST(WaveValidatorTest, AnOpaqueTensorIsNoW) {
  for (const DTypeWish dtype : {DTypeWish::kUnspecified, DTypeWish::kF32, DTypeWish::kBF16}) {
    const absl::Status status = Check(Valid().WTensor("i8").Edit([dtype](WaveRequest& r) {
      r.spec.dtype = dtype;
      r.a.bytes = r.a.bytes.substr(0, dtype == DTypeWish::kBF16 ? 128 * 64 * 2 : 128 * 64 * 4);
    }));
    EXPECT_EQ(GetReason(status), "WEIGHT_DTYPE") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("i8"));
  }
}

TEST(WaveValidatorTest, AStoredWMustHaveTheShape) {
  const absl::Status wide = Check(Valid().WTensor("f32").Dims(128, 256, 64));
  EXPECT_EQ(wide.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(wide), "WEIGHT_SHAPE");
  EXPECT_THAT(std::string(wide.message()), HasSubstr("stores it as [64 x 128], but the wave needs [64 x 256] (k x n)"));

  EXPECT_EQ(GetReason(Check(Valid().WTensor("flat"))), "WEIGHT_SHAPE");
  EXPECT_EQ(GetReason(Check(Valid().WTensor("f32_t"))), "WEIGHT_SHAPE");
  EXPECT_EQ(GetReason(Check(Valid().WTensor("f32").Transposed())), "WEIGHT_SHAPE");
  EXPECT_TRUE(Check(Valid().WTensor("f32_t").Transposed()).ok());
}

TEST(WaveValidatorTest, AnUnknownTensorIsNamed) {
  const absl::Status status = Check(Valid().WTensor("layer.7\n"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(status), "TENSOR_NOT_FOUND");
  EXPECT_EQ(MetadataOf(status, "tensor"), "layer.7\n");
  EXPECT_THAT(std::string(status.message()),
              StartsWith(R"(w.tensor="layer.7\n": model "default" version 1 has no such tensor)"));
  EXPECT_EQ(GetReason(Check(Valid().DType(DTypeWish::kUnspecified).WTensor("nope"))), "TENSOR_NOT_FOUND");
}

TEST(WaveValidatorTest, ViolationsComeBeforeAMissingTensor) {
  EXPECT_THAT(ViolationsOf(Check(Valid().WTensor("nope").Window(1, 1))),
              ElementsAre(Pair("spec.swap_end", "SWAP_WINDOW")));
}

// An inline W must not be mistaken for a stored one, whatever else the request carries.
TEST(WaveValidatorTest, AnInlineWIgnoresATensorName) {
  const Wave wave = Accepted(Valid().Edit([](WaveRequest& r) { r.w.tensor = "f32"; }));
  EXPECT_TRUE(wave.w.has_value());
  EXPECT_EQ(wave.w_tensor, "");
}

TEST(CheckWeightTest, AWaveWithItsOwnWNeedsNone) {
  const auto weight = CheckWeight(Accepted(Valid()), *WeightVersion::Empty());
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(*weight, nullptr);
}

TEST(CheckWeightTest, IsAskedAgainOfTheVersionThatRuns) {
  const Wave wave = Accepted(Valid().WTensor("f32"));
  const auto weights = Weights();
  const auto weight = CheckWeight(wave, *weights);
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(*weight, weights->Find("f32"));
  EXPECT_EQ(GetReason(CheckWeight(wave, *WeightVersion::Empty()).status()), "TENSOR_NOT_FOUND");
}

}  // namespace
}  // namespace bwrt::runtime
