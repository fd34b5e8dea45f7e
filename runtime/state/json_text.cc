#include "runtime/state/json_text.h"

#include <limits>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

constexpr int kMaxDepth = 8;

// Before the parser spends memory on each level.
bool NestsTooDeep(absl::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char ch = text[i];
    if (quoted) {
      if (ch == '\\') ++i;
      if (ch == '"') quoted = false;
    } else if (ch == '"') {
      quoted = true;
    } else if (ch == '[' || ch == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (ch == ']' || ch == '}') {
      --depth;
    }
  }
  return false;
}

const Json* Find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

std::string Seal(absl::string_view text) { return Digest::Of(Digest::Kind::kXxh3, text).Hex(); }

}  // namespace

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::optional<Json> ParseJson(absl::string_view text) {
  if (text.empty() || NestsTooDeep(text)) return std::nullopt;
  Json json = Json::parse(text.data(), text.data() + text.size(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::string SealedLine(absl::string_view text) { return absl::StrCat(Seal(text), " ", text, "\n"); }

std::optional<absl::string_view> UnsealLine(absl::string_view line) {
  const size_t space = line.find(' ');
  if (space == absl::string_view::npos) return std::nullopt;
  const absl::string_view text = line.substr(space + 1);
  if (line.substr(0, space) != Seal(text)) return std::nullopt;
  return text;
}

bool Get(const Json& object, const char* key, std::string* to) {
  const Json* value = Find(object, key);
  if (value == nullptr || !value->is_string()) return false;
  *to = value->get_ref<const std::string&>();
  return true;
}

bool Get(const Json& object, const char* key, uint64_t* to) {
  const Json* value = Find(object, key);
  if (value == nullptr || !value->is_number_unsigned()) return false;
  *to = value->get<uint64_t>();
  return *to <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

bool Get(const Json& object, const char* key, int64_t* to) {
  uint64_t number = 0;
  if (!Get(object, key, &number)) return false;
  *to = static_cast<int64_t>(number);
  return true;
}

bool Get(const Json& object, const char* key, bool* to) {
  const Json* value = Find(object, key);
  if (value == nullptr || !value->is_boolean()) return false;
  *to = value->get<bool>();
  return true;
}

bool Get(const Json& object, const char* key, Version* to) {
  uint64_t number = 0;
  if (!Get(object, key, &number)) return false;
  *to = Version(number);
  return true;
}

bool Get(const Json& object, const char* key, Digest* to) {
  std::string text;
  if (!Get(object, key, &text)) return false;
  const auto digest = Digest::Parse(text);
  if (!digest.ok() || digest->kind() != Digest::Kind::kXxh3) return false;
  *to = *digest;
  return true;
}

const Json* GetArray(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  return value != nullptr && value->is_array() ? value : nullptr;
}

}  // namespace bwrt::runtime
