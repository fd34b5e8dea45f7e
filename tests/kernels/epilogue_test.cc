#include "kernels/epilogue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bwrt::kernels {
namespace {

TEST(EpilogueTest, CombinesInTheStatedOrder) {
  for (const int64_t n : {1, 7, 64, 255, 256, 257, 700}) {
    std::vector<float> sums(n), c(n + 1, 0.5f), bias(n), want(n);
    for (int64_t j = 0; j < n; ++j) {
      sums[j] = static_cast<float>(j % 11 - 5);
      c[j] = static_cast<float>(j % 7);
      bias[j] = static_cast<float>(j % 3);
      want[j] = std::max(0.0f, 2 * sums[j] - 3 * c[j] + bias[j]);
    }
    StoreRow({2.0f, -3.0f, Activation::kRelu}, sums.data(), n, bias.data(), DType::kF32, c.data());
    for (int64_t j = 0; j < n; ++j) ASSERT_EQ(c[j], want[j]) << j;
    EXPECT_EQ(c[n], 0.5f);
  }
}

TEST(EpilogueTest, ZeroBetaDoesNotReadC) {
  std::vector<float> sums = {1, 2, 3};
  std::vector<float> c(3, std::nanf(""));
  StoreRow({}, sums.data(), 3, nullptr, DType::kF32, c.data());
  EXPECT_EQ(c, (std::vector<float>{1, 2, 3}));
}

TEST(EpilogueTest, NonZeroBetaReadsC) {
  std::vector<float> sums = {1, 2};
  std::vector<float> c = {std::nanf(""), 4};
  StoreRow({1.0f, 0.5f, Activation::kRelu}, sums.data(), 2, nullptr, DType::kF32, c.data());
  EXPECT_TRUE(std::isnan(c[0]));
  EXPECT_EQ(c[1], 4);
}

TEST(EpilogueTest, ConvertsBothWays) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const std::vector<float> before = {4, 8, 16};
    std::vector<uint16_t> c(3);
    FromF32(dtype, before.data(), 3, c.data());
    std::vector<float> sums = {1, 2, 3};
    StoreRow({1.0f, 0.25f, Activation::kIdentity}, sums.data(), 3, nullptr, dtype, c.data());
    std::vector<float> after(3);
    ToF32(dtype, c.data(), 3, after.data());
    EXPECT_EQ(after, (std::vector<float>{2, 4, 7}));
  }
}

}  // namespace
}  // namespace bwrt::kernels
