#include "runtime/byte_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ByteRanges, EmptyMissesEverything) {
  const ByteRanges ranges;
  EXPECT_EQ(ranges.total(), 0);
  EXPECT_EQ(ranges.prefix(), 0);
  EXPECT_THAT(ranges.Within({0, 10}), IsEmpty());
  EXPECT_THAT(ranges.MissingOf({0, 10}, 5), ElementsAre(ByteRange{0, 10}));
}

TEST(ByteRanges, TouchingRangesBecomeOne) {
  ByteRanges ranges;
  ranges.Add({10, 20});
  ranges.Add({30, 40});
  EXPECT_EQ(ranges.count(), 2U);
  ranges.Add({20, 30});
  EXPECT_EQ(ranges.count(), 1U);
  EXPECT_EQ(ranges.total(), 30);
  EXPECT_EQ(ranges.prefix(), 0);
  ranges.Add({0, 10});
  EXPECT_EQ(ranges.prefix(), 40);
}

TEST(ByteRanges, OverlapCountsOnce) {
  ByteRanges ranges;
  ranges.Add({0, 10});
  ranges.Add({5, 15});
  ranges.Add({2, 3});
  ranges.Add({7, 7});
  EXPECT_EQ(ranges.total(), 15);
  EXPECT_THAT(ranges.Within({8, 100}), ElementsAre(ByteRange{8, 15}));
}

TEST(ByteRanges, MissingIsBounded) {
  ByteRanges ranges;
  for (int64_t i = 1; i < 20; i += 2) ranges.Add({i, i + 1});
  EXPECT_THAT(ranges.MissingOf({0, 20}, 2), ElementsAre(ByteRange{0, 1}, ByteRange{2, 3}));
  EXPECT_THAT(ranges.MissingOf({0, 3}, 9), ElementsAre(ByteRange{0, 1}, ByteRange{2, 3}));
  EXPECT_THAT(ranges.MissingOf({0, 20}, 0), IsEmpty());
}

TEST(ByteRanges, AgreesWithABitmap) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    ByteRanges ranges;
    std::vector<bool> bits(64, false);
    for (int i = 0; i < 20; ++i) {
      const auto begin = static_cast<int64_t>(random() % 64);
      const int64_t end = begin + static_cast<int64_t>(random() % (65 - static_cast<uint64_t>(begin)));
      ranges.Add({begin, end});
      for (int64_t b = begin; b < end; ++b) bits[static_cast<size_t>(b)] = true;
      std::vector<bool> there(64, false);
      int64_t sum = 0;
      for (const ByteRange& r : ranges.Within({0, 64})) {
        for (int64_t b = r.begin; b < r.end; ++b) there[static_cast<size_t>(b)] = true;
        sum += r.end - r.begin;
      }
      EXPECT_EQ(there, bits);
      EXPECT_EQ(ranges.total(), sum);
      for (const ByteRange& r : ranges.MissingOf({0, 64}, 64)) {
        for (int64_t b = r.begin; b < r.end; ++b) {
          EXPECT_FALSE(there[static_cast<size_t>(b)]);
          there[static_cast<size_t>(b)] = true;
        }
      }
      EXPECT_EQ(there, std::vector<bool>(64, true));
    }
  }
}

}  // namespace
}  // namespace bwrt::runtime
