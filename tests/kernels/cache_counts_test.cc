#include "kernels/cache_counts.h"

#include <gtest/gtest.h>

namespace bwrt::kernels {
namespace {

TEST(CacheCountsTest, HitRatioIsTheShareOfReadsThatDoNotMiss) {
  EXPECT_DOUBLE_EQ(*(CacheCounts{1000, 200, 50}.hit_ratio()), 0.75);
  EXPECT_EQ(*(CacheCounts{1000, 200, 0}.hit_ratio()), 1);
  EXPECT_EQ(*(CacheCounts{1000, 200, 200}.hit_ratio()), 0);
}

TEST(CacheCountsTest, WithoutReadsThereIsNoRatio) { EXPECT_FALSE((CacheCounts{1000, 0, 0}.hit_ratio().has_value())); }

TEST(CacheCountsTest, MoreMissesThanReadsIsZeroNotLess) { EXPECT_EQ(*(CacheCounts{1000, 10, 11}.hit_ratio()), 0); }

TEST(CacheCountsTest, AddsUp) {
  CacheCounts sum{1, 2, 3};
  sum += {10, 20, 30};
  EXPECT_EQ(sum, (CacheCounts{11, 22, 33}));
}

}  // namespace
}  // namespace bwrt::kernels
