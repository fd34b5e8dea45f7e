// A JSON document as it was written: integers exact, with their position kept for error texts.
//
// A plain value, owned by whoever parsed it. nlohmann::json would turn an integer beyond 64 bits
// into a rounded double and throw on a wrong type; here a number keeps its text and nothing throws.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {

struct JsonValue {
  enum class Kind { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  int64_t integer = 0;  // kInteger: a number written as one that fits.
  // kNumber: as written, because it is no integer or beyond 64 bits. kString: its value.
  std::string text = {};
  std::vector<JsonValue> items = {};                            // kArray.
  std::vector<std::pair<std::string, JsonValue>> members = {};  // kObject, in order.

  // The member of that name, the last where it is repeated; null where there is none.
  const JsonValue* Find(absl::string_view name) const;

  // For error texts: the value where it is short, else its kind.
  std::string Describe() const;
};

// Nesting beyond this is refused, which bounds every recursion over a value.
inline constexpr int kMaxJsonDepth = 32;

// INVALID_ARGUMENT: not JSON, or nested too deeply; says where.
absl::StatusOr<JsonValue> ParseJson(absl::string_view text);

}  // namespace bwrt::client
