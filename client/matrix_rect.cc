#include "client/matrix_rect.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace bwrt::client {
namespace {

// Digits alone: SimpleAtoi would also take signs and blanks.
bool ParseIndex(absl::string_view text, int64_t* value) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) && absl::SimpleAtoi(text, value);
}

bool ParseRange(absl::string_view text, int64_t* begin, int64_t* end) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  return parts.size() == 2 && ParseIndex(parts[0], begin) && ParseIndex(parts[1], end);
}

}  // namespace

absl::StatusOr<MatrixRect> ParseMatrixRect(absl::string_view text) {
  const std::vector<absl::string_view> ranges = absl::StrSplit(text, ',');
  MatrixRect rect;
  if (ranges.size() != 2 || !ParseRange(ranges[0], &rect.row_begin, &rect.row_end) ||
      !ParseRange(ranges[1], &rect.column_begin, &rect.column_end)) {
    return absl::InvalidArgumentError(absl::StrCat(text,
                                                   ": must be ROW0:ROW1,COL0:COL1 in integers from 0 to 2^63 - 1, ends "
                                                   "exclusive, such as 0:128,256:512"));
  }
  if (rect.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, ": holds no element: each end must be greater than its begin, such as 0:128,256:512"));
  }
  return rect;
}

std::string FormatMatrixRect(const MatrixRect& rect) {
  return absl::StrCat(rect.row_begin, ":", rect.row_end, ",", rect.column_begin, ":", rect.column_end);
}

MatrixRect Intersect(const MatrixRect& rect, const MatrixRect& other) {
  return {.row_begin = std::max(rect.row_begin, other.row_begin),
          .row_end = std::min(rect.row_end, other.row_end),
          .column_begin = std::max(rect.column_begin, other.column_begin),
          .column_end = std::min(rect.column_end, other.column_end)};
}

}  // namespace bwrt::client
