// Element types: names, sizes, and conversion between their bytes and doubles.
//
// Free functions; thread-safe. Rounding is to nearest, ties to even; the 8-bit types saturate. It is written
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

// Of those that waves multiply: "f32", "f16", "bf16", "f8_e4m3" or "f8_e5m2"; "unspecified" for anything else.
absl::string_view DTypeName(DType dtype);

// The type of that name, in either case.
std::optional<DType> ParseDType(absl::string_view name);

// Of one element. 0 for anything else.
int64_t DTypeBytes(DType dtype);

// As these three, for what a stored tensor may consist of: also types that nothing computes with, such as "i8".
std::string StoredDTypeName(DType dtype);
std::optional<DType> ParseStoredDType(absl::string_view name);
int64_t StoredDTypeBytes(DType dtype);

uint16_t RoundToBf16(float value);
uint16_t RoundToF16(float value);
float FromBf16(uint16_t bits);
float FromF16(uint16_t bits);
// `dtype` is F8_E4M3 or F8_E5M2.
uint8_t RoundToF8(DType dtype, float value);
float FromF8(DType dtype, uint8_t bits);
constexpr bool IsF8(DType dtype) { return dtype == F8_E4M3 || dtype == F8_E5M2; }

// Appends `value`, rounded to `dtype`, little-endian. `dtype` is specified.
void AppendElement(DType dtype, float value, std::string* bytes);
// The same, to where it goes.
void PutElement(DType dtype, float value, char* at);

// The elements of `bytes`, exactly. INVALID_ARGUMENT: `bytes` is no whole number of elements, or
// the type is unspecified.
absl::StatusOr<std::vector<double>> DecodeElements(DType dtype, absl::string_view bytes);

}  // namespace bwrt::client
