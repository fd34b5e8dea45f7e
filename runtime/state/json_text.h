// JSON as the state directory writes it: one line, keys sorted, integers only. Reading trusts nothing and never throws;
// whoever parses also encodes what was parsed and compares, so that no second spelling, unknown key or repeated key of
// anything is accepted. Pure functions. Included by sources alone: the library costs seconds to compile.
#ifndef BWRT_RUNTIME_STATE_JSON_TEXT_H_
#define BWRT_RUNTIME_STATE_JSON_TEXT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/digest.h"
#include "runtime/ids.h"

namespace bwrt::runtime {

using Json = nlohmann::json;

std::string Dump(const Json& json);
// Nullopt for what is no JSON, and for what nests deeper than anything we write.
std::optional<Json> ParseJson(absl::string_view text);

// "<32 hex digits> <text>\n": a text with its xxh3 digest.
std::string SealedLine(absl::string_view text);
// The text of a sealed line without its end; nullopt when the digest is not the text's.
std::optional<absl::string_view> UnsealLine(absl::string_view line);

// Whether `object` is one, has `key` and holds something of the kind there; then it is in `*to`. Numbers lie in
// [0, 2^63).
bool Get(const Json& object, const char* key, std::string* to);
bool Get(const Json& object, const char* key, int64_t* to);
bool Get(const Json& object, const char* key, uint64_t* to);
bool Get(const Json& object, const char* key, bool* to);
bool Get(const Json& object, const char* key, Version* to);
bool Get(const Json& object, const char* key, Digest* to);
// The array at `key`; null when there is none.
const Json* GetArray(const Json& object, const char* key);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_JSON_TEXT_H_
