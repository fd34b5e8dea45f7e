#include "kernels/l2_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <list>
#include <random>
#include <utility>
#include <vector>

namespace bwrt::kernels {
namespace {

constexpr int64_t kNoLimit = int64_t{1} << 40;

// The tiles of a grid of 4x4 tiles, by their (row, column) in it.
std::vector<TileRect> Order(const std::vector<std::pair<int64_t, int64_t>>& tiles) {
  std::vector<TileRect> order;
  for (const auto& [row, col] : tiles) order.push_back({row * 4, col * 4, 4, 4});
  return order;
}

TEST(L2ModelTest, CountsBytesInLruOrder) {
  L2Model model(30);
  model.Touch(1, 10);
  model.Touch(2, 10);
  model.Touch(1, 10);  // Hit; now 2 is the oldest.
  model.Touch(3, 15);  // Pushes 2 out.
  EXPECT_EQ(model.hit_bytes(), 10);
  model.Touch(1, 10);  // Hit.
  model.Touch(2, 10);  // Miss; pushes 3 out.
  model.Touch(3, 15);  // Miss; pushes 1 out.
  model.Touch(2, 10);  // Hit.
  model.Touch(1, 10);  // Miss.
  EXPECT_EQ(model.hit_bytes(), 30);
  EXPECT_EQ(model.total_bytes(), 100);
}

TEST(L2ModelTest, ABlockLargerThanTheCacheFlushesIt) {
  L2Model model(30);
  model.Touch(1, 10);
  model.Touch(2, 31);
  model.Touch(2, 31);
  model.Touch(1, 10);
  EXPECT_EQ(model.hit_bytes(), 0);
  model.Touch(1, 10);
  EXPECT_EQ(model.hit_bytes(), 10);
}

TEST(L2ModelTest, WithoutCapacityEverythingMisses) {
  for (const int64_t capacity : {0, -5}) {
    L2Model model(capacity);
    for (int i = 0; i < 10; ++i) model.Touch(1, 1);
    EXPECT_EQ(model.hit_bytes(), 0);
    EXPECT_EQ(model.total_bytes(), 10);
  }
}

// Against the obvious list, with collisions, wrap-around, growth and deletion.
TEST(L2ModelTest, AgreesWithANaiveModel) {
  for (const int64_t expected_blocks : {0, 3, 1000}) {
    for (const int64_t capacity : {50, 1000, 40000}) {
      std::mt19937 random(11);
      L2Model model(capacity, expected_blocks);
      std::list<std::pair<uint64_t, int64_t>> naive;  // Newest first.
      int64_t resident = 0;
      int64_t hits = 0;
      for (int i = 0; i < 20000; ++i) {
        const uint64_t block = random() % 600 * (i % 2 == 0 ? 1 : uint64_t{1} << 40);
        const auto bytes = static_cast<int64_t>(block % 97 + 1);
        model.Touch(block, bytes);
        const auto at = std::find_if(naive.begin(), naive.end(), [&](const auto& x) { return x.first == block; });
        if (at != naive.end()) {
          hits += bytes;
          naive.splice(naive.begin(), naive, at);
        } else {
          while (!naive.empty() && resident + bytes > capacity) {
            resident -= naive.back().second;
            naive.pop_back();
          }
          if (bytes <= capacity) {
            naive.emplace_front(block, bytes);
            resident += bytes;
          }
        }
        ASSERT_EQ(model.hit_bytes(), hits) << i;
      }
      EXPECT_GT(hits, 0);
    }
  }
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
  EXPECT_TRUE(TraversalHitRatio(order, 9, 4, DType::kF32, 128, 18).has_value());
  EXPECT_FALSE(TraversalHitRatio(order, 9, 4, DType::kF32, 128, 17).has_value());
  EXPECT_FALSE(TraversalHitRatio(order, std::numeric_limits<int64_t>::max(), 1, DType::kF32, 128,
                                 std::numeric_limits<int64_t>::max())
                   .has_value());
  EXPECT_FALSE(TraversalHitRatio(order, kNoLimit << 20, 1, DType::kF32, 128, kNoLimit).has_value());
}

TEST(TraversalHitRatioTest, RefusesWhatMeansNothing) {
  EXPECT_FALSE(TraversalHitRatio({}, 4, 4, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio(Order({{0, 0}}), 0, 4, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio(Order({{0, 0}}), 4, 0, DType::kF32, 128, kNoLimit).has_value());
  EXPECT_FALSE(TraversalHitRatio({TileRect{}}, 4, 4, DType::kF32, 128, kNoLimit).has_value());
}

}  // namespace
}  // namespace bwrt::kernels
