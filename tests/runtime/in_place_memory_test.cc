// What an update in place will need beyond what it gives back is reserved when it is prepared, and nobody gets what it
// gives back: a model never waits, unavailable, for memory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/failpoints.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/weights_fixture.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using Kind = WeightBudget::Kind;
using ::testing::HasSubstr;

class InPlaceMemoryTest : public WeightsFixture, private Failpoints {
 protected:
  void SetUp() override {
    limits_.weight_bytes = 1000;
    Start();
  }
  void TearDown() override { weights_.reset(); }  // Before the store it uses.

  void Start() {
    weights_.reset();
    executor_.RunAll();
    state_.reset();
    StateStore::Options options;
    options.dir = "state";
    auto state = StateStore::Open(options, &files_);
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
    WeightsOptions in;
    in.state_directory = ::testing::TempDir();  // Where what is staged in place lies.
    Make(in, state_.get(), this);
  }

  struct Tensor {
    std::string name;
    int64_t bytes;
    char fill;
  };
  absl::Status StageAll(const std::string& id, const std::string& model, int mode, const std::vector<Tensor>& tensors,
                        std::vector<std::string> removed = {}) {
    BeginUpdateRequest request;
    request.update_id = id;
    request.model = model;
    request.apply_mode = mode;
    request.removed = std::move(removed);
    for (const Tensor& t : tensors) request.tensors.push_back(Floats(t.name, t.bytes / 4));
    if (const auto begun = weights().BeginUpdate(request); !begun.ok()) return begun.status();
    for (const Tensor& t : tensors) {
      const absl::Status status = Stage(id, t.name, std::string(static_cast<size_t>(t.bytes), t.fill));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  void Publish(const std::string& id, const std::string& model, const std::vector<Tensor>& tensors) {
    ASSERT_TRUE(StageAll(id, model, 0, tensors).ok());
    ASSERT_TRUE(Precommit(id).ok());
    ASSERT_TRUE(Commit({id}).ok());
  }
  int64_t Reserved() { return weights().budget().reserved(Kind::kContent).value(); }
  // What somebody else is answered who wants `bytes` now.
  std::string OthersWant(int64_t bytes) {
    const auto begun = Begin("other", "other", {Floats("x", bytes / 4)});
    if (begun.ok()) {
      EXPECT_TRUE(weights().Abort("other").ok());
    }
    return GetReason(begun.status());
  }

  CrashFiles files_;
  std::unique_ptr<StateStore> state_;
  std::function<void(absl::string_view step)> on_step_;

 private:
  void Reach(absl::string_view step) override {
    if (on_step_) on_step_(step);
  }
};

TEST_F(InPlaceMemoryTest, GrowthThatDoesNotFitBesideOtherModelsIsRefusedAtPrecommit) {
  Publish("m1", "m", {{"w", 400, '1'}});
  Publish("n1", "n", {{"w", 400, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"w", 400, '2'}, {"new", 204, '2'}}).ok()) << "alone it would fit";
  const auto blobs = files_.Paths("blobs/").size();
  const absl::Status refused = Precommit("m2");
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(refused), "WEIGHT_MEMORY");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("model=\"m\": in place it would grow by 204 bytes"));
  EXPECT_EQ(files_.Paths("blobs/").size(), blobs) << "before anything is written";
  EXPECT_EQ((*weights().FindUpdate("m2"))->state(), UpdateState::kOpen);
  EXPECT_EQ(Reserved(), 800);
  // Nothing has to be staged again once there is room.
  ASSERT_TRUE(weights().DeleteModel("n", std::nullopt).ok());
  executor_.RunAll();
  ASSERT_TRUE(Precommit("m2").ok());
  ASSERT_TRUE(Commit({"m2"}).ok());
  EXPECT_EQ(Read("m", "new"), std::string(204, '2'));
}

TEST_F(InPlaceMemoryTest, GrowthIsHeldFromPrecommitOn) {
  Publish("m1", "m", {{"w", 400, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"w", 400, '2'}, {"new", 200, '2'}}).ok());
  EXPECT_EQ(Reserved(), 400) << "what is staged lies on disk";
  ASSERT_TRUE(Precommit("m2").ok());
  EXPECT_EQ(Reserved(), 600);
  EXPECT_EQ(weights().GetGauges().staged, 200);
  EXPECT_EQ(weights().GetGauges().retiring, 0);
  EXPECT_EQ(OthersWant(404), "WEIGHT_MEMORY");
  ASSERT_TRUE(Begin("all", "n", {Floats("w", 100)}).ok());
  ASSERT_TRUE(Commit({"m2"}).ok()) << "with nothing left for anybody";
  EXPECT_EQ(Read("m", "w"), std::string(400, '2'));
  EXPECT_EQ(Reserved(), 1000);
  EXPECT_EQ(weights().GetGauges().staged, 400);
}

TEST_F(InPlaceMemoryTest, WhatShrinksOrGoesMakesUpForWhatGrows) {
  Publish("m1", "m", {{"a", 400, '1'}, {"b", 200, '1'}, {"c", 400, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"a", 600, '2'}}, {"b"}).ok());
  ASSERT_TRUE(Precommit("m2").ok());
  EXPECT_EQ(Reserved(), 1000);
  ASSERT_TRUE(Commit({"m2"}).ok());
  EXPECT_EQ(Read("m", "a"), std::string(600, '2'));
  EXPECT_EQ(Reserved(), 1000);
}

TEST_F(InPlaceMemoryTest, AnUpdateThatEndsGivesItsGrowthBack) {
  ASSERT_TRUE(StageAll("m1", "m", 1, {{"w", 800, '1'}}).ok());
  ASSERT_TRUE(Precommit("m1").ok());
  EXPECT_EQ(Reserved(), 800);
  ASSERT_TRUE(weights().Abort("m1").ok());
  EXPECT_EQ(Reserved(), 0);
  EXPECT_EQ(weights().GetGauges().staged, 0);
}

TEST_F(InPlaceMemoryTest, NobodyGetsWhatIsGivenBackForIt) {
  Publish("m1", "m", {{"w", 800, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"w", 800, '2'}}).ok());
  ASSERT_TRUE(Precommit("m2").ok());
  int flipped = 0;
  on_step_ = [&](absl::string_view step) {
    if (step != "commit.flipped") return;
    ++flipped;
    EXPECT_EQ(OthersWant(204), "WEIGHT_MEMORY") << "before the old tensors are free";
  };
  bool ended = false;
  const auto leave = weights().Commit({{"m2"}, {}}, [&](const absl::StatusOr<CommitResult>& result) {
    ended = true;
    EXPECT_TRUE(result.ok()) << result.status();
  });
  ASSERT_TRUE(leave.ok());
  while (!ended) {
    EXPECT_EQ(OthersWant(204), "WEIGHT_MEMORY");
    ASSERT_TRUE(executor_.RunOne()) << "it is stuck";
  }
  EXPECT_EQ(flipped, 1);
  executor_.RunAll();
  EXPECT_EQ(Read("m", "w"), std::string(800, '2'));
  EXPECT_EQ(Reserved(), 800);
  EXPECT_EQ(OthersWant(200), "");
}

TEST_F(InPlaceMemoryTest, AReadThatFailsHasItsRoomWhenItIsRetried) {
  Publish("m1", "m", {{"a", 400, '1'}, {"b", 400, '1'}});
  const auto before = files_.Paths("blobs/");
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"a", 400, '2'}, {"b", 400, '2'}}).ok());
  ASSERT_TRUE(Precommit("m2").ok());
  std::string blob;
  for (const std::string& path : files_.Paths("blobs/")) {
    if (std::find(before.begin(), before.end(), path) == before.end()) blob = path;
  }
  const std::string content = *files_.Content(blob);
  ASSERT_TRUE(files_.FlipBit(blob, 8 * 600)) << "of the second tensor";
  bool ended = false;
  const auto leave = weights().Commit({{"m2"}, {}}, [&](const absl::StatusOr<CommitResult>& result) {
    ended = true;
    EXPECT_TRUE(result.ok()) << result.status();
  });
  ASSERT_TRUE(leave.ok());
  for (int attempt = 0; attempt < 3; ++attempt) {
    executor_.RunAll();
    EXPECT_FALSE(ended);
    EXPECT_EQ(OthersWant(204), "WEIGHT_MEMORY") << attempt;
    clock_.Advance(std::chrono::seconds(1));
  }
  files_.Put(blob, content);
  executor_.RunAll();
  EXPECT_TRUE(ended);
  EXPECT_EQ(Read("m", "b"), std::string(400, '2'));
  EXPECT_EQ(Reserved(), 800);
}

TEST_F(InPlaceMemoryTest, GrowthIsHeldAcrossARestart) {
  Publish("m1", "m", {{"w", 400, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"w", 400, '2'}, {"new", 200, '2'}}).ok());
  ASSERT_TRUE(Precommit("m2").ok());
  weights_->Drain();
  weights_.reset();
  files_.KillProcess();
  Start();
  EXPECT_EQ(Reserved(), 600);
  EXPECT_EQ(weights().GetGauges().staged, 200);
  ASSERT_TRUE(Begin("all", "n", {Floats("w", 100)}).ok());
  ASSERT_TRUE(Commit({"m2"}).ok());
  EXPECT_EQ(Read("m", "new"), std::string(200, '2'));
}

TEST_F(InPlaceMemoryTest, ACommitThatIsRefusedKeepsTheGrowth) {
  Publish("m1", "m", {{"w", 400, '1'}});
  ASSERT_TRUE(StageAll("m2", "m", 1, {{"w", 400, '2'}, {"new", 200, '2'}}).ok());
  ASSERT_TRUE(Precommit("m2").ok());
  auto lease = (*weights().FindModel("m"))
                   ->Start({.number = WaveNumber(1),
                            .wave_id = "w",
                            .window = {1, 2},
                            .tokens = {.prefetch = 0, .tiles = 2},
                            .required_version = Version()});
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(GetReason(Commit({"m2"}).status()), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(Reserved(), 600);
  (*lease)->Step(0, 1);
  (*lease)->Retire();
  ASSERT_TRUE(Begin("all", "n", {Floats("w", 100)}).ok());
  ASSERT_TRUE(Commit({"m2"}).ok());
  EXPECT_EQ(Read("m", "new"), std::string(200, '2'));
}

}  // namespace
}  // namespace bwrt::runtime
