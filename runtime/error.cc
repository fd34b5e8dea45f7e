#include "runtime/error.h"

#include <charconv>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kPayload = "bwrt.ErrorDetails";

// Strings as "<length>:<bytes>", counts and durations as such strings of digits. Only this file reads it.
class Writer {
 public:
  void Add(absl::string_view s) { absl::StrAppend(&out_, s.size(), ":", s); }
  void Add(int64_t n) { Add(absl::StrCat(n)); }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(absl::string_view in) : in_(in) {}
  std::string String() {
    size_t size = 0;
    const auto [end, ec] = std::from_chars(in_.data(), in_.data() + in_.size(), size);
    (void)ec;
    const size_t header = static_cast<size_t>(end - in_.data()) + 1;
    std::string s(in_.substr(header, size));
    in_.remove_prefix(header + size);
    return s;
  }
  int64_t Int() {
    const std::string s = String();
    int64_t n = 0;
    std::from_chars(s.data(), s.data() + s.size(), n);
    return n;
  }

 private:
  absl::string_view in_;
};

std::string Encode(const ErrorDetails& d) {
  Writer w;
  w.Add(d.reason);
  w.Add(static_cast<int64_t>(d.metadata.size()));
  for (const auto& [key, value] : d.metadata) {
    w.Add(key);
    w.Add(value);
  }
  w.Add(static_cast<int64_t>(d.fields.size()));
  for (const FieldViolation& v : d.fields) {
    w.Add(v.field);
    w.Add(v.reason);
    w.Add(v.description);
  }
  w.Add(static_cast<int64_t>(d.preconditions.size()));
  for (const PreconditionViolation& v : d.preconditions) {
    w.Add(v.type);
    w.Add(v.subject);
    w.Add(v.description);
  }
  w.Add(d.retry_after ? d.retry_after->count() : int64_t{-1});
  return w.Take();
}

ErrorDetails Decode(absl::string_view bytes) {
  Reader r(bytes);
  ErrorDetails d;
  d.reason = r.String();
  for (int64_t n = r.Int(); n > 0; --n) {
    std::string key = r.String();
    d.metadata.emplace_back(std::move(key), r.String());
  }
  for (int64_t n = r.Int(); n > 0; --n) {
    FieldViolation& v = d.fields.emplace_back();
    v.field = r.String();
    v.reason = r.String();
    v.description = r.String();
  }
  for (int64_t n = r.Int(); n > 0; --n) {
    PreconditionViolation& v = d.preconditions.emplace_back();
    v.type = r.String();
    v.subject = r.String();
    v.description = r.String();
  }
  if (const int64_t ns = r.Int(); ns >= 0) d.retry_after = Duration(ns);
  return d;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view message, const ErrorDetails& details) {
  absl::Status status(code, message);
  status.SetPayload(kPayload, absl::Cord(Encode(details)));
  return status;
}

absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message) {
  ErrorDetails details;
  details.reason = std::string(reason);
  return MakeError(code, message, details);
}

std::optional<ErrorDetails> GetDetails(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return std::nullopt;
  return Decode(std::string(*payload));
}

std::string GetReason(const absl::Status& status) {
  const auto details = GetDetails(status);
  return details ? details->reason : std::string();
}

absl::Status InvalidRequest(absl::string_view what, std::vector<FieldViolation> violations) {
  if (violations.empty()) return absl::OkStatus();
  std::string message = absl::StrCat("invalid ", what, ": ", violations[0].description);
  if (violations.size() > 1) absl::StrAppend(&message, " (and ", violations.size() - 1, " more)");
  ErrorDetails details;
  details.reason = violations[0].reason;
  details.fields = std::move(violations);
  return MakeError(absl::StatusCode::kInvalidArgument, message, details);
}

}  // namespace bwrt::runtime
