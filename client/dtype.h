// Element types: names, sizes, and conversion between their bytes and doubles.
//
// Free functions; thread-safe. Rounding to f16 and bf16 is to nearest, ties to even. It is written
// again here, apart from the compute layer's, so that the reference shares no code with what it
// judges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/wavespec.pb.h"

namespace bwrt::client {

// "f32", "f16" or "bf16"; "unspecified" for anything else.
absl::string_view DTypeName(DType dtype);

// The type of that name, in either case.
std::optional<DType> ParseDType(absl::string_view name);

// Of one element. 0 for anything else.
int64_t DTypeBytes(DType dtype);

// As these three, for what a stored tensor may consist of: also types that nothing computes with, such as "i8" or
// "f8_e4m3".
std::string StoredDTypeName(DType dtype);
std::optional<DType> ParseStoredDType(absl::string_view name);
int64_t StoredDTypeBytes(DType dtype);

uint16_t RoundToBf16(float value);
uint16_t RoundToF16(float value);
float FromBf16(uint16_t bits);
float FromF16(uint16_t bits);

// Appends `value`, rounded to `dtype`, little-endian. `dtype` is specified.
void AppendElement(DType dtype, float value, std::string* bytes);

// The elements of `bytes`, exactly. INVALID_ARGUMENT: `bytes` is no whole number of elements, or
// the type is unspecified.
absl::StatusOr<std::vector<double>> DecodeElements(DType dtype, absl::string_view bytes);

}  // namespace bwrt::client
