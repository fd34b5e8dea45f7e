#include "kernels/activation.h"

#include <bit>
#include <cmath>

#include "kernels/isa.h"

namespace bwrt::kernels {
namespace {

// exp(x) to about 1e-7, without branches or calls, so that the loops below vectorise. Infinite
// above 88.4; below -87, where the callers have long reached their limit, exp(-87).
BWRT_INLINE_BODY float Exp(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -87.0f ? -87.0f : x;
  // x = n * ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer and leaves it in the
  // low bits: unlike a conversion this is defined for NaN.
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact in products.
  // Cephes' expf.
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n, with n in -126 .. 128; 128 makes the bits of infinity.
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
}

// x > 0 would turn NaN into 0.
BWRT_INLINE_BODY float Relu(float x) { return x < 0.0f ? 0.0f : x; }

BWRT_INLINE_BODY float Silu(float x) { return x / (1.0f + Exp(-x)); }

// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)): no cancellation for negative u.
BWRT_INLINE_BODY float GeluTanh(float x) {
  const float u = 0.797884560802865f * (x + 0.044715f * (x * x * x));
  return x / (1.0f + Exp(-2.0f * u));
}

// (1 + erf(z)) / 2 = erfc(-z) / 2. erfc for z >= 0 is Chebyshev's fit of Numerical Recipes (erfcc),
// whose relative error is below 1.2e-7 everywhere; erfc(-z) = 2 - erfc(z).
BWRT_INLINE_BODY float GeluErf(float x) {
  const float z = std::fabs(x) * 0.707106781186548f;
  const float t = 1.0f / (1.0f + 0.5f * z);
  float p = 0.17087277f;
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  const float half_erfc = 0.5f * t * Exp(p - z * z);
  return x * (x < 0.0f ? half_erfc : 1.0f - half_erfc);
}

BWRT_INLINE_BODY void ActivateBody(Activation activation, float* values, int64_t n) {
  switch (activation) {
    case Activation::kIdentity:
      return;
    case Activation::kRelu:
      for (int64_t i = 0; i < n; ++i) values[i] = Relu(values[i]);
      return;
    case Activation::kGeluTanh:
      for (int64_t i = 0; i < n; ++i) values[i] = GeluTanh(values[i]);
      return;
    case Activation::kGeluErf:
      for (int64_t i = 0; i < n; ++i) values[i] = GeluErf(values[i]);
      return;
    case Activation::kSilu:
      for (int64_t i = 0; i < n; ++i) values[i] = Silu(values[i]);
      return;
  }
}

BWRT_TARGET_AVX2 void ActivateAvx2(Activation activation, float* values, int64_t n) {
  ActivateBody(activation, values, n);
}

}  // namespace

void Activate(Activation activation, float* values, int64_t n) {
  HasAvx2() ? ActivateAvx2(activation, values, n) : ActivateBody(activation, values, n);
}

}  // namespace bwrt::kernels
