// JsonEvents: a JSON document as a series of events, for headers that may be hostile.
//
// Nothing is built in memory, nothing recurses and nothing throws: integers are exact or no integers at all, keys come
// once for each time that they are written, and whoever receives the events can stop at any of them.
#ifndef BWRT_RUNTIME_JSON_EVENTS_H_
#define BWRT_RUNTIME_JSON_EVENTS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bwrt::runtime {

// A value that is neither a list nor an object.
struct JsonScalar {
  enum class Kind : uint8_t {
    kInteger,  // Written as an integer, and fits 64 bits.
    kString,
    kOther,  // Any other number, true, false, null.
  };
  Kind kind = Kind::kOther;
  int64_t integer = 0;
  std::string text;  // The string; for the others how it is shown in an error.
};

// Receives what is in a document, in order. A status that is not OK ends the parsing and is its result.
//
// `depth` counts the lists and objects around the thing: the outermost object opens at 0, its keys come at 1.
class JsonEvents {
 public:
  enum class Container : uint8_t { kObject, kList };

  virtual ~JsonEvents() = default;
  virtual absl::Status Key(int depth, std::string name) = 0;
  virtual absl::Status Scalar(int depth, JsonScalar value) = 0;
  virtual absl::Status Open(int depth, Container container) = 0;
  // The container that opened at `depth`.
  virtual absl::Status Close(int depth) = 0;
};

// Deeper documents are refused.
inline constexpr int kMaxJsonDepth = 16;

// INVALID_ARGUMENT, without a reason, for what is not JSON (RFC 8259, UTF-8); otherwise what `events` say.
absl::Status ParseJson(absl::string_view text, JsonEvents& events);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_JSON_EVENTS_H_
