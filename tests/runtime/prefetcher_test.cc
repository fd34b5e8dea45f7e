#include "runtime/prefetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/error.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

constexpr int64_t kPage = 64;

// Reads at once, but reports when the test says so.
class ManualReader final : public PageReader {
 public:
  struct Pending {
    std::shared_ptr<const FileHandle> file;
    int64_t offset;
    std::byte* buffer;
    size_t size;
    Done done;
  };
  explicit ManualReader(std::deque<Pending>* pending) : pending_(pending) {}
  void Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size,
            Done done) override {
    pending_->push_back({std::move(file), offset, buffer, size, std::move(done)});
  }
  const char* name() const override { return "manual"; }

 private:
  std::deque<Pending>* const pending_;
};

class PrefetcherTest : public testing::Test {
 protected:
  PrefetcherTest()
      : root_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "M" / "V");
    WriteSegment(6, 100);
    WriteSegment(7, 2);
    auto source = PageSource::Create({root_.string(), "M", "V", kPage});
    prefetcher_ = std::make_unique<Prefetcher>(*std::move(source), std::make_unique<ManualReader>(&pending_),
                                               Bytes(1000 * kPage), &clock_);
  }
  ~PrefetcherTest() override { fs::remove_all(root_); }

  static std::byte Content(int64_t layer, int64_t page) { return std::byte(layer * 31 + page); }
  void WriteSegment(int64_t layer, int64_t pages) {
    std::ofstream out(root_ / "M" / "V" / ("layer_" + std::to_string(layer) + ".seg"), std::ios::binary);
    for (int64_t p = 0; p < pages; ++p) out << std::string(kPage, static_cast<char>(Content(layer, p)));
  }

  void Begin(std::vector<IoExtent> extents) {
    prefetcher_->Begin(std::move(extents), [this] { return lane_idle_; },
                       {.started = [this](int64_t e) { log_.push_back("start " + std::to_string(e)); },
                        .finished = [this](int64_t e) { log_.push_back("finish " + std::to_string(e)); },
                        .may_go_on = [this] { return may_go_on_; },
                        .done =
                            [this](const absl::Status& status, const PageCounts& counts) {
                              log_.push_back("done");
                              ++done_;
                              status_ = status;
                              counts_ = counts;
                            }});
  }

  // Completes the i-th pending read.
  void Complete(size_t i = 0) {
    ManualReader::Pending read = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    read.done(pread(read.file->fd(), read.buffer, read.size, read.offset));
  }
  void CompleteAll() {
    while (!pending_.empty()) Complete();
  }

  const fs::path root_;
  ManualClock clock_;
  std::deque<ManualReader::Pending> pending_;
  std::unique_ptr<Prefetcher> prefetcher_;
  bool lane_idle_ = false;
  absl::Status may_go_on_;
  std::vector<std::string> log_;
  int done_ = 0;
  absl::Status status_;
  PageCounts counts_;
};

TEST_F(PrefetcherTest, ReadsEveryPageAndTheCacheHoldsTheFilesBytes) {
  Begin({{"6", 3, 5}, {"7", 0, 1}});
  EXPECT_EQ(pending_.size(), 5u);
  EXPECT_EQ(done_, 0);
  CompleteAll();
  EXPECT_EQ(done_, 1);
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_THAT(log_, ElementsAre("start 0", "start 1", "finish 0", "finish 1", "done"));
  for (const PageKey key : {PageKey{6, 3}, PageKey{6, 4}, PageKey{6, 5}, PageKey{7, 0}, PageKey{7, 1}}) {
    const Page page = prefetcher_->cache().Peek(key);
    ASSERT_NE(page, nullptr);
    EXPECT_EQ(*page, std::vector<std::byte>(kPage, Content(key.layer, key.page)));
  }
  EXPECT_EQ(counts_.miss, 5);
  EXPECT_EQ(counts_.bytes, 5 * kPage);
}

TEST_F(PrefetcherTest, ExtentsFinishAsTheirOwnPagesComeIn) {
  Begin({{"6", 0, 1}, {"6", 10, 10}});
  Complete(2);  // The second extent's only page.
  EXPECT_THAT(log_, ElementsAre("start 0", "start 1", "finish 1"));
  CompleteAll();
  EXPECT_THAT(log_, ElementsAre("start 0", "start 1", "finish 1", "finish 0", "done"));
}

TEST_F(PrefetcherTest, ReversedAndEmptyExtentsReadNothing) {
  Begin({{"6", 9, 3}, {"nowhere", 5, 4}});
  EXPECT_THAT(log_, ElementsAre("start 0", "finish 0", "start 1", "finish 1", "done"));
  EXPECT_TRUE(status_.ok());
}

TEST_F(PrefetcherTest, PagesThatAreHereOrOnTheirWayAreNotReadAgain) {
  Begin({{"6", 0, 2}});
  Begin({{"6", 1, 3}});  // Two of its pages are on their way.
  EXPECT_EQ(pending_.size(), 4u);
  CompleteAll();
  EXPECT_EQ(done_, 2);
  EXPECT_EQ(counts_.hit, 2);
  EXPECT_EQ(counts_.miss, 1);
  Begin({{"6", 0, 3}});
  EXPECT_EQ(done_, 3);
  EXPECT_EQ(counts_.hit, 4);
  EXPECT_EQ(prefetcher_->totals().hit, 6);
  EXPECT_EQ(prefetcher_->totals().miss, 4);
}

TEST_F(PrefetcherTest, KeepsABoundedNumberOfPagesOutstanding) {
  Begin({{"6", 0, 99}});
  EXPECT_EQ(pending_.size(), static_cast<size_t>(Prefetcher::kReadAhead));
  size_t most = 0;
  while (!pending_.empty()) {
    most = std::max(most, pending_.size());
    Complete();
  }
  EXPECT_EQ(most, static_cast<size_t>(Prefetcher::kReadAhead));
  EXPECT_EQ(counts_.miss, 100);
}

TEST_F(PrefetcherTest, PagesReadWhileALaneIsIdleAreLate) {
  Begin({{"6", 0, 3}});
  Complete();
  lane_idle_ = true;
  CompleteAll();
  EXPECT_EQ(counts_.miss, 1);
  EXPECT_EQ(counts_.late, 3);
}

TEST_F(PrefetcherTest, AShortFileFailsOnceEverythingAskedForIsIn) {
  Begin({{"6", 0, 1}, {"7", 0, 5}});
  EXPECT_EQ(done_, 0);
  CompleteAll();
  EXPECT_EQ(done_, 1);
  EXPECT_EQ(GetReason(status_), "PAGE_PAST_END");
  // What was right stays.
  EXPECT_NE(prefetcher_->cache().Peek({7, 1}), nullptr);
}

TEST_F(PrefetcherTest, AMissingFileFails) {
  Begin({{"8", 0, 1}});
  EXPECT_EQ(GetReason(status_), "PAGE_FILE_MISSING");
  EXPECT_EQ(done_, 1);
}

TEST_F(PrefetcherTest, AnIoErrorFailsEveryWaveThatWaitsForThePageAndLeavesNothing) {
  Begin({{"6", 0, 0}});
  Begin({{"6", 0, 0}});
  ASSERT_EQ(pending_.size(), 1u);
  ManualReader::Pending read = std::move(pending_[0]);
  pending_.clear();
  read.done(-EIO);
  EXPECT_EQ(done_, 2);
  EXPECT_EQ(GetReason(status_), "PAGE_READ");
  EXPECT_EQ(prefetcher_->cache().Peek({6, 0}), nullptr);
}

TEST_F(PrefetcherTest, StopsBetweenPagesWhenToldTo) {
  Begin({{"6", 0, 99}});
  may_go_on_ = absl::CancelledError("enough");
  while (!pending_.empty()) Complete();
  EXPECT_EQ(status_, absl::CancelledError("enough"));
  EXPECT_EQ(counts_.miss, Prefetcher::kReadAhead);
  EXPECT_EQ(done_, 1);
}

TEST_F(PrefetcherTest, ManyWavesOnARealReaderFromManyThreads) {
  auto source = PageSource::Create({root_.string(), "M", "V", kPage});
  // A cache of ten pages, so that they keep falling out.
  auto prefetcher = std::make_unique<Prefetcher>(*std::move(source), MakePageReader(), Bytes(10 * kPage), &clock_);
  Mutex mu;
  CondVar changed;
  int left = 4 * 50;
  int bad = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const int64_t first = (t * 7 + i) % 60;
        prefetcher->Begin({{"6", first, first + 39}}, [] { return false; },
                          {.started = [](int64_t) {},
                           .finished = [](int64_t) {},
                           .may_go_on = [] { return absl::OkStatus(); },
                           .done =
                               [&](const absl::Status& status, const PageCounts& counts) {
                                 MutexLock lock(mu);
                                 bad += status.ok() && counts.hit + counts.miss == 40 ? 0 : 1;
                                 if (--left == 0) changed.NotifyAll();
                               }});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  {
    MutexLock lock(mu);
    while (left > 0) changed.Wait(mu);
  }
  EXPECT_EQ(bad, 0);
  prefetcher.reset();
}

}  // namespace
}  // namespace bwrt::runtime
