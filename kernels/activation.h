#ifndef BWRT_KERNELS_ACTIVATION_H_
#define BWRT_KERNELS_ACTIVATION_H_

// The function applied to each element of C, last of all.
//
// Pure functions without state: thread-safe.
//
//   kIdentity  x
//   kRelu      max(x, 0)
//   kGeluTanh  x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
//   kGeluErf   x / 2 * (1 + erf(x / sqrt(2)))
//   kSilu      x / (1 + exp(-x))
//
// 1. NaN gives NaN, also for kRelu. Minus infinity gives NaN for the last three, as 0 times
//    infinity does where frameworks evaluate these formulas; plus infinity gives plus infinity.
// 2. The error against the formulas is at most 4e-7 * max(1, |x|) in absolute terms.

#include <cstdint>
#include <string_view>

namespace bwrt::kernels {

enum class Activation : uint8_t { kIdentity, kRelu, kGeluTanh, kGeluErf, kSilu };

// "identity", "relu", "gelu_tanh", "gelu_erf" or "silu".
constexpr std::string_view Name(Activation activation) {
  switch (activation) {
    case Activation::kIdentity:
      return "identity";
    case Activation::kRelu:
      return "relu";
    case Activation::kGeluTanh:
      return "gelu_tanh";
    case Activation::kGeluErf:
      return "gelu_erf";
    case Activation::kSilu:
      return "silu";
  }
  return "unknown";
}

// Applies it in place to `n` values.
void Activate(Activation activation, float* values, int64_t n);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_ACTIVATION_H_
