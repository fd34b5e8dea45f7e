// ByteRanges: which bytes of something have arrived: disjoint ranges, ascending.
//
// A value type.
#ifndef BWRT_RUNTIME_BYTE_RANGES_H_
#define BWRT_RUNTIME_BYTE_RANGES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace bwrt::runtime {

struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;  // Exclusive.
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

class ByteRanges {
 public:
  void Add(ByteRange range);
  void Clear() { *this = ByteRanges(); }

  // The parts of `range` that are in here, ascending.
  std::vector<ByteRange> Within(ByteRange range) const;
  // The parts of `range` that are not, ascending; at most `limit`.
  std::vector<ByteRange> MissingOf(ByteRange range, size_t limit) const;
  // Up to where everything from 0 on is there.
  int64_t prefix() const;
  // Bytes in all ranges.
  int64_t total() const { return total_; }
  size_t count() const { return ranges_.size(); }

 private:
  std::map<int64_t, int64_t> ranges_;  // Begin to end; no two touch.
  int64_t total_ = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_BYTE_RANGES_H_
