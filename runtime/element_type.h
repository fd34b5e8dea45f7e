// ElementType: what a stored tensor consists of. The devices compute with a few of them; the others are kept as opaque
// bytes, so that a model can be published whole.
#ifndef BWRT_RUNTIME_ELEMENT_TYPE_H_
#define BWRT_RUNTIME_ELEMENT_TYPE_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "kernels/dtype.h"

namespace bwrt::runtime {

class ElementType {
 public:
  // The wire's numbers, from 1.
  enum Code : int {
    kF32 = 1,
    kF16 = 2,
    kBF16 = 3,
    kF64 = 4,
    kI8 = 5,
    kU8 = 6,
    kI16 = 7,
    kU16 = 8,
    kI32 = 9,
    kU32 = 10,
    kI64 = 11,
    kU64 = 12,
    kBool = 13,
    kF8E4M3 = 14,
    kF8E5M2 = 15,
  };

  // Implicit: every type that devices compute with is one that tensors can have.
  constexpr ElementType(kernels::DType dtype)  // NOLINT(google-explicit-constructor)
      : code_(kCodes[static_cast<size_t>(dtype)]) {}

  // Nullopt for a number that is none of the wire's.
  static constexpr std::optional<ElementType> FromWire(int number) {
    if (number < kF32 || number > kF8E5M2) return std::nullopt;
    return ElementType(static_cast<Code>(number));
  }

  constexpr Code code() const { return code_; }
  // Bytes of one element.
  constexpr int64_t size() const {
    constexpr std::array<int8_t, 16> kSizes = {0, 4, 2, 2, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1, 1, 1};
    return kSizes[static_cast<size_t>(code_)];
  }
  // "f32", "i8", ...
  constexpr absl::string_view name() const {
    constexpr std::array<const char*, 16> kNames = {"",    "f32", "f16", "bf16", "f64", "i8",   "u8",      "i16",
                                                    "u16", "i32", "u32", "i64",  "u64", "bool", "f8_e4m3", "f8_e5m2"};
    return kNames[static_cast<size_t>(code_)];
  }
  // As a type of the kernels; nullopt when it is opaque.
  constexpr std::optional<kernels::DType> computed() const {
    switch (code_) {
      case kF32:
        return kernels::DType::kF32;
      case kF16:
        return kernels::DType::kF16;
      case kBF16:
        return kernels::DType::kBF16;
      case kF8E4M3:
        return kernels::DType::kF8E4M3;
      case kF8E5M2:
        return kernels::DType::kF8E5M2;
      default:
        return std::nullopt;
    }
  }
  friend constexpr bool operator==(ElementType, ElementType) = default;

 private:
  static constexpr std::array<Code, kernels::kDTypes> kCodes = {kF32, kF16, kBF16, kF8E4M3, kF8E5M2};
  constexpr explicit ElementType(Code code) : code_(code) {}
  Code code_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_ELEMENT_TYPE_H_
