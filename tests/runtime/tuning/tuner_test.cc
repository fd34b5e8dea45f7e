#include "runtime/tuning/tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/runtime/runtime_fixture.h"

namespace bwrt::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TunerTest : public RuntimeFixture {
 protected:
  TunerTest() { std::remove(path_.c_str()); }
  ~TunerTest() override { std::remove(path_.c_str()); }

  void Start(RuntimeOptions options = Options()) {
    Create(std::move(options));
    tuner_ = std::make_unique<Tuner>(runtime_.get(), &clock_, path_,
                                     [this](const std::string& note) { notes_.push_back(note); });
    tuner_->Restore();
  }
  void TearDown() override {
    tuner_ = nullptr;
    RuntimeFixture::TearDown();
  }
  static TuneOrder Order(std::vector<TuneProblem> problems = {{.m = 16, .n = 32, .k = 64}}) {
    TuneOrder order;
    order.problems = std::move(problems);
    return order;
  }
  absl::Status Tune(const TuneOrder& order) {
    results_.clear();
    return tuner_->Tune(order, {.on_progress = [](size_t, size_t, size_t) {},
                                .on_result =
                                    [this](size_t problem, const TuneResult& result) {
                                      EXPECT_EQ(problem, results_.size());
                                      results_.push_back(result);
                                    },
                                .cancelled = [this] { return cancelled_.load(); }});
  }

  const std::string path_ = testing::TempDir() + "tuner_test.json";
  std::unique_ptr<Tuner> tuner_;
  std::vector<TuneResult> results_;
  std::vector<std::string> notes_;
  std::atomic<bool> cancelled_{false};
};

TEST_F(TunerTest, TimesEveryShapeOfTheWhitelist) {
  Start();
  ASSERT_TRUE(Tune(Order({{.m = 16, .n = 32, .k = 64}, {.m = 1, .n = 1, .k = 16, .dtype = DTypeWish::kBF16}})).ok());
  ASSERT_THAT(results_, SizeIs(2));
  EXPECT_THAT(results_[0].timed, SizeIs(4));
  EXPECT_EQ(results_[0].winner.shape, runtime_->validator().whitelist().shapes()[0]);
  EXPECT_EQ(results_[0].winner.median, milliseconds(1));
  EXPECT_EQ(results_[0].winner.kernel, "fake-kernel");
  EXPECT_EQ(results_[0].winner.repeats, 5);
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(TunerTest, WavesOfClientsDoNotNotice) {
  Start();
  ASSERT_TRUE(RunWave(Wave("a").Window(0, 1).Tokens(1, 2)).ok());
  const bool open = (*runtime_->weights().FindModel("default"))->window_open();
  const auto before = runtime_->GetSample("")->sample.waves;
  ASSERT_TRUE(Tune(Order()).ok());
  EXPECT_EQ((*runtime_->weights().FindModel("default"))->window_open(), open);
  EXPECT_EQ(runtime_->GetSample("")->sample.waves, before) << "no wave of a client's";
  ASSERT_THAT(observer_.waves(), SizeIs(1 + 4 * 6 + 1)) << "with one question for algorithms";
  for (size_t i = 1; i < observer_.waves().size(); ++i) {
    EXPECT_EQ(observer_.waves()[i].model, "(measurement)");
    EXPECT_EQ(observer_.waves()[i].device, "fake");
  }
}

TEST_F(TunerTest, KeepsWhatItFound) {
  Start();
  ASSERT_TRUE(Tune(Order()).ok());
  const TuneResult found = results_[0];
  tuner_ = std::make_unique<Tuner>(runtime_.get(), &clock_, path_, [](const std::string&) {});
  TuneOrder missing = Order({{.m = 16, .n = 32, .k = 64}, {.m = 17, .n = 32, .k = 64}});
  missing.only_missing = true;
  const size_t waves = observer_.waves().size();
  ASSERT_TRUE(Tune(missing).ok());
  ASSERT_THAT(results_, SizeIs(2));
  EXPECT_TRUE(results_[0].kept);
  EXPECT_EQ(results_[0].winner, found.winner);
  EXPECT_EQ(results_[0].first, found.first);
  EXPECT_FALSE(results_[1].kept);
  EXPECT_EQ(observer_.waves().size(), waves + 25) << "one of them";
}

TEST_F(TunerTest, AnotherWhitelistIsTunedAnew) {
  Start();
  ASSERT_TRUE(Tune(Order()).ok());
  tuner_ = nullptr;
  RuntimeFixture::TearDown();
  RuntimeOptions options = Options();
  options.whitelist = *TileWhitelist::Parse("64,64,64,2,1,1");
  Start(std::move(options));
  TuneOrder missing = Order();
  missing.only_missing = true;
  ASSERT_TRUE(Tune(missing).ok());
  EXPECT_FALSE(results_[0].kept);
  EXPECT_EQ(results_[0].winner.shape, (TileShape{64, 64, 64, 2, 1, 1}));
}

TEST_F(TunerTest, OneCallADevice) {
  Start();
  device_->Hold();
  std::thread first([this] { EXPECT_TRUE(absl::IsCancelled(Tune(Order()))); });
  // The question for algorithms does not go through Run: the first wave of the first shape does.
  device_->AwaitStart("");
  const absl::Status second = tuner_->Tune(Order(), {.on_progress = [](size_t, size_t, size_t) {},
                                                     .on_result = [](size_t, const TuneResult&) {},
                                                     .cancelled = [] { return false; }});
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_EQ(GetReason(second), "TUNING_IN_PROGRESS");
  cancelled_ = true;
  device_->Release();
  first.join();
  cancelled_ = false;
  EXPECT_TRUE(Tune(Order()).ok());
}

TEST_F(TunerTest, IsCancelledBetweenTwoTokens) {
  Start();
  device_->Hold();
  device_->RunUntilStopped("");
  std::thread tuning([this] { EXPECT_TRUE(absl::IsCancelled(Tune(Order()))); });
  device_->AwaitStart("");
  cancelled_ = true;
  tuning.join();
  EXPECT_THAT(results_, IsEmpty());
}

TEST_F(TunerTest, WavesOfClientsGoFirst) {
  RuntimeOptions options = Options();
  options.lanes = 1;
  Start(std::move(options));
  device_->Hold();
  Submit(Wave("first"));
  device_->AwaitStart("first");
  std::thread tuning([this] { EXPECT_TRUE(Tune(Order()).ok()); });
  while (runtime_->GetGauges().queue_depth == 0) std::this_thread::yield();
  Submit(Wave("later"));
  device_->Release();
  tuning.join();
  EXPECT_EQ(device_->started()[0], "first");
  EXPECT_EQ(device_->started()[1], "later") << "though it came after the tuning";
}

TEST_F(TunerTest, EveryViolationAtOnce) {
  Start();
  TuneOrder order = Order({{.m = 0, .n = 1, .k = 7},
                           {.m = 1, .n = 1, .k = 16, .dtype = static_cast<DTypeWish>(5)},
                           {.m = 1, .n = 1, .k = 16, .dtype = DTypeWish::kF16, .c_dtype = DTypeWish::kBF16},
                           {.m = 1, .n = 1, .k = 32, .c_dtype = DTypeWish::kF8E4M3}});
  order.budget = milliseconds(1);
  const auto details = GetDetails(Tune(order));
  ASSERT_TRUE(details);
  std::vector<std::string> fields;
  for (const FieldViolation& field : details->fields) fields.push_back(field.field);
  EXPECT_THAT(fields, ElementsAre("budget", "problems[0].m", "problems[0].k", "problems[1].dtype",
                                  "problems[2].c_dtype", "problems[3].c_dtype"));
  EXPECT_TRUE(absl::IsInvalidArgument(Tune(Order({}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Tune(Order(std::vector<TuneProblem>(65, {.m = 1, .n = 1, .k = 16})))));
  EXPECT_TRUE(absl::IsInvalidArgument(Tune(Order({{.m = 1, .n = 1, .k = 32, .dtype = DTypeWish::kF8E4M3}}))))
      << "a type that this device does not compute with";
}

TEST_F(TunerTest, MemoryIsBounded) {
  Start();
  const int64_t side = int64_t{1} << 20;
  const absl::Status large = Tune(Order({{.m = 16, .n = 16, .k = 16}, {.m = side, .n = side, .k = side}}));
  EXPECT_TRUE(absl::IsResourceExhausted(large));
  EXPECT_EQ(GetReason(large), "WAVE_TOO_LARGE");
  EXPECT_THAT(std::string(large.message()), HasSubstr("problems[1] (1048576x1048576x1048576:f32)"));
  EXPECT_THAT(results_, IsEmpty()) << "before anything is done";
}

TEST_F(TunerTest, UnknownDevicesAndErrorsOfTheDevice) {
  Start();
  TuneOrder order = Order();
  order.device = "cuda:7";
  const absl::Status unknown = Tune(order);
  EXPECT_EQ(GetReason(unknown), "DEVICE_NOT_FOUND");
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("this daemon has fake"));
  device_->FailRuns(absl::UnavailableError("lost"));
  EXPECT_EQ(Tune(Order()), absl::UnavailableError("lost"));
  runtime_->Drain(Duration(0));
  EXPECT_EQ(GetReason(Tune(Order())), "DRAINING");
}

TEST_F(TunerTest, WhatADeviceDoesNotTakeBackIsDroppedAndSaid) {
  {
    TuningFile file(path_);
    DeviceInfo fake = FakeDevice().info();
    file.PutAlgorithms(fake, {"1 2 3"});
    ASSERT_TRUE(file.Save().ok());
  }
  Start();
  EXPECT_THAT(notes_, ElementsAre("fake dropped a tuned algorithm (1 2 3): this device has no choice of algorithms"));
}

}  // namespace
}  // namespace bwrt::runtime
