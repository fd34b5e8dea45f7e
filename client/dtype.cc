#include "client/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

// Elements are little-endian on the wire and copied as they lie in memory.
static_assert(std::endian::native == std::endian::little);

template <class Element, class Decode>
std::vector<double> DecodeAll(absl::string_view bytes, Decode decode) {
  std::vector<double> values(bytes.size() / sizeof(Element));
  for (size_t i = 0; i < values.size(); ++i) {
    Element element;
    std::memcpy(&element, bytes.data() + i * sizeof(Element), sizeof(Element));
    values[i] = decode(element);
  }
  return values;
}

}  // namespace

absl::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case F32:
      return "f32";
    case F16:
      return "f16";
    case BF16:
      return "bf16";
    case F8_E4M3:
      return "f8_e4m3";
    case F8_E5M2:
      return "f8_e5m2";
    default:
      return "unspecified";
  }
}

std::optional<DType> ParseDType(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const DType dtype : {F32, F16, BF16, F8_E4M3, F8_E5M2}) {
    if (lower == DTypeName(dtype)) return dtype;
  }
  return std::nullopt;
}

std::string StoredDTypeName(DType dtype) {
  return dtype == DTYPE_UNSPECIFIED || !DType_IsValid(dtype) ? "unspecified" : absl::AsciiStrToLower(DType_Name(dtype));
}

std::optional<DType> ParseStoredDType(absl::string_view name) {
  DType dtype;
  if (!DType_Parse(absl::AsciiStrToUpper(name), &dtype) || dtype == DTYPE_UNSPECIFIED) return std::nullopt;
  return dtype;
}

int64_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case F32:
      return 4;
    case F16:
    case BF16:
      return 2;
    case F8_E4M3:
    case F8_E5M2:
      return 1;
    default:
      return 0;
  }
}

int64_t StoredDTypeBytes(DType dtype) {
  switch (dtype) {
    case I8:
    case U8:
    case BOOL:
    case F8_E4M3:
    case F8_E5M2:
      return 1;
    case F16:
    case BF16:
    case I16:
    case U16:
      return 2;
    case F32:
    case I32:
    case U32:
      return 4;
    case F64:
    case I64:
    case U64:
      return 8;
    default:
      return 0;
  }
}

uint16_t RoundToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  // A NaN keeps its sign and stays one: rounding could carry its payload into infinity.
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  const uint32_t tie_to_even = (bits >> 16) & 1;
  return static_cast<uint16_t>((bits + 0x7fff + tie_to_even) >> 16);
}

uint16_t RoundToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  if (std::isnan(value)) return sign | 0x7e00;
  const float magnitude = std::fabs(value);
  // Halfway from the largest f16, 65504, to the next power of two: from here on it rounds to
  // infinity.
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  // Exact in both branches: scaling by a power of two, then nearbyint of a value far below 2^24. It
  // rounds to even, as nobody here changes the rounding mode.
  if (magnitude < 0x1p-14f) {
    // Subnormal: multiples of 2^-24. 1024 of them are the smallest normal number, as the encoding
    // wants.
    return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f));
  }
  int exponent;
  const float fraction = std::frexp(magnitude, &exponent);  // magnitude = fraction * 2^exponent
  // Eleven bits, 1024 to 2048; 2048 carries into the exponent by itself.
  const auto significand = static_cast<uint32_t>(std::nearbyint(fraction * 0x1p11f));
  return sign | static_cast<uint16_t>((static_cast<uint32_t>(exponent + 13) << 10) + significand);
}

float FromBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float FromF16(uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = (bits >> 10) & 0x1f;
  const int significand = bits & 0x3ff;
  if (exponent == 0x1f) return sign * (significand == 0 ? INFINITY : NAN);
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(significand), -24);
  return sign * std::ldexp(static_cast<float>(significand + 1024), exponent - 25);
}

float FromF8(DType dtype, uint8_t bits) {
  const bool e4m3 = dtype == F8_E4M3;
  const int mantissa = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const float sign = (bits & 0x80) != 0 ? -1.0f : 1.0f;
  const int exponent = (bits & 0x7f) >> mantissa;
  const int significand = bits & ((1 << mantissa) - 1);
  if (e4m3 && (bits & 0x7f) == 0x7f) return sign * NAN;
  if (!e4m3 && exponent == 0x1f) return sign * (significand == 0 ? INFINITY : NAN);
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(significand), 1 - bias - mantissa);
  return sign * std::ldexp(static_cast<float>(significand + (1 << mantissa)), exponent - bias - mantissa);
}

uint8_t RoundToF8(DType dtype, float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const float magnitude = std::fabs(value);
  // Codes without their sign lie in the order of what they mean: the last one that is not larger.
  uint8_t low = 0, high = dtype == F8_E4M3 ? 0x7e : 0x7b;
  if (magnitude >= FromF8(dtype, high)) return sign | high;
  while (high - low > 1) {
    const auto middle = static_cast<uint8_t>((low + high) / 2);
    (FromF8(dtype, middle) <= magnitude ? low : high) = middle;
  }
  // Both exact: three numbers of few bits near each other.
  const double below = double{magnitude} - FromF8(dtype, low), above = double{FromF8(dtype, high)} - magnitude;
  const bool up = above < below || (above == below && low % 2 != 0);
  return sign | (up ? high : low);
}

void PutElement(DType dtype, float value, char* at) {
  if (dtype == F32) {
    std::memcpy(at, &value, sizeof(value));
  } else if (IsF8(dtype)) {
    *at = static_cast<char>(RoundToF8(dtype, value));
  } else {
    const uint16_t rounded = dtype == F16 ? RoundToF16(value) : RoundToBf16(value);
    std::memcpy(at, &rounded, sizeof(rounded));
  }
}

void AppendElement(DType dtype, float value, std::string* bytes) {
  char element[sizeof(float)];
  PutElement(dtype, value, element);
  bytes->append(element, DTypeBytes(dtype));
}

absl::StatusOr<std::vector<double>> DecodeElements(DType dtype, absl::string_view bytes) {
  const int64_t size = DTypeBytes(dtype);
  if (size == 0) return absl::InvalidArgumentError("the element type is unspecified");
  if (bytes.size() % size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(bytes.size(), " bytes are no whole number of ", DTypeName(dtype), " elements"));
  }
  switch (dtype) {
    case F32:
      return DecodeAll<float>(bytes, [](float value) { return value; });
    case F16:
      return DecodeAll<uint16_t>(bytes, FromF16);
    case F8_E4M3:
    case F8_E5M2:
      return DecodeAll<uint8_t>(bytes, [dtype](uint8_t bits) { return FromF8(dtype, bits); });
    default:
      return DecodeAll<uint16_t>(bytes, FromBf16);
  }
}

}  // namespace bwrt::client
