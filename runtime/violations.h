// Violations: collects everything wrong with one request. Keeps the first 64 and counts the rest, so that a
// hostile request costs a bounded answer.
#ifndef BWRT_RUNTIME_VIOLATIONS_H_
#define BWRT_RUNTIME_VIOLATIONS_H_

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/error.h"

namespace bwrt::runtime {

class Violations {
 public:
  static constexpr size_t kKept = 64;

  // The description becomes "<field>=<value>: <why>". `value` and `why` are anything StrCat takes.
  template <typename Value, typename... Why>
  void Add(absl::string_view field, absl::string_view reason, const Value& value, const Why&... why) {
    if (++count_ > kKept) return;
    list_.push_back({std::string(field), std::string(reason), absl::StrCat(field, "=", value, ": ", why...)});
  }

  bool empty() const { return count_ == 0; }

  // INVALID_ARGUMENT with all of them, or OK. `what` names the request, such as "wave".
  absl::Status Take(absl::string_view what) {
    if (count_ > kKept) {
      list_.push_back({"", "TOO_MANY_VIOLATIONS",
                       absl::StrCat(count_ - kKept, " further violations are not listed; fix these first")});
    }
    return InvalidRequest(what, std::move(list_));
  }

 private:
  size_t count_ = 0;
  std::vector<FieldViolation> list_;
};

// A client's string in an error: cut short, and nothing unprintable.
std::string Quoted(absl::string_view text);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_VIOLATIONS_H_
