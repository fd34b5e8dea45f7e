#include "kernels/l2_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <list>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace bwrt::kernels {
namespace {

constexpr int64_t kNoLimit = int64_t{1} << 40;

// The tiles of a grid of 4x4 tiles, by their (row, column) in it.
std::vector<TileRect> Order(const std::vector<std::pair<int64_t, int64_t>>& tiles) {
  std::vector<TileRect> order;
  for (const auto& [row, col] : tiles) order.push_back({row * 4, col * 4, 4, 4});
  return order;
}

// The header's words, block by block.
class Replay {
 public:
  explicit Replay(int64_t capacity_bytes) : capacity_(capacity_bytes) {}

  void Read(int64_t block, int64_t bytes) {
    traffic_.read_bytes += bytes;
    const auto at =
        std::find_if(cache_.begin(), cache_.end(), [block](const auto& cached) { return cached.first == block; });
    if (at != cache_.end()) {
      traffic_.hit_bytes += bytes;
      cache_.splice(cache_.begin(), cache_, at);
      return;
    }
    if (seen_.insert(block).second) traffic_.distinct_bytes += bytes;
    while (!cache_.empty() && resident_ + bytes > capacity_) {
      resident_ -= cache_.back().second;
      cache_.pop_back();
    }
    if (bytes > capacity_) return;
    cache_.emplace_front(block, bytes);
    resident_ += bytes;
  }

  const L2Traffic& traffic() const { return traffic_; }

 private:
  const int64_t capacity_;
  int64_t resident_ = 0;
  std::list<std::pair<int64_t, int64_t>> cache_;  // Newest first.
  std::set<int64_t> seen_;
  L2Traffic traffic_;
};

L2Traffic ReplayTraffic(const std::vector<TileRect>& order, int64_t k, int64_t bk, DType dtype, int64_t capacity,
                        int64_t concurrent) {
  Replay replay(capacity);
  const auto group_of = static_cast<size_t>(concurrent);
  for (size_t first = 0; first < order.size(); first += group_of) {
    for (int64_t begin = 0; begin < k; begin += bk) {
      const int64_t step_bytes = std::min(bk, k - begin) * SizeOf(dtype);
      for (size_t i = first; i < std::min(first + group_of, order.size()); ++i) {
        replay.Read(2 * (order[i].row0 * k + begin), order[i].rows * step_bytes);
        replay.Read(2 * (order[i].col0 * k + begin) + 1, order[i].cols * step_bytes);
      }
    }
  }
  return replay.traffic();
}

std::string Words(const L2Traffic& traffic) {
  return absl::StrCat(traffic.read_bytes, " read, ", traffic.hit_bytes, " hit, ", traffic.distinct_bytes, " distinct");
}

// Orders of every kind: row-major, column-major, random, with tiles left out or repeated, with partial tiles at the
// edges; K with and without a tail; caches from one block up.
TEST(ModelL2TrafficTest, AgreesWithReadingBlockByBlock) {
  std::mt19937 random(7);
  const auto draw = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  int some_hit = 0, intermediate = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const int64_t m = draw(1, 20), n = draw(1, 20), bm = draw(1, 6), bn = draw(1, 6);
    std::vector<TileRect> order;
    for (int64_t row = 0; row < m; row += bm) {
      for (int64_t col = 0; col < n; col += bn) {
        order.push_back({row, col, std::min(bm, m - row), std::min(bn, n - col)});
      }
    }
    switch (trial % 4) {
      case 0:
        std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.col0 < b.col0; });
        break;
      case 1:
        std::shuffle(order.begin(), order.end(), random);
        break;
      case 2:
        std::shuffle(order.begin(), order.end(), random);
        order.resize(static_cast<size_t>(draw(1, static_cast<int64_t>(order.size()))));
        order.push_back(order[0]);
        break;
      default:
        break;
    }
    const int64_t k = draw(1, 24), bk = draw(1, 30), concurrent = draw(1, 9);
    const DType dtype = trial % 2 == 0 ? DType::kF32 : DType::kBF16;
    const int64_t capacity = draw(0, trial % 3 == 0 ? 200 : 3000);
    const auto traffic = ModelL2Traffic(order, k, bk, dtype, capacity, concurrent);
    ASSERT_TRUE(traffic.has_value());
    const L2Traffic expected = ReplayTraffic(order, k, bk, dtype, capacity, concurrent);
    ASSERT_EQ(Words(*traffic), Words(expected))
        << "trial " << trial << ": m " << m << " n " << n << " bm " << bm << " bn " << bn << " k " << k << " bk " << bk
        << " concurrent " << concurrent << " capacity " << capacity;
    some_hit += expected.hit_bytes > 0 ? 1 : 0;
    intermediate += expected.hit_bytes > 0 && expected.miss_bytes() > expected.distinct_bytes ? 1 : 0;
  }
  // The interesting trials are those in which some reads hit and others would have in a larger cache.
  EXPECT_GT(some_hit, 1000);
  EXPECT_GT(intermediate, 500);
}

TEST(ModelL2TrafficTest, ALargerCacheNeverHitsLess) {
  std::mt19937 random(3);
  std::vector<TileRect> order;
  for (int64_t i = 0; i < 64; ++i) order.push_back({i / 8 * 16, i % 8 * 16, 16, 16});
  std::shuffle(order.begin(), order.end(), random);
  for (const int64_t concurrent : {1, 5, 64}) {
    int64_t last = 0;
    for (int64_t capacity = 0; capacity < (1 << 16); capacity += 512) {
      const auto traffic = ModelL2Traffic(order, 100, 16, DType::kF32, capacity, concurrent);
      EXPECT_GE(traffic->hit_bytes, last);
      last = traffic->hit_bytes;
    }
    EXPECT_GT(last, 0);
  }
}

// Two tiles of one row at once read A's block of a step one after the other: it need only fit once, whatever K.
TEST(ModelL2TrafficTest, TilesThatRunAtOnceShareWhatTheyReadAtOneStep) {
  const auto row = Order({{0, 0}, {0, 1}});
  const int64_t block = int64_t{4} * 4 * 4;
  EXPECT_EQ(ModelL2Traffic(row, 400, 4, DType::kF32, 3 * block, 1)->hit_bytes, 0);
  const auto at_once = ModelL2Traffic(row, 400, 4, DType::kF32, 3 * block, 2);
  EXPECT_EQ(at_once->read_bytes, 400 * block);
  EXPECT_EQ(at_once->distinct_bytes, 300 * block);
  EXPECT_EQ(at_once->hit_bytes, 100 * block);
}

TEST(ModelL2TrafficTest, MoreAtOnceThanThereAreTilesIsAllOfThem) {
  const auto order = Order({{0, 0}, {0, 1}, {1, 0}});
  const auto three = ModelL2Traffic(order, 64, 4, DType::kF32, 300, 3);
  const auto many = ModelL2Traffic(order, 64, 4, DType::kF32, 300, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Words(*three), Words(*many));
  EXPECT_EQ(Words(*ModelL2Traffic(order, 64, 4, DType::kF32, 300, -1)),
            Words(*ModelL2Traffic(order, 64, 4, DType::kF32, 300, 1)));
}

// A thousand steps more of K cost nothing, nor does a large grid what it would cost to read it block by block: 2^33
// blocks here.
TEST(ModelL2TrafficTest, CostDoesNotDependOnK) {
  std::vector<TileRect> order;
  for (int64_t i = 0; i < 256 * 256; ++i) order.push_back({i / 256 * 16, i % 256 * 16, 16, 16});
  const int64_t k = int64_t{1} << 20;
  const auto traffic = ModelL2Traffic(order, k, 16, DType::kF32, int64_t{1} << 30, 16);
  ASSERT_TRUE(traffic.has_value());
  EXPECT_EQ(traffic->read_bytes, int64_t{2} * 16 * k * 4 * 256 * 256);
  EXPECT_EQ(traffic->distinct_bytes, int64_t{2} * 4096 * k * 4);
  // Sixteen tiles of a row share A's blocks.
  EXPECT_EQ(traffic->hit_bytes, traffic->read_bytes / 2 / 16 * 15);
}

TEST(ModelL2TrafficTest, RefusesBytesBeyond64Bits) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(ModelL2Traffic({{0, 0, kMax, 1}}, 1, 1, DType::kF32, 1).has_value());
  EXPECT_FALSE(ModelL2Traffic({{0, 0, kMax / 2, kMax / 2 + 2}}, 1, 1, DType::kF32, 1).has_value());
  EXPECT_FALSE(ModelL2Traffic(Order({{0, 0}}), kMax / 8, 1, DType::kF32, 1).has_value());
  // Just below, with the largest cache: everything fits.
  const auto traffic = ModelL2Traffic(Order({{0, 0}, {0, 0}}), kMax / 64, 1, DType::kF32, kMax);
  ASSERT_TRUE(traffic.has_value());
  EXPECT_EQ(traffic->hit_ratio(), 0.5);
}

// Every block has 4 * 4 elements of 4 bytes: 64. Two of them fit.
// Row-major: A0 W0 | A0+ W1 | A1 W0 | A1+ W1: two of eight hit.
// Snake:     A0 W0 | A0+ W1 | A1 W1+ | A1+ W0: three of eight.
TEST(TraversalHitRatioTest, ASnakeReusesTheColumnWhereItTurns) {
  const auto row_major = Order({{0, 0}, {0, 1}, {1, 0}, {1, 1}});
  const auto snake = Order({{0, 0}, {0, 1}, {1, 1}, {1, 0}});
  EXPECT_EQ(TraversalHitRatio(row_major, 4, 4, DType::kF32, 128, kNoLimit), 2.0 / 8);
  EXPECT_EQ(TraversalHitRatio(snake, 4, 4, DType::kF32, 128, kNoLimit), 3.0 / 8);
}

TEST(TraversalHitRatioTest, ALargeCacheLeavesTheCompulsoryMisses) {
  const auto row_major = Order({{0, 0}, {0, 1}, {1, 0}, {1, 1}});
  EXPECT_EQ(TraversalHitRatio(row_major, 4, 4, DType::kF32, 1 << 20, kNoLimit), 4.0 / 8);
  EXPECT_EQ(TraversalHitRatio(row_major, 400, 4, DType::kF32, 1 << 20, kNoLimit), 4.0 / 8);
}

// Two steps of K: A's and W's blocks of the first step are gone before the next tile comes to them.
// One tile row, cache of four blocks: A00 W00 A01 W01 | A00+ W10 A01 W11 would need A01, pushed out
// by W10 only in a cache of three.
TEST(TraversalHitRatioTest, StepsOfKCompete) {
  const auto row = Order({{0, 0}, {0, 1}});
  EXPECT_EQ(TraversalHitRatio(row, 8, 4, DType::kF32, 4 * 64, kNoLimit), 2.0 / 8);
  EXPECT_EQ(TraversalHitRatio(row, 8, 4, DType::kF32, 3 * 64, kNoLimit), 0.0);
}

TEST(TraversalHitRatioTest, WeighsByBytesWithTails) {
  // A's block has 2 rows, W's 4 columns; K is 4 + 1. Everything fits.
  const std::vector<TileRect> order = {{0, 0, 2, 4}, {0, 4, 2, 4}};
  // Each tile reads 2 * 5 of A and 4 * 5 of W, all times 2 bytes; the second tile hits A.
  EXPECT_EQ(TraversalHitRatio(order, 5, 4, DType::kBF16, 1 << 20, kNoLimit), 20.0 / 120);
}

TEST(TraversalHitRatioTest, CapacityZeroNeverHits) {
  EXPECT_EQ(TraversalHitRatio(Order({{0, 0}, {0, 0}}), 4, 4, DType::kF32, 0, kNoLimit), 0.0);
}

TEST(TraversalHitRatioTest, RefusesWhatWouldCostTooMuch) {
  const auto order = Order({{0, 0}, {0, 1}, {1, 0}});
  EXPECT_TRUE(TraversalHitRatio(order, 9, 4, DType::kF32, 128, 6).has_value());
  EXPECT_FALSE(TraversalHitRatio(order, 9, 4, DType::kF32, 128, 5).has_value());
  EXPECT_FALSE(
      TraversalHitRatio(order, std::numeric_limits<int64_t>::max(), 1, DType::kF32, 128, kNoLimit).has_value());
}

TEST(TraversalHitRatioTest, RefusesWhatMeansNothing) {
  EXPECT_FALSE(TraversalHitRatio({}, 4, 4, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio(Order({{0, 0}}), 0, 4, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio(Order({{0, 0}}), 4, 0, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio({TileRect{}}, 4, 4, DType::kF32, 128, kNoLimit).has_value());
}

}  // namespace
}  // namespace bwrt::kernels
