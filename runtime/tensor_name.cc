#include "runtime/tensor_name.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/limits.h"

namespace bwrt::runtime {

bool IsTensorName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxTensorNameBytes || name[0] == '/') return false;
  if (std::any_of(name.begin(), name.end(), [](char ch) { return absl::ascii_iscntrl(ch); })) return false;
  // The control characters U+0080 to U+009F, in UTF-8.
  for (size_t i = 0; i + 1 < name.size(); ++i) {
    if (name[i] == '\xC2' && static_cast<unsigned char>(name[i + 1]) < 0xA0) return false;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

std::string TensorNameRule() {
  return absl::StrCat("use 1 to ", kMaxTensorNameBytes, " bytes without control characters, leading '/' or '..' part");
}

}  // namespace bwrt::runtime
