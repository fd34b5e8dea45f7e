// IsPlainName: whether a name is fit for one component of a path.
#ifndef BWRT_RUNTIME_PLAIN_NAME_H_
#define BWRT_RUNTIME_PLAIN_NAME_H_

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace bwrt::runtime {

// 1 to 255 bytes without '/' or control characters, and neither "." nor "..".
inline bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char ch) { return ch == '/' || absl::ascii_iscntrl(ch); });
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PLAIN_NAME_H_
