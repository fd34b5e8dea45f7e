// Waves whose io_extents are read: one's prefetch runs beside another's tiles, even with a single lane.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/page_reader.h"
#include "runtime/prefetcher.h"
#include "tests/runtime/runtime_fixture.h"

namespace bwrt::runtime {
namespace {

namespace fs = std::filesystem;

class PrefetchOverlapTest : public RuntimeFixture {
 protected:
  PrefetchOverlapTest()
      : root_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "M" / "V");
    std::ofstream(root_ / "M" / "V" / "layer_6.seg", std::ios::binary) << std::string(100 * 64, 'p');
    auto source = PageSource::Create({root_.string(), "M", "V", 64});
    RuntimeOptions options = Options();
    options.lanes = 1;
    Create(std::move(options),
           std::make_unique<Prefetcher>(*std::move(source), MakePageReader(), Bytes(1 << 20), &clock_));
  }
  ~PrefetchOverlapTest() override { fs::remove_all(root_); }

  static WaveRequestBuilder Paged(std::string id, int64_t first, int64_t last) {
    WaveRequestBuilder builder = Wave(std::move(id));
    builder.Tokens(1, 2).Edit([first, last](WaveRequest& r) {
      r.spec.io_extents = {{"6", first, last}};
      r.spec.swap_end = 1000;
    });
    return builder;
  }
  // Returns once `pages` pages have come in, over all waves that have finished their prefetch.
  void AwaitPages(int64_t pages) {
    while (runtime_->prefetcher()->totals().miss + runtime_->prefetcher()->totals().late < pages) {
      std::this_thread::yield();
    }
  }

  const fs::path root_;
};

TEST_F(PrefetchOverlapTest, PagesComeInWhileTheOnlyLaneRunsAnotherWave) {
  device_->Hold();
  WaveRun& a = Submit(Paged("a", 0, 9));
  device_->AwaitStart("a");
  WaveRun& b = Submit(Paged("b", 10, 29));
  AwaitPages(30);  // b's are in, though the lane is a's.
  EXPECT_EQ(device_->started(), std::vector<std::string>{"a"});
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 2);
  device_->Release();
  EXPECT_TRUE(a.status().ok()) << a.status();
  EXPECT_TRUE(b.status().ok()) << b.status();
}

TEST_F(PrefetchOverlapTest, AWaveWithoutExtentsDoesNotWaitBehindAPrefetch) {
  EXPECT_TRUE(RunWave(Wave("plain")).ok());
  const auto& paged = RunWave(Paged("paged", 0, 3));
  ASSERT_TRUE(paged.ok()) << paged.status();
  EXPECT_TRUE(paged->readings.tma_occ.has_value() || paged->timings.prefetch == Duration(0));
}

TEST_F(PrefetchOverlapTest, AFailedPrefetchFailsItsWaveAloneAndGivesItsLeaseBack) {
  const auto& failed = RunWave(Paged("short", 98, 120));
  EXPECT_EQ(GetReason(failed.status()), "PAGE_PAST_END");
  EXPECT_TRUE(RunWave(Paged("good", 98, 99)).ok());
  EXPECT_TRUE(device_->started() == std::vector<std::string>{"good"});
  EXPECT_EQ(runtime_->GetGauges().waves_in_flight, 0);
}

TEST_F(PrefetchOverlapTest, ManyWavesDrain) {
  std::vector<WaveRun*> runs;
  for (int i = 0; i < 50; ++i) runs.push_back(&Submit(Paged("w" + std::to_string(i), i, i + 20)));
  for (WaveRun* run : runs) EXPECT_TRUE(run->status().ok()) << run->status();
  EXPECT_TRUE(runtime_->Drain(std::chrono::seconds(10)));
}

}  // namespace
}  // namespace bwrt::runtime
