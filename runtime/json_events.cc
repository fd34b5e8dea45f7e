#include "runtime/json_events.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

using Kind = JsonScalar::Kind;

// What the parser calls. A false return stops it.
class Sax {
 public:
  explicit Sax(JsonEvents& events) : events_(events) {}

  bool null() { return Scalar(Kind::kOther, 0, "null"); }
  bool boolean(bool value) { return Scalar(Kind::kOther, 0, value ? "true" : "false"); }
  bool number_integer(int64_t value) { return Scalar(Kind::kInteger, value, absl::StrCat(value)); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Scalar(Kind::kOther, 0, absl::StrCat(value));
    }
    return Scalar(Kind::kInteger, static_cast<int64_t>(value), absl::StrCat(value));
  }
  // Also for integers beyond 64 bits.
  bool number_float(double, const std::string& text) { return Scalar(Kind::kOther, 0, text.substr(0, 40)); }
  bool string(std::string& value) { return Scalar(Kind::kString, 0, std::move(value)); }
  bool binary(nlohmann::json::binary_t&) { return false; }  // Not in JSON text.
  bool start_object(size_t) { return Open(JsonEvents::Container::kObject); }
  bool start_array(size_t) { return Open(JsonEvents::Container::kList); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(std::string& name) { return Next(events_.Key(depth_, std::move(name))); }
  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception&) {
    return Next(absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", position, ", near ", Quoted(token))));
  }

  absl::Status Take() { return std::move(status_); }

 private:
  bool Next(absl::Status status) {
    status_ = std::move(status);
    return status_.ok();
  }
  bool Scalar(Kind kind, int64_t integer, std::string text) {
    return Next(events_.Scalar(depth_, {kind, integer, std::move(text)}));
  }
  bool Open(JsonEvents::Container container) {
    if (depth_ == kMaxJsonDepth) {
      return Next(absl::InvalidArgumentError(absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels")));
    }
    return Next(events_.Open(depth_++, container));
  }
  bool Close() { return Next(events_.Close(--depth_)); }

  JsonEvents& events_;
  int depth_ = 0;
  absl::Status status_;
};

}  // namespace

absl::Status ParseJson(absl::string_view text, JsonEvents& events) {
  // The parser would take it for the end, whatever follows.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", zero, ", near ", Quoted(text.substr(zero, 1))));
  }
  Sax sax(events);
  // With a handler of our own the parser throws nothing and keeps its own stack.
  nlohmann::json::sax_parse(text.begin(), text.end(), &sax);
  return sax.Take();
}

}  // namespace bwrt::runtime
