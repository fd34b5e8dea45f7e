#include "runtime/byte_ranges.h"

#include <algorithm>

namespace bwrt::runtime {

void ByteRanges::Add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ranges_.upper_bound(range.begin);
  if (at != ranges_.begin() && std::prev(at)->second >= range.begin) --at;
  // Everything it touches becomes part of it.
  while (at != ranges_.end() && at->first <= range.end) {
    range.begin = std::min(range.begin, at->first);
    range.end = std::max(range.end, at->second);
    total_ -= at->second - at->first;
    at = ranges_.erase(at);
  }
  ranges_.emplace(range.begin, range.end);
  total_ += range.end - range.begin;
}

std::vector<ByteRange> ByteRanges::Within(ByteRange range) const {
  std::vector<ByteRange> within;
  auto at = ranges_.upper_bound(range.begin);
  if (at != ranges_.begin()) --at;
  for (; at != ranges_.end() && at->first < range.end; ++at) {
    const ByteRange part{std::max(at->first, range.begin), std::min(at->second, range.end)};
    if (part.begin < part.end) within.push_back(part);
  }
  return within;
}

std::vector<ByteRange> ByteRanges::MissingOf(ByteRange range, size_t limit) const {
  std::vector<ByteRange> missing;
  int64_t from = range.begin;
  for (const ByteRange& part : Within(range)) {
    if (missing.size() == limit) return missing;
    if (from < part.begin) missing.push_back({from, part.begin});
    from = part.end;
  }
  if (from < range.end && missing.size() < limit) missing.push_back({from, range.end});
  return missing;
}

int64_t ByteRanges::prefix() const {
  return !ranges_.empty() && ranges_.begin()->first == 0 ? ranges_.begin()->second : 0;
}

}  // namespace bwrt::runtime
