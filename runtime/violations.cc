#include "runtime/violations.h"

#include "absl/strings/escaping.h"

namespace bwrt::runtime {

std::string Quoted(absl::string_view text) {
  constexpr size_t kShown = 80;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kShown)), text.size() > kShown ? "\"..." : "\"");
}

}  // namespace bwrt::runtime
