#include "client/json_value.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

using Kind = JsonValue::Kind;

// Builds a JsonValue from the parser's events. A false return stops the parser.
class Builder {
 public:
  bool null() { return Add({}); }
  bool boolean(bool value) { return Add({.kind = Kind::kBool, .boolean = value}); }
  bool number_integer(int64_t value) { return Add({.kind = Kind::kInteger, .integer = value}); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Add({.kind = Kind::kNumber, .text = absl::StrCat(value)});
    }
    return number_integer(static_cast<int64_t>(value));
  }
  bool number_float(double, const std::string& text) { return Add({.kind = Kind::kNumber, .text = text}); }
  bool string(std::string& value) { return Add({.kind = Kind::kString, .text = std::move(value)}); }
  bool binary(nlohmann::json::binary_t&) { return false; }  // Not in JSON text.
  bool start_object(size_t) { return Open(Kind::kObject); }
  bool start_array(size_t) { return Open(Kind::kArray); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(std::string& name) {
    open_.back()->members.emplace_back(std::move(name), JsonValue());
    return true;
  }
  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, ..." without its number.
    std::string what = e.what();
    const size_t bracket = what.find("] ");
    if (bracket != std::string::npos) what.erase(0, bracket + 2);
    error_ = absl::StrCat(Path(), Path().empty() ? "" : ": ", what, " (byte ", position);
    if (!token.empty()) absl::StrAppend(&error_, ", at '", token.substr(0, 40), "'");
    absl::StrAppend(&error_, ")");
    // Keys and tokens of the input are part of it, and may be of any length.
    constexpr size_t kMaxError = 1024;
    if (error_.size() > kMaxError) error_ = absl::StrCat(error_.substr(0, kMaxError), "...");
    return false;
  }

  JsonValue Take() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  // Where the next value belongs.
  JsonValue* Place() {
    if (open_.empty()) return &root_;
    JsonValue* parent = open_.back();
    if (parent->kind == Kind::kObject) return &parent->members.back().second;
    return &parent->items.emplace_back();
  }

  bool Add(JsonValue value) {
    *Place() = std::move(value);
    return true;
  }

  bool Open(Kind kind) {
    if (open_.size() >= kMaxJsonDepth) {
      error_ = absl::StrCat(Path(), ": nested deeper than ", kMaxJsonDepth, " levels");
      return false;
    }
    JsonValue* value = Place();
    value->kind = kind;
    // The pointers stay valid: a parent's vector grows only while no child of it is open.
    open_.push_back(value);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  std::string Path() const {
    std::string path;
    for (const JsonValue* value : open_) {
      if (value->kind == Kind::kArray) {
        absl::StrAppend(&path, "[", value == open_.back() ? value->items.size() : value->items.size() - 1, "]");
      } else if (!value->members.empty()) {
        absl::StrAppend(&path, path.empty() ? "" : ".", value->members.back().first);
      }
    }
    return path;
  }

  JsonValue root_;
  std::vector<JsonValue*> open_;
  std::string error_;
};

}  // namespace

const JsonValue* JsonValue::Find(absl::string_view name) const {
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->first == name) return &member->second;
  }
  return nullptr;
}

std::string JsonValue::Describe() const {
  constexpr size_t kMaxText = 40;
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return boolean ? "true" : "false";
    case Kind::kInteger:
      return absl::StrCat(integer);
    case Kind::kNumber:
      return text.size() > kMaxText ? absl::StrCat(text.substr(0, kMaxText), "...") : text;
    case Kind::kString:
      return text.size() > kMaxText ? "a string" : absl::StrCat("\"", text, "\"");
    case Kind::kArray:
      return "a list";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

absl::StatusOr<JsonValue> ParseJson(absl::string_view text) {
  // The parser takes it for the end of the text, and what follows would be ignored.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: a zero byte (byte ", zero + 1, ")"));
  }
  Builder builder;
  // With a handler of our own the parser throws nothing and keeps its own stack.
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!parsed) return absl::InvalidArgumentError(absl::StrCat("not JSON: ", builder.error()));
  return builder.Take();
}

}  // namespace bwrt::client
