#include "runtime/page_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bwrt::runtime {
namespace {

using testing::ElementsAre;

Page MakePage(size_t bytes = 10) { return std::make_shared<std::vector<std::byte>>(bytes); }

void Load(PageCache& cache, PageKey key, size_t bytes = 10) {
  ASSERT_EQ(cache.Acquire(key, nullptr), PageCache::Found::kMiss);
  cache.Loaded(key, MakePage(bytes));
}

std::vector<PageKey> Keys(const PageCache& cache) {
  std::vector<PageKey> keys;
  for (const auto& [key, page] : cache.List({0, 0}, 100)) keys.push_back(key);
  return keys;
}

TEST(PageCache, FirstMissesThenHits) {
  PageCache cache{Bytes(100)};
  Load(cache, {6, 1});
  EXPECT_EQ(cache.Acquire({6, 1}, nullptr), PageCache::Found::kHit);
  EXPECT_EQ(cache.pages(), 1u);
  EXPECT_EQ(cache.used(), Bytes(10));
}

TEST(PageCache, OthersWaitForAPageThatIsBeingLoaded) {
  PageCache cache{Bytes(100)};
  ASSERT_EQ(cache.Acquire({6, 1}, nullptr), PageCache::Found::kMiss);
  std::vector<absl::Status> told;
  const auto waiter = [&](const absl::Status& status) { told.push_back(status); };
  EXPECT_EQ(cache.Acquire({6, 1}, waiter), PageCache::Found::kLoading);
  EXPECT_EQ(cache.Acquire({6, 1}, waiter), PageCache::Found::kLoading);
  EXPECT_EQ(cache.Peek({6, 1}), nullptr);
  cache.Loaded({6, 1}, MakePage());
  EXPECT_THAT(told, ElementsAre(absl::OkStatus(), absl::OkStatus()));
}

TEST(PageCache, AFailedLoadIsToldAndTriedAgain) {
  PageCache cache{Bytes(100)};
  ASSERT_EQ(cache.Acquire({6, 1}, nullptr), PageCache::Found::kMiss);
  absl::Status told;
  ASSERT_EQ(cache.Acquire({6, 1}, [&](const absl::Status& status) { told = status; }), PageCache::Found::kLoading);
  cache.Loaded({6, 1}, absl::DataLossError("bad sector"));
  EXPECT_EQ(told, absl::DataLossError("bad sector"));
  EXPECT_EQ(cache.Acquire({6, 1}, nullptr), PageCache::Found::kMiss);
}

TEST(PageCache, DropsTheLeastRecentlyUsedFirst) {
  PageCache cache{Bytes(30)};
  Load(cache, {0, 1});
  Load(cache, {0, 2});
  Load(cache, {0, 3});
  ASSERT_EQ(cache.Acquire({0, 1}, nullptr), PageCache::Found::kHit);
  Load(cache, {0, 4});
  EXPECT_THAT(Keys(cache), ElementsAre(PageKey{0, 1}, PageKey{0, 3}, PageKey{0, 4}));
  EXPECT_EQ(cache.used(), Bytes(30));
}

TEST(PageCache, InspectionIsNoUse) {
  PageCache cache{Bytes(20)};
  Load(cache, {0, 1});
  Load(cache, {0, 2});
  EXPECT_NE(cache.Peek({0, 1}), nullptr);
  EXPECT_EQ(Keys(cache).size(), 2u);
  Load(cache, {0, 3});
  EXPECT_EQ(cache.Peek({0, 1}), nullptr);
}

TEST(PageCache, NeverHoldsMoreThanItsCapacity) {
  PageCache cache{Bytes(25)};
  for (int64_t i = 0; i < 10; ++i) {
    Load(cache, {0, i});
    EXPECT_LE(cache.used().value(), 25);
  }
  Load(cache, {1, 0}, 100);  // Larger than all of it: used by whoever holds it, not kept.
  EXPECT_EQ(cache.used(), Bytes(0));
}

TEST(PageCache, ListsFromAPageOnInOrder) {
  PageCache cache{Bytes(100)};
  for (const PageKey& key : {PageKey{2, 1}, PageKey{1, 9}, PageKey{1, 3}, PageKey{2, 0}}) Load(cache, key);
  std::vector<PageKey> keys;
  for (const auto& [key, page] : cache.List({1, 4}, 2)) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre(PageKey{1, 9}, PageKey{2, 0}));
}

}  // namespace
}  // namespace bwrt::runtime
