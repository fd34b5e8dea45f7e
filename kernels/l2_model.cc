#include "kernels/l2_model.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>

namespace bwrt::kernels {
namespace {

constexpr int32_t kNone = -1;
constexpr int64_t kMaxBlocks = int64_t{1} << 30;

// Fibonacci hashing: neighbouring block numbers spread over the whole table.
std::size_t Hash(uint64_t block, std::size_t table_size) {
  return static_cast<std::size_t>((block * 0x9e3779b97f4a7c15u) >> 32) & (table_size - 1);
}

}  // namespace

L2Model::L2Model(int64_t capacity_bytes, int64_t expected_blocks)
    : capacity_bytes_(capacity_bytes), newest_(kNone), oldest_(kNone), free_(kNone) {
  // One more than expected: a block enters before the oldest leaves.
  const int64_t blocks = std::clamp(expected_blocks, int64_t{7}, kMaxBlocks) + 1;
  slots_.reserve(static_cast<std::size_t>(blocks));
  table_.assign(std::bit_ceil(static_cast<std::size_t>(2 * blocks)), kNone);
}

std::size_t L2Model::Find(uint64_t block) const {
  std::size_t i = Hash(block, table_.size());
  while (table_[i] != kNone && slots_[table_[i]].block != block) i = (i + 1) & (table_.size() - 1);
  return i;
}

void L2Model::Touch(uint64_t block, int64_t bytes) {
  total_bytes_ += bytes;
  std::size_t i = Find(block);
  if (table_[i] != kNone) {
    hit_bytes_ += bytes;
    if (table_[i] != newest_) {
      Unlink(table_[i]);
      LinkNewest(table_[i]);
    }
    return;
  }
  if (bytes > capacity_bytes_) {
    while (oldest_ != kNone) EvictOldest();
    return;
  }
  while (resident_bytes_ > capacity_bytes_ - bytes) EvictOldest();
  if (free_ == kNone && 2 * (slots_.size() + 1) > table_.size()) Grow();
  int32_t slot = free_;
  if (slot == kNone) {
    slot = static_cast<int32_t>(slots_.size());
    slots_.push_back({});
  } else {
    free_ = slots_[slot].newer;
  }
  slots_[slot] = {block, bytes, kNone, kNone};
  table_[Find(block)] = slot;  // Found anew: evicting and growing move entries.
  LinkNewest(slot);
  resident_bytes_ += bytes;
}

void L2Model::Grow() {
  table_.assign(2 * table_.size(), kNone);
  for (int32_t slot = newest_; slot != kNone; slot = slots_[slot].older) table_[Find(slots_[slot].block)] = slot;
}

void L2Model::Unlink(int32_t slot) {
  const Slot& s = slots_[slot];
  (s.newer == kNone ? newest_ : slots_[s.newer].older) = s.older;
  (s.older == kNone ? oldest_ : slots_[s.older].newer) = s.newer;
}

void L2Model::LinkNewest(int32_t slot) {
  slots_[slot].newer = kNone;
  slots_[slot].older = newest_;
  (newest_ == kNone ? oldest_ : slots_[newest_].newer) = slot;
  newest_ = slot;
}

void L2Model::EvictOldest() {
  const int32_t slot = oldest_;
  // Closes the gap in the probe sequence: an entry moves back unless its own place lies behind the
  // gap.
  const std::size_t mask = table_.size() - 1;
  std::size_t gap = Find(slots_[slot].block);
  for (std::size_t i = (gap + 1) & mask; table_[i] != kNone; i = (i + 1) & mask) {
    const std::size_t home = Hash(slots_[table_[i]].block, table_.size());
    if (((i - home) & mask) >= ((i - gap) & mask)) {
      table_[gap] = table_[i];
      gap = i;
    }
  }
  table_[gap] = kNone;
  Unlink(slot);
  resident_bytes_ -= slots_[slot].bytes;
  slots_[slot].newer = free_;
  free_ = slot;
}

std::optional<double> TraversalHitRatio(absl::Span<const TileRect> order, int64_t k, int64_t bk, DType dtype,
                                        int64_t capacity_bytes, int64_t max_touches) {
  if (order.empty() || k <= 0 || bk <= 0) return std::nullopt;
  const int64_t steps = (k - 1) / bk + 1;
  int64_t visits = 0;
  if (__builtin_mul_overflow(steps, static_cast<int64_t>(order.size()), &visits) || visits > max_touches / 2) {
    return std::nullopt;
  }
  // No more blocks can be resident than smallest blocks fit, and no more than there are touches.
  int64_t smallest = std::numeric_limits<int64_t>::max();
  const int64_t last_step = k - (steps - 1) * bk;
  for (const TileRect& tile : order) {
    smallest = std::min(smallest, std::min(tile.rows, tile.cols) * last_step * SizeOf(dtype));
  }
  L2Model model(capacity_bytes,
                std::min(2 * visits, std::max<int64_t>(capacity_bytes, 0) / std::max<int64_t>(smallest, 1)));
  for (const TileRect& tile : order) {
    // Rows and columns of C times steps number the blocks; the lowest bit tells A's from W's.
    const uint64_t a0 = static_cast<uint64_t>(tile.row0) * static_cast<uint64_t>(steps);
    const uint64_t w0 = static_cast<uint64_t>(tile.col0) * static_cast<uint64_t>(steps);
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t step_bytes = std::min(bk, k - step * bk) * SizeOf(dtype);
      model.Touch((a0 + static_cast<uint64_t>(step)) << 1, tile.rows * step_bytes);
      model.Touch(((w0 + static_cast<uint64_t>(step)) << 1) | 1, tile.cols * step_bytes);
    }
  }
  if (model.total_bytes() == 0) return std::nullopt;
  return static_cast<double>(model.hit_bytes()) / static_cast<double>(model.total_bytes());
}

}  // namespace bwrt::kernels
