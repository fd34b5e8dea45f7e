#include "kernels/l2_model.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace bwrt::kernels {
namespace {

// Sums over what follows a position, while single values change (Fenwick's tree, from the back).
class SuffixSums {
 public:
  explicit SuffixSums(size_t size) : sums_(size + 1) {}

  void Add(size_t position, int64_t value) {
    for (size_t i = sums_.size() - 1 - position; i < sums_.size(); i += i & (~i + 1)) sums_[i] += value;
  }
  // Over all positions from `position` on.
  int64_t From(size_t position) const {
    int64_t sum = 0;
    for (size_t i = sums_.size() - 1 - position; i > 0; i &= i - 1) sum += sums_[i];
    return sum;
  }

 private:
  std::vector<int64_t> sums_;
};

// A tile row of A or a tile column of W: at each step of K one block of it is read.
struct Operand {
  int64_t width = 0;  // Rows of A, or columns of W.
  // Of its last read: where it is in the traversal's list of operands, and which group it was of.
  static constexpr size_t kNever = ~size_t{0};
  size_t last = kNever;
  size_t group = 0;
};

// Every tile's row and column, by number.
struct Operands {
  std::vector<Operand> all;
  std::vector<uint32_t> read;  // A's and W's of each tile in turn.
};

Operands NumberOperands(absl::Span<const TileRect> order) {
  Operands operands;
  operands.read.reserve(2 * order.size());
  absl::flat_hash_map<int64_t, uint32_t> rows, columns;
  const auto number = [&operands](absl::flat_hash_map<int64_t, uint32_t>& known, int64_t at, int64_t width) {
    const auto [place, is_new] = known.try_emplace(at, static_cast<uint32_t>(operands.all.size()));
    if (is_new) operands.all.push_back({.width = width});
    operands.read.push_back(place->second);
  };
  for (const TileRect& tile : order) {
    number(rows, tile.row0, tile.rows);
    number(columns, tile.col0, tile.cols);
  }
  return operands;
}

// How K is cut. Steps before the last one are bk deep.
struct Steps {
  Steps(int64_t k_in, int64_t bk_in) : k(k_in), bk(std::min(bk_in, k_in)) {}
  const int64_t k;
  const int64_t bk;
  const int64_t before_last = (k - 1) / bk;
  const int64_t last_depth = k - before_last * bk;
};

// Of the steps from 0 to steps - 1, how many have first + step * slope <= limit.
int64_t CountAtMost(int64_t first, int64_t slope, int64_t steps, int64_t limit) {
  if (slope == 0) return first <= limit ? steps : 0;
  if (slope > 0) return first > limit ? 0 : std::min(steps, (limit - first) / slope + 1);
  if (first <= limit) return steps;
  return std::max<int64_t>(0, steps - (first - limit - slope - 1) / -slope);
}

// Widths of what is distinct between two reads of an operand's block at one step.
struct Between {
  int64_t earlier;  // At each step before that one.
  int64_t same;     // At that step.
  int64_t later;    // At each step after it.
};

// Over how much of K an operand of `width` hits, where `room` is the cache's in elements.
int64_t DepthOfHits(const Steps& steps, int64_t width, const Between& between, int64_t room) {
  const int64_t own = between.same + width;
  const int64_t first = between.later * (steps.k - steps.bk) + own * steps.bk;
  const int64_t slope = (between.earlier - between.later) * steps.bk;
  const int64_t at_last = between.earlier * steps.before_last * steps.bk + own * steps.last_depth;
  return CountAtMost(first, slope, steps.before_last, room) * steps.bk + (at_last <= room ? steps.last_depth : 0);
}

// Reads groups of tiles and adds up what hits, in elements.
class Reader {
 public:
  Reader(Operands operands, const Steps& steps, int64_t room, size_t operands_of_group)
      : operands_(std::move(operands)),
        steps_(steps),
        room_(room),
        stride_(operands_of_group),
        widths_(operands_.read.size()) {}

  int64_t Hits() {
    for (size_t group = 0; group * stride_ < operands_.read.size(); ++group) ReadGroup(group);
    return hits_;
  }

 private:
  // An operand of this group that an earlier one read last.
  struct Returning {
    int64_t width;
    size_t next_group;  // After the one that read it last.
    Between between;
  };

  void ReadGroup(size_t group) {
    const size_t begin = group * stride_, end = std::min(begin + stride_, operands_.read.size());
    FindReturning(begin, end);
    size_t next_returning = 0;
    for (size_t i = begin; i < end; ++i) {
      Operand& operand = operands_.all[operands_.read[i]];
      if (operand.last != Operand::kNever) {
        const int64_t since = widths_.From(operand.last + 1);
        if (operand.last < begin) {
          returning_[next_returning++].between.same = since;
        } else {
          HitWithinGroup(operand.width, since);
        }
        widths_.Add(operand.last, -operand.width);
      }
      widths_.Add(i, operand.width);
      operand.last = i;
      operand.group = group;
    }
    // By now the widths hold this group as well, which is what earlier steps of it have read.
    for (Returning& operand : returning_) {
      operand.between.earlier = widths_.From(operand.next_group * stride_);
      hits_ += operand.width * DepthOfHits(steps_, operand.width, operand.between, room_);
    }
  }

  // In the order of their first reads, with what was read from the group that read them last up to this one.
  void FindReturning(size_t begin, size_t end) {
    returning_.clear();
    for (size_t i = begin; i < end; ++i) {
      Operand& operand = operands_.all[operands_.read[i]];
      if (operand.last == Operand::kNever || operand.group == kFound) continue;
      returning_.push_back({.width = operand.width,
                            .next_group = operand.group + 1,
                            .between = {.earlier = 0, .same = 0, .later = widths_.From(operand.group * stride_)}});
      operand.group = kFound;
    }
  }

  // Another tile of the group has read the block at this very step.
  void HitWithinGroup(int64_t width, int64_t since) {
    if ((since + width) * steps_.bk <= room_) hits_ += width * steps_.before_last * steps_.bk;
    if ((since + width) * steps_.last_depth <= room_) hits_ += width * steps_.last_depth;
  }

  static constexpr size_t kFound = ~size_t{0};  // Stands for the group, until it is read.

  Operands operands_;
  const Steps steps_;
  const int64_t room_;
  const size_t stride_;  // Operands of one group.
  // At the place of each operand's last read, its width: so a suffix holds what is distinct in it.
  SuffixSums widths_;
  std::vector<Returning> returning_;
  int64_t hits_ = 0;
};

bool Multiply(int64_t a, int64_t b, int64_t* product) { return !__builtin_mul_overflow(a, b, product); }

}  // namespace

std::optional<L2Traffic> ModelL2Traffic(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t concurrent) {
  if (order.empty() || k <= 0 || bk <= 0) return std::nullopt;
  int64_t row_bytes = 0, read_width = 0, distinct_width = 0;
  L2Traffic traffic;
  for (const TileRect& tile : order) {
    if (__builtin_add_overflow(read_width, tile.rows, &read_width) ||
        __builtin_add_overflow(read_width, tile.cols, &read_width)) {
      return std::nullopt;
    }
  }
  // All that is summed up below is at most this.
  if (!Multiply(k, SizeOf(dtype), &row_bytes) || !Multiply(read_width, row_bytes, &traffic.read_bytes) ||
      traffic.read_bytes == 0) {
    return std::nullopt;
  }
  Operands operands = NumberOperands(order);
  for (const Operand& operand : operands.all) distinct_width += operand.width;
  traffic.distinct_bytes = distinct_width * row_bytes;
  const int64_t tiles = std::clamp<int64_t>(concurrent, 1, static_cast<int64_t>(order.size()));
  const int64_t room = std::max<int64_t>(capacity_bytes, 0) / SizeOf(dtype);
  Reader reader(std::move(operands), Steps(k, bk), room, static_cast<size_t>(2 * tiles));
  traffic.hit_bytes = reader.Hits() * SizeOf(dtype);
  return traffic;
}

std::optional<double> TraversalHitRatio(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t max_operands, int64_t concurrent) {
  if (static_cast<int64_t>(order.size()) > max_operands / 2) return std::nullopt;
  const auto traffic = ModelL2Traffic(order, k, bk, dtype, capacity_bytes, concurrent);
  if (!traffic) return std::nullopt;
  return traffic->hit_ratio();
}

}  // namespace bwrt::kernels
