#include "runtime/npy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/error.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);

struct NamedType {
  absl::string_view descr;
  ElementType::Code code;
};
constexpr std::array<NamedType, 12> kTypes = {{{"<f4", ElementType::kF32},
                                               {"<f2", ElementType::kF16},
                                               {"<f8", ElementType::kF64},
                                               {"|i1", ElementType::kI8},
                                               {"|u1", ElementType::kU8},
                                               {"<i2", ElementType::kI16},
                                               {"<u2", ElementType::kU16},
                                               {"<i4", ElementType::kI32},
                                               {"<u4", ElementType::kU32},
                                               {"<i8", ElementType::kI64},
                                               {"<u8", ElementType::kU64},
                                               {"|b1", ElementType::kBool}}};

// Types that only `expected` can tell.
constexpr std::array<NamedType, 8> kUnnamedTypes = {{{"<V2", ElementType::kBF16},
                                                     {"|V2", ElementType::kBF16},
                                                     {"<V1", ElementType::kF8E4M3},
                                                     {"|V1", ElementType::kF8E4M3},
                                                     {"<V1", ElementType::kF8E5M2},
                                                     {"|V1", ElementType::kF8E5M2},
                                                     {"<f1", ElementType::kF8E5M2},
                                                     {"|f1", ElementType::kF8E5M2}}};

template <typename... Parts>
absl::Status Bad(const Parts&... parts) {
  return MakeError(absl::StatusCode::kInvalidArgument, "NPY_HEADER", absl::StrCat("npy header: ", parts...));
}

absl::StatusOr<ElementType> TypeOf(absl::string_view descr, std::optional<ElementType> expected) {
  for (const NamedType& type : kTypes) {
    if (type.descr == descr) return *ElementType::FromWire(type.code);
  }
  bool unnamed = false;
  for (const NamedType& type : kUnnamedTypes) {
    if (type.descr != descr) continue;
    if (expected && expected->code() == type.code) return *expected;
    unnamed = true;
  }
  const std::string value = absl::StrCat("descr ", Quoted(descr));
  if (unnamed) {
    return Bad(value, " does not say which type it is; ",
               expected ? absl::StrCat("it can't be ", expected->name()) : "say bf16, f8_e4m3 or f8_e5m2 beside it");
  }
  if (absl::StartsWith(descr, ">")) return Bad(value, " is big-endian; save it little-endian");
  if (absl::StrContains(descr, 'O')) return Bad(value, " holds Python objects; save an array of numbers");
  return Bad(value, " is not known; use <f2, <f4, <f8, |i1, <i2, <i4, <i8, |u1, <u2, <u4, <u8 or |b1");
}

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }: the three keys in any order, each once, and no
// other expression of Python.
class Dict {
 public:
  Dict(absl::string_view text, std::optional<ElementType> expected, const Limits& limits)
      : text_(text), rest_(text), expected_(expected), limits_(limits) {}

  absl::StatusOr<TensorType> Read() {
    if (!Take('{')) return Unexpected("{");
    while (!Take('}')) {
      absl::Status status = Member();
      if (!status.ok()) return status;
      if (Take(',')) continue;
      if (!Take('}')) return Unexpected(", or }");
      break;
    }
    SkipSpace();
    if (!rest_.empty()) return Unexpected("nothing more");
    for (size_t i = 0; i < kKeys.size(); ++i) {
      if (!given_[i]) return Bad(kKeys[i], " is missing; give descr, fortran_order and shape");
    }
    int64_t bytes = type_.dtype.size();
    for (const int64_t dim : type_.shape) {
      if (__builtin_mul_overflow(bytes, dim, &bytes)) {
        return Bad("the product of its ", type_.shape.size(), " dimensions is larger than any memory");
      }
    }
    return std::move(type_);
  }

 private:
  static constexpr std::array<absl::string_view, 3> kKeys = {"descr", "fortran_order", "shape"};

  void SkipSpace() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }

  bool Take(char ch) {
    SkipSpace();
    if (rest_.empty() || rest_[0] != ch) return false;
    rest_.remove_prefix(1);
    return true;
  }

  absl::Status Unexpected(absl::string_view wanted) const {
    return Bad("at byte ", text_.size() - rest_.size(), " of its text, ", wanted, " must come, not ",
               Quoted(rest_.substr(0, 16)));
  }

  // 'text' or "text", without escapes.
  std::optional<absl::string_view> String() {
    const absl::string_view before = rest_;
    const char quote = Take('\'') ? '\'' : '"';
    if (quote == '\'' || Take('"')) {
      const size_t end = rest_.find(quote);
      const absl::string_view value = rest_.substr(0, end);
      if (end != absl::string_view::npos && !absl::StrContains(value, '\\')) {
        rest_.remove_prefix(end + 1);
        return value;
      }
    }
    rest_ = before;
    return std::nullopt;
  }

  absl::Status Member() {
    const auto key = String();
    if (!key) return Unexpected("a key in quotes");
    const auto* at = std::find(kKeys.begin(), kKeys.end(), *key);
    if (at == kKeys.end()) return Bad("unknown key ", Quoted(*key), "; use descr, fortran_order and shape");
    bool& given = given_[static_cast<size_t>(at - kKeys.begin())];
    if (given) return Bad(*key, " is given twice; write it once");
    given = true;
    if (!Take(':')) return Unexpected(":");
    if (*key == "descr") return Descr();
    return *key == "shape" ? Shape() : Order();
  }

  absl::Status Descr() {
    if (Take('[')) return Bad("descr is a list: structured types are not read; save each field as an array of its own");
    const auto descr = String();
    if (!descr) return Unexpected("a type in quotes");
    const auto type = TypeOf(*descr, expected_);
    if (!type.ok()) return type.status();
    type_.dtype = *type;
    return absl::OkStatus();
  }

  absl::Status Order() {
    SkipSpace();
    if (absl::ConsumePrefix(&rest_, "False")) return absl::OkStatus();
    if (absl::ConsumePrefix(&rest_, "True")) {
      return Bad("fortran_order is True; save the array row-major, as numpy.ascontiguousarray makes it");
    }
    return Unexpected("True or False");
  }

  // (), (2,) or (2, 3); a comma may follow the last of several. (2) is no tuple in Python, and none here.
  absl::Status Shape() {
    std::vector<int64_t>& shape = type_.shape;
    if (!Take('(')) return Unexpected("a tuple of integers");
    bool comma = true;
    while (!Take(')')) {
      if (!comma) return Unexpected(", or )");
      absl::Status status = Dimension();
      if (!status.ok()) return status;
      comma = Take(',');
    }
    if (shape.size() == 1 && !comma) return Bad("shape (", shape[0], ") is no tuple; write (", shape[0], ",)");
    if (shape.empty()) shape = {1};
    return absl::OkStatus();
  }

  absl::Status Dimension() {
    SkipSpace();
    const auto* end = std::find_if_not(rest_.begin(), rest_.end(), [](char ch) { return absl::ascii_isdigit(ch); });
    const auto digits = static_cast<size_t>(end - rest_.begin());
    if (digits == 0) return Unexpected("a dimension, a positive integer,");
    const size_t at = type_.shape.size();
    if (static_cast<int64_t>(at) == limits_.max_tensor_dims) {
      return Bad("shape has more than ", limits_.max_tensor_dims, " dimensions; use at most that many");
    }
    int64_t value = 0;
    const bool fits = absl::SimpleAtoi(rest_.substr(0, digits), &value);
    if (!fits || rest_[0] == '0' || value > limits_.max_dim) {
      return Bad("shape[", at, "]=", Quoted(rest_.substr(0, digits)), ": must lie in [1, ", limits_.max_dim, "]");
    }
    rest_.remove_prefix(digits);
    type_.shape.push_back(value);
    return absl::OkStatus();
  }

  const absl::string_view text_;
  absl::string_view rest_;
  const std::optional<ElementType> expected_;
  const Limits& limits_;
  std::array<bool, 3> given_ = {};
  TensorType type_;
};

}  // namespace

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view prefix, std::optional<ElementType> expected,
                                         const Limits& limits) {
  if (!absl::StartsWith(prefix, kMagic)) {
    return Bad("it begins with ", Quoted(prefix.substr(0, kMagic.size())), "; a .npy file begins with ",
               Quoted(kMagic));
  }
  const absl::string_view rest = prefix.substr(kMagic.size());
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(rest[i])); };
  // Major and minor version, then the length, of 2 bytes or, from version 2.0 on, 4.
  if (rest.size() < 2) return Bad("it ends within its first ", kMagic.size() + 2, " bytes; give all of it");
  if (byte(0) < 1 || byte(0) > 3 || byte(1) != 0) {
    return Bad("version ", byte(0), ".", byte(1), " is not known; save it as 1.0, 2.0 or 3.0");
  }
  const size_t before = byte(0) == 1 ? 4 : 6;
  if (rest.size() < before) return Bad("it ends within its first ", kMagic.size() + before, " bytes; give all of it");
  size_t length = byte(2) | byte(3) << 8;
  if (before == 6) length |= byte(4) << 16 | byte(5) << 24;
  if (length > static_cast<size_t>(kMaxNpyHeaderBytes)) {
    return Bad("its length is ", length, " bytes: at most ", kMaxNpyHeaderBytes);
  }
  if (rest.size() - before < length) {
    return Bad("only ", rest.size() - before, " of its ", length, " bytes are given; give all of them");
  }
  auto type = Dict(rest.substr(before, length), expected, limits).Read();
  if (!type.ok()) return type.status();
  return NpyHeader{*std::move(type), static_cast<int64_t>(kMagic.size() + before + length)};
}

}  // namespace bwrt::runtime
