#include "runtime/lanes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/wave_validator.h"
#include "tests/support/fake_device.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/one_shot.h"
#include "tests/support/recording_observer.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;

class LanesTest : public ::testing::Test {
 protected:
  void Create(int lanes) {
    lanes_ =
        std::make_unique<Lanes>(&device_, /*prefetcher=*/nullptr, lanes, /*queue_waves=*/10, Bytes(1 << 30), &clock_,
                                &observer_, [this](const WaveJobPtr& job) { Note("end " + job->wave.wave_id); });
  }

  WaveJobPtr Job(const std::string& id) {
    const WaveValidator validator(TileWhitelist::Default(), false, Limits{});
    auto wave = validator.Validate(WaveRequestBuilder().Id(id).Window(0, 9).Build(), WaveValidator::Mode::kComplete,
                                   *WeightVersion::Empty(), clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    return std::make_shared<WaveJob>(WaveNumber(++last_), *std::move(wave), model_, clock_.Now(),
                                     [this, id](const Wave& ended, const absl::StatusOr<WaveResult>& result) {
                                       EXPECT_EQ(ended.wave_id, id);
                                       Note("done " + id + (result.ok() ? "" : " " + GetReason(result.status())));
                                     });
  }

  void Note(std::string what) {
    MutexLock lock(mu_);
    notes_.push_back(std::move(what));
  }
  std::vector<std::string> notes() const {
    MutexLock lock(mu_);
    return notes_;
  }

  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  mutable Mutex mu_;
  std::vector<std::string> notes_ ABSL_GUARDED_BY(mu_);
  uint64_t last_ = 0;
  FakeDevice device_;
  SwapLine line_{{},
                 {.clock = &clock_,
                  .executor = &executor_,
                  .journal_executor = &executor_,
                  .journal = nullptr,
                  .observer = &observer_,
                  .failpoints = nullptr,
                  .on_startable = [this] { lanes_->queue().Wake(); }}};
  const std::shared_ptr<Model> model_ = std::make_shared<Model>("m", /*keep_versions=*/0, &line_);
  std::unique_ptr<Lanes> lanes_;  // Last: its threads use all of the above.
};

TEST_F(LanesTest, DestructionRunsWhatIsQueued) {
  Create(1);
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(lanes_->queue().Push(Job(id)).ok());
  lanes_ = nullptr;
  EXPECT_THAT(notes(), ElementsAre("end a", "done a", "end b", "done b", "end c", "done c"));
  EXPECT_EQ(observer_.waves().size(), 3u);
}

TEST_F(LanesTest, AsManyWavesRunAtOnceAsThereAreLanes) {
  Create(2);
  EXPECT_EQ(lanes_->count(), 2);
  device_.Hold();
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(lanes_->queue().Push(Job(id)).ok());
  device_.AwaitStart("a");
  device_.AwaitStart("b");
  EXPECT_EQ(lanes_->in_flight(), 2);
  EXPECT_EQ(lanes_->queue().depth(), 1u);
  EXPECT_EQ(model_->GetStatus().window.claims.size(), 2u) << "a queued wave holds no lease";
  device_.Release();
  lanes_ = nullptr;
  EXPECT_EQ(notes().size(), 6u);
}

TEST_F(LanesTest, DropEndsAJobThatNeverRan) {
  Create(1);
  device_.Hold();
  ASSERT_TRUE(lanes_->queue().Push(Job("a")).ok());
  device_.AwaitStart("a");
  const WaveJobPtr job = Job("b");
  ASSERT_TRUE(lanes_->queue().Push(job).ok());
  ASSERT_TRUE(lanes_->queue().Remove(job));
  lanes_->Drop(job, MakeError(absl::StatusCode::kCancelled, "WHY", ""));
  EXPECT_THAT(notes(), ElementsAre("end b", "done b WHY"));
  EXPECT_EQ(observer_.waves().back().outcome, WaveOutcome::kCancelled);
  EXPECT_FALSE(observer_.waves().back().timings.has_value());
  EXPECT_EQ(job->done, nullptr) << "the callback, which may own the call, goes with the end";
  device_.Release();
}

TEST_F(LanesTest, TheLeaseHasEndedWhenTheClientHears) {
  Create(1);
  OneShot<size_t> claims;
  const WaveJobPtr job = Job("a");
  job->done = [&](const Wave&, const absl::StatusOr<WaveResult>&) {
    claims.Set(model_->GetStatus().window.claims.size());
    EXPECT_EQ(lanes_->in_flight(), 0);
    EXPECT_FALSE(model_->GetStatus().window.claims[0].in_flight) << "it rests";
  };
  ASSERT_TRUE(lanes_->queue().Push(job).ok());
  EXPECT_EQ(claims.Get(), 1u);
}

TEST_F(LanesTest, ACancelledJobDoesNotStart) {
  Create(1);
  device_.Hold();
  ASSERT_TRUE(lanes_->queue().Push(Job("a")).ok());
  device_.AwaitStart("a");
  const WaveJobPtr job = Job("b");
  ASSERT_TRUE(lanes_->queue().Push(job).ok());
  job->cancelled = true;
  device_.Release();
  lanes_ = nullptr;
  EXPECT_THAT(notes(), ElementsAre("end a", "done a", "end b", "done b CANCELLED"));
}

}  // namespace
}  // namespace bwrt::runtime
