#include "client/operands.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/escaping.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

// From an independent implementation of the formula in operands.h (Python integers).
TEST(RandomValue, GoldenValues) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(RandomValue(0, 0, 0), -6061451 * 0x1p-23f);
  EXPECT_EQ(RandomValue(0, 0, 1), 7903781 * 0x1p-23f);
  EXPECT_EQ(RandomValue(0, 1, 0), -5304289 * 0x1p-23f);
  EXPECT_EQ(RandomValue(1, 0, 0), 3246594 * 0x1p-23f);
  EXPECT_EQ(RandomValue(1, 1, 7), -2744640 * 0x1p-23f);
  EXPECT_EQ(RandomValue(42, 73, 1000000), -6118380 * 0x1p-23f);
  EXPECT_EQ(RandomValue(kMax, kMax, kMax), -6840575 * 0x1p-23f);
}

TEST(RandomValue, IsUniform) {
  constexpr int kCount = 1 << 16;
  double sum = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const float value = RandomValue(3, 1, i);
    ASSERT_GE(value, -1.0f);
    ASSERT_LT(value, 1.0f);
    // A multiple of 2^-23: nothing was rounded.
    ASSERT_EQ(std::trunc(std::ldexp(value, 23)), std::ldexp(value, 23));
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.01);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.01);
}

TEST(RandomMatrix, HoldsTheStreamsValues) {
  const OperandStream stream{.seed = 7, .wave = 0, .role = OperandStream::kW};
  const auto bytes = RandomMatrix(stream, F32, 2, 4);
  ASSERT_TRUE(bytes.ok());
  const auto values = DecodeElements(F32, *bytes);
  const int golden[] = {-5570338, -7509733, -4489670, -3206459, 1674562, -4741940, 6894483, 6636713};
  ASSERT_EQ(values->size(), std::size(golden));
  for (size_t i = 0; i < values->size(); ++i) EXPECT_EQ((*values)[i], golden[i] * 0x1p-23);
}

TEST(RandomMatrix, RoundsToTheType) {
  const OperandStream stream{.seed = 7, .wave = 0, .role = OperandStream::kW};
  // -5570338 * 2^-23 = -0.66403... and its successors, rounded by an independent implementation.
  EXPECT_EQ(absl::BytesToHexString(*RandomMatrix(stream, F16, 1, 4)), "50b929bb48b81eb6");
  EXPECT_EQ(absl::BytesToHexString(*RandomMatrix(stream, BF16, 1, 4)), "2abf65bf09bfc4be");
}

TEST(RandomMatrix, RolesAndWavesDiffer) {
  const auto a0 = RandomMatrix({.seed = 1, .wave = 0, .role = OperandStream::kA}, F32, 4, 4);
  const auto w0 = RandomMatrix({.seed = 1, .wave = 0, .role = OperandStream::kW}, F32, 4, 4);
  const auto a1 = RandomMatrix({.seed = 1, .wave = 1, .role = OperandStream::kA}, F32, 4, 4);
  EXPECT_NE(*a0, *w0);
  EXPECT_NE(*a0, *a1);
}

TEST(RandomMatrix, RefusesWhatNoMessageCarries) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(RandomMatrix({}, F32, kMax, kMax).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RandomMatrix({}, F32, 1 << 15, 1 << 14).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RandomMatrix({}, F32, -1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RandomMatrix({}, DTYPE_UNSPECIFIED, 1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*RandomMatrix({}, F32, 0, kMax), "");
}

}  // namespace
}  // namespace bwrt::client
