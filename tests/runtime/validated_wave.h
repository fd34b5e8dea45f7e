// Waves before the validator with the default whitelist and limits, and a version that has a tensor of each type.
#ifndef BWRT_TESTS_RUNTIME_VALIDATED_WAVE_H_
#define BWRT_TESTS_RUNTIME_VALIDATED_WAVE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "runtime/wave_validator.h"
#include "tests/support/blank_version.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {

inline void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

using Mode = WaveValidator::Mode;

inline constexpr Time kNow{std::chrono::hours(1000)};
inline constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
inline constexpr int32_t kHuge32 = std::numeric_limits<int32_t>::max();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline WeightVersion::Ptr Weights() {
  const auto tensor = [](ElementType dtype, std::vector<int64_t> shape) {
    return std::make_shared<BlankTensor>(TensorType{dtype, std::move(shape)});
  };
  return BlankVersion(*WeightVersion::Empty(), "v",
                      {{"f32", tensor(kernels::DType::kF32, {64, 128})},
                       {"f32_t", tensor(kernels::DType::kF32, {128, 64})},
                       {"bf16", tensor(kernels::DType::kBF16, {64, 128})},
                       {"f16", tensor(kernels::DType::kF16, {64, 128})},
                       {"i8", tensor(*ElementType::FromWire(ElementType::kI8), {64, 128})},
                       {"flat", tensor(kernels::DType::kF32, {64 * 128})}});
}

inline absl::StatusOr<Wave> Validate(const WaveRequestBuilder& request, Mode mode = Mode::kComplete,
                                     bool lenient = false, const Limits& limits = {}) {
  const WaveValidator validator(TileWhitelist::Default(), lenient, limits);
  return validator.Validate(request.Build(), mode, *Weights(), kNow);
}

inline absl::Status Check(const WaveRequestBuilder& request, Mode mode = Mode::kComplete) {
  return Validate(request, mode).status();
}

inline absl::Status CheckLenient(const WaveRequestBuilder& request) {
  return Validate(request, Mode::kComplete, /*lenient=*/true).status();
}

inline Wave Accepted(const WaveRequestBuilder& request, bool lenient = false) {
  auto wave = Validate(request, Mode::kComplete, lenient);
  EXPECT_TRUE(wave.ok()) << wave.status();
  return wave.ok() ? *std::move(wave) : Wave{};
}

inline WaveRequestBuilder Valid() { return WaveRequestBuilder(); }

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_VALIDATED_WAVE_H_
