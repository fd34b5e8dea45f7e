#include "kernels/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace bwrt::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

double Reference(Activation activation, double x) {
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

float One(Activation activation, float x) {
  Activate(activation, &x, 1);
  return x;
}

constexpr Activation kAll[] = {Activation::kIdentity, Activation::kRelu, Activation::kGeluTanh, Activation::kGeluErf,
                               Activation::kSilu};

TEST(ActivationTest, FollowsItsFormula) {
  std::vector<float> inputs;
  for (int i = -120 * 256; i <= 120 * 256; ++i) inputs.push_back(static_cast<float>(i) / 256);
  float x = 1e-40f;
  while (x < 1e38f) {
    inputs.push_back(x);
    inputs.push_back(-x);
    x *= 3;
  }
  for (const Activation activation : kAll) {
    std::vector<float> outputs = inputs;
    Activate(activation, outputs.data(), static_cast<int64_t>(outputs.size()));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double x = inputs[i];
      ASSERT_NEAR(outputs[i], Reference(activation, x), 4e-7 * std::max(1.0, std::fabs(x))) << Name(activation) << x;
    }
  }
}

TEST(ActivationTest, LimitsAndNaN) {
  for (const Activation activation : kAll) {
    EXPECT_TRUE(std::isnan(One(activation, std::nanf("")))) << Name(activation);
    EXPECT_EQ(One(activation, kInf), kInf) << Name(activation);
    EXPECT_EQ(One(activation, 0.0f), 0.0f) << Name(activation);
    EXPECT_EQ(One(activation, std::numeric_limits<float>::max()), std::numeric_limits<float>::max());
  }
  EXPECT_EQ(One(Activation::kRelu, -kInf), 0.0f);
  EXPECT_EQ(One(Activation::kIdentity, -kInf), -kInf);
  for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kSilu}) {
    EXPECT_EQ(One(activation, std::numeric_limits<float>::lowest()), 0.0f) << Name(activation);
    EXPECT_TRUE(std::isnan(One(activation, -kInf))) << Name(activation);
  }
}

TEST(ActivationTest, ALoopsTailDoesNotReachBeyondIt) {
  for (int64_t n = 0; n < 40; ++n) {
    std::vector<float> values(static_cast<std::size_t>(n + 1), -1.0f);
    Activate(Activation::kRelu, values.data(), n);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(values[i], 0.0f);
    ASSERT_EQ(values[n], -1.0f);
  }
}

TEST(ActivationTest, Names) {
  EXPECT_EQ(Name(Activation::kIdentity), "identity");
  EXPECT_EQ(Name(Activation::kRelu), "relu");
  EXPECT_EQ(Name(Activation::kGeluTanh), "gelu_tanh");
  EXPECT_EQ(Name(Activation::kGeluErf), "gelu_erf");
  EXPECT_EQ(Name(Activation::kSilu), "silu");
}

}  // namespace
}  // namespace bwrt::kernels
