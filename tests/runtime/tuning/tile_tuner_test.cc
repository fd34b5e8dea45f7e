#include "runtime/tuning/tile_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

const std::vector<TileShape> kShapes = {{128, 128, 64, 2, 2, 1}, {128, 256, 64, 2, 2, 1}, {256, 128, 64, 2, 2, 1}};

// Takes the times that a test lists, shape by shape; the clock moves on by them.
class ScriptedBench final : public TuneBench {
 public:
  explicit ScriptedBench(ManualClock* clock) : clock_(clock) {}

  absl::StatusOr<Timed> Run(const TileShape& shape) override {
    if (!failure.ok()) return failure;
    const size_t run = runs[shape]++;
    order.push_back(shape.bm + shape.bn);
    const std::vector<Duration>& script = times[shape];
    const Duration time = script.empty() ? Duration(milliseconds(1)) : script[std::min(run, script.size() - 1)];
    clock_->Advance(time);
    return Timed{"kernel", time};
  }
  absl::StatusOr<std::optional<TunedAlgorithm>> TuneAlgorithm(const TileShape& shape, Duration budget) override {
    budgets.push_back(budget);
    return tune ? tune(shape) : std::optional<TunedAlgorithm>();
  }

  std::map<TileShape, std::vector<Duration>> times;
  std::map<TileShape, size_t> runs;
  std::vector<int32_t> order;
  std::vector<Duration> budgets;
  absl::Status failure;
  std::function<absl::StatusOr<std::optional<TunedAlgorithm>>(const TileShape&)> tune;

 private:
  ManualClock* const clock_;
};

class TileTunerTest : public ::testing::Test {
 protected:
  absl::StatusOr<TuneResult> Tune(Duration budget = seconds(100), const std::vector<TileShape>& shapes = kShapes) {
    told_.clear();
    return TuneTiles(shapes, budget, bench_, clock_, [this](size_t done, size_t of) {
      EXPECT_EQ(of, kShapes.size());
      told_.push_back(done);
    });
  }
  ManualClock clock_;
  ScriptedBench bench_{&clock_};
  std::vector<size_t> told_;
};

TEST_F(TileTunerTest, TheSmallestMedianWins) {
  // The first run does not count, and one that is disturbed does not matter.
  bench_.times[kShapes[0]] = {milliseconds(1), milliseconds(5)};
  bench_.times[kShapes[1]] = {milliseconds(90), milliseconds(3), milliseconds(80),
                              milliseconds(4),  milliseconds(4), milliseconds(70)};
  bench_.times[kShapes[2]] = {milliseconds(1), milliseconds(1), milliseconds(1), milliseconds(9)};
  const auto result = Tune();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->winner.shape, kShapes[1]);
  EXPECT_EQ(result->winner.median, milliseconds(4));
  EXPECT_EQ(result->winner.repeats, 5);
  EXPECT_EQ(result->winner.kernel, "kernel");
  EXPECT_EQ(result->first.shape, kShapes[0]);
  EXPECT_EQ(result->first.median, milliseconds(5));
  EXPECT_THAT(result->timed, SizeIs(3));
  EXPECT_EQ(result->left_out, 0);
  EXPECT_EQ(told_.back(), 3u);
}

TEST_F(TileTunerTest, ShapesTakeTurns) {
  ASSERT_TRUE(Tune().ok());
  ASSERT_THAT(bench_.order, SizeIs(18));
  EXPECT_THAT(std::vector<int32_t>(bench_.order.begin(), bench_.order.begin() + 4), ElementsAre(256, 384, 384, 256));
}

TEST_F(TileTunerTest, OfEqualsTheFirstWins) {
  const auto result = Tune();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->winner.shape, kShapes[0]);
}

TEST_F(TileTunerTest, TheBudgetLeavesOut) {
  const auto result = Tune(microseconds(1500));
  ASSERT_TRUE(result.ok());
  // The second one had begun, so that it is timed once; the third never ran.
  EXPECT_THAT(result->timed, SizeIs(2));
  EXPECT_EQ(result->timed[1].repeats, 1);
  EXPECT_EQ(result->left_out, 1);
  EXPECT_EQ(bench_.runs[kShapes[2]], 0u);
  bench_.runs.clear();
  const auto least = Tune(Duration(0));
  ASSERT_TRUE(least.ok());
  EXPECT_THAT(least->timed, SizeIs(1));
  EXPECT_EQ(least->left_out, 2);
  EXPECT_EQ(bench_.runs[kShapes[0]], 2u);
}

TEST_F(TileTunerTest, AskedOnceWhereThereIsNoChoice) {
  ASSERT_TRUE(Tune().ok());
  EXPECT_THAT(bench_.budgets, SizeIs(1));
}

TEST_F(TileTunerTest, EachShapeGetsItsAlgorithm) {
  bench_.tune = [](const TileShape& shape) {
    TunedAlgorithm tuned;
    tuned.algorithm = "algorithm " + std::to_string(shape.bn);
    tuned.first_choice = milliseconds(7);
    tuned.rejected = {"wrong one"};
    return tuned;
  };
  bench_.times[kShapes[1]] = {microseconds(10)};
  const auto result = Tune(seconds(3));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->winner.algorithm, "algorithm 256");
  EXPECT_EQ(result->winner.first_choice, milliseconds(7));
  EXPECT_THAT(result->rejected, ElementsAre("wrong one at (128,128,64,2,(2,1))", "wrong one at (128,256,64,2,(2,1))",
                                            "wrong one at (256,128,64,2,(2,1))"));
  EXPECT_THAT(bench_.budgets, ElementsAre(milliseconds(500), milliseconds(750), seconds(1)))
      << "half of the time, shared by those to come, and no turn longer than a second";
}

TEST_F(TileTunerTest, AnErrorIsTheAnswer) {
  bench_.failure = absl::UnavailableError("lost");
  EXPECT_EQ(Tune().status(), bench_.failure);
  bench_.failure = absl::OkStatus();
  bench_.tune = [](const TileShape&) { return absl::CancelledError("enough"); };
  EXPECT_TRUE(absl::IsCancelled(Tune().status()));
}

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(Median({Duration(5)}), Duration(5));
  EXPECT_EQ(Median({Duration(9), Duration(1), Duration(5)}), Duration(5));
  EXPECT_EQ(Median({Duration(9), Duration(1), Duration(5), Duration(3)}), Duration(4));
}

}  // namespace
}  // namespace bwrt::runtime
