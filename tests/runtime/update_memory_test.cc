// The memory that an update will need is reserved when it begins, so that nobody stages and verifies for nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/cpu_tensor.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/weights_fixture.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using Kind = WeightBudget::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kRows = 16;
constexpr int64_t kCols = 8;
constexpr int64_t kContent = kRows * kCols * 4;

class UpdateMemoryTest : public WeightsFixture {
 protected:
  void SetUp() override {
    Make();
    layout_ = device_->LayoutBytes(Type(), nullptr).value();
    ASSERT_GT(layout_, 0);
  }
  void TearDown() override { weights_.reset(); }  // Before the store it uses.

  static TensorType Type() { return {kernels::DType::kF32, {kRows, kCols}}; }
  static TensorManifestRequest Matrix(const std::string& name, std::vector<ShardRequest> shards = {}) {
    return {name, ElementType::kF32, {kRows, kCols}, std::move(shards)};
  }
  static std::string Filled(char c) { return std::string(kContent, c); }
  static std::string Npy(int64_t rows, const std::string& data) {
    std::string header = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", kCols, "), }");
    header.resize(117, ' ');
    header += '\n';
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + data;
  }

  // A daemon that may hold `bytes`.
  void MakeWith(int64_t bytes, StateStore* state = nullptr) {
    limits_.weight_bytes = bytes;
    Make({}, state);
  }
  // Takes whatever is left of the budget.
  void FillUp() {
    const WeightBudget& budget = weights().budget();
    const int64_t left =
        budget.limit().value() - budget.reserved(Kind::kContent).value() - budget.reserved(Kind::kLayout).value();
    if (left >= 4) {
      ASSERT_TRUE(Begin("filler", "filler", {Floats("all", left / 4)}).ok());
    }
    EXPECT_LT(Free(), 4);
  }
  int64_t Free() {
    const WeightBudget& budget = weights().budget();
    return budget.limit().value() - budget.reserved(Kind::kContent).value() - budget.reserved(Kind::kLayout).value();
  }
  Bytes Layouts() { return weights().budget().reserved(Kind::kLayout); }
  absl::Status StageShard(const std::string& id, const std::string& tensor, uint32_t rank, const std::string& data) {
    return weights().Stage(**weights().FindUpdate(id), tensor, rank, 0, absl::Cord(data));
  }

  int64_t layout_ = 0;
};

TEST_F(UpdateMemoryTest, AnUpdateWhoseLayoutsDoNotFitIsRefusedWhenItBegins) {
  MakeWith(kContent + layout_ - 1);
  const absl::Status full = Begin("u", "m", {Matrix("proj")}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(full), "WEIGHT_MEMORY");
  EXPECT_THAT(std::string(full.message()),
              HasSubstr(absl::StrCat("tensor=\"proj\": beside its own ", kContent, " bytes it needs ", layout_)));
  EXPECT_EQ(Layouts(), Bytes(0));
  EXPECT_EQ(weights().budget().reserved(Kind::kContent), Bytes(0));
}

TEST_F(UpdateMemoryTest, ATensorDeclaredLaterNeedsRoomToo) {
  MakeWith(2 * kContent + layout_);
  ASSERT_TRUE(Begin("u", "m", {}).ok());
  auto& update = **weights().FindUpdate("u");
  ASSERT_TRUE(weights().Declare(update, Matrix("a")).ok());
  EXPECT_EQ(GetReason(weights().Declare(update, Matrix("b"))), "WEIGHT_MEMORY");
  EXPECT_EQ(Layouts(), Bytes(layout_));
  ASSERT_TRUE(weights().Declare(update, Floats("a", 4)).ok()) << "as a vector it needs no layout";
  EXPECT_EQ(Layouts(), Bytes(0));
}

TEST_F(UpdateMemoryTest, WhatBeganWithRoomIsPreparedWhateverOthersTakeMeanwhile) {
  MakeWith(4 * (kContent + layout_));
  ASSERT_TRUE(Begin("u", "m", {Matrix("w")}).ok());
  FillUp();
  ASSERT_TRUE(Stage("u", "w", Filled('a')).ok());
  const absl::Status prepared = Precommit("u");
  ASSERT_TRUE(prepared.ok()) << prepared;
  EXPECT_EQ(Layouts(), Bytes(layout_)) << "charged once";
  ASSERT_TRUE(Commit({"u"}).ok());
  EXPECT_EQ(Read("m", "w"), Filled('a'));
}

TEST_F(UpdateMemoryTest, APrecommitThatFailsKeepsItsRoom) {
  MakeWith(2 * (kContent + layout_));
  ASSERT_TRUE(Begin("u", "m", {Matrix("w")}).ok());
  EXPECT_EQ(GetReason(Precommit("u")), "UPDATE_INCOMPLETE");
  FillUp();
  ASSERT_TRUE(Stage("u", "w", Filled('a')).ok());
  EXPECT_TRUE(Precommit("u").ok());
  EXPECT_EQ(Layouts(), Bytes(layout_));
}

TEST_F(UpdateMemoryTest, SoDoesOneThatFailsAtItsVeryEnd) {
  CrashFiles files;
  StateStore::Options options;
  options.dir = "state";
  auto state = StateStore::Open(options, &files);
  ASSERT_TRUE(state.ok());
  MakeWith(2 * (kContent + layout_), state->get());
  ASSERT_TRUE(Begin("u", "m", {Matrix("w")}).ok());
  ASSERT_TRUE(Stage("u", "w", Filled('a')).ok());
  files.SetFull(true);
  EXPECT_EQ(GetReason(Precommit("u")), "STATE_DIR_FULL");
  EXPECT_EQ(Layouts(), Bytes(layout_));
  FillUp();
  files.SetFull(false);
  EXPECT_TRUE(Precommit("u").ok());
  EXPECT_EQ(Layouts(), Bytes(layout_));
  weights_.reset();
}

// Layouts that waves have come to want since the update began are no reason to refuse it.
TEST_F(UpdateMemoryTest, ALayoutThatNobodyForesawIsLeftToTheFirstWave) {
  MakeWith(8 * (kContent + layout_));
  ASSERT_TRUE(Begin("one", "m", {Matrix("w")}).ok());
  ASSERT_TRUE(Stage("one", "w", Filled('1')).ok());
  ASSERT_TRUE(Precommit("one").ok());
  ASSERT_TRUE(Commit({"one"}).ok());
  ASSERT_TRUE(Begin("two", "m", {Matrix("w")}).ok());
  ASSERT_TRUE(Stage("two", "w", Filled('2')).ok());
  const auto tensor = [&] {
    return std::static_pointer_cast<const CpuTensor>((*weights().FindModel("m"))->current()->Find("w")->tensor);
  };
  ASSERT_TRUE(tensor()->GetPanels(/*transposed=*/true).ok());
  const Bytes used = Layouts();
  FillUp();
  const absl::Status prepared = Precommit("two");
  EXPECT_TRUE(prepared.ok()) << prepared;
  EXPECT_EQ(Layouts(), used) << "what was reserved has become the layout, and no more";
  ASSERT_TRUE(Commit({"two"}).ok());
  EXPECT_EQ(Read("m", "w"), Filled('2'));
  // The old version has made room.
  executor_.RunAll();
  ASSERT_TRUE(tensor()->GetPanels(/*transposed=*/true).ok());
  EXPECT_GT(Layouts(), Bytes(layout_)) << "kept";
}

// A file says its type only once it is there.
TEST_F(UpdateMemoryTest, AFileWhoseLayoutDoesNotFitIsRefusedBeforeAnythingIsWritten) {
  CrashFiles files;
  StateStore::Options options;
  options.dir = "state";
  auto state = StateStore::Open(options, &files);
  ASSERT_TRUE(state.ok());
  const std::string file = Npy(kRows, Filled('f'));
  MakeWith(static_cast<int64_t>(file.size()) + layout_ - 1, state->get());
  ASSERT_TRUE(Begin("u", "m", {{"w", 0, {}, {{0, file.size(), "", 1}}}}).ok());
  ASSERT_TRUE(Stage("u", "w", file).ok());
  const absl::Status refused = Precommit("u");
  EXPECT_EQ(GetReason(refused), "WEIGHT_MEMORY");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("tensor=\"w\""));
  EXPECT_THAT(files.Paths("blobs/"), IsEmpty());
  EXPECT_EQ((*weights().FindUpdate("u"))->state(), UpdateState::kOpen);
  EXPECT_EQ(Layouts(), Bytes(0));
  weights_.reset();
}

TEST_F(UpdateMemoryTest, RawShardsAreStagedWhereTheyBelong) {
  MakeWith(kContent + layout_);
  constexpr uint64_t kFirst = 3 * kContent / 4;
  ASSERT_TRUE(Begin("u", "m", {Matrix("w", {{0, kFirst, "", 0}, {1, kContent - kFirst, "", 0}})}).ok());
  EXPECT_EQ(weights().GetGauges().staged, kContent);
  ASSERT_TRUE(StageShard("u", "w", 1, std::string(kContent - kFirst, '1')).ok());
  ASSERT_TRUE(StageShard("u", "w", 0, std::string(kFirst, '0')).ok());
  EXPECT_EQ((*weights().FindUpdate("u"))->Read("w", 1, 0, 4)->data, "1111");
  const absl::Status prepared = Precommit("u");
  ASSERT_TRUE(prepared.ok()) << prepared << ": joining them takes no memory";
  EXPECT_EQ(weights().budget().reserved(Kind::kContent), Bytes(kContent));
  ASSERT_TRUE(Commit({"u"}).ok());
  EXPECT_EQ(Read("m", "w"), std::string(kFirst, '0') + std::string(kContent - kFirst, '1'));
}

TEST_F(UpdateMemoryTest, FilesToBeJoinedHaveRoomForThat) {
  const std::string first = Npy(kRows / 2, Filled('1').substr(kContent / 2));
  const std::string second = Npy(kRows / 2, Filled('2').substr(kContent / 2));
  const std::vector<ShardRequest> shards = {{0, first.size(), "", 1}, {1, second.size(), "", 1}};
  const auto staged = static_cast<int64_t>(first.size() + second.size());
  MakeWith(staged + kContent + layout_ - 1);
  EXPECT_EQ(GetReason(Begin("u", "m", {Matrix("w", shards)}).status()), "WEIGHT_MEMORY");
  EXPECT_EQ(weights().budget().reserved(Kind::kContent), Bytes(0));
  MakeWith(staged + kContent + layout_);
  ASSERT_TRUE(Begin("u", "m", {Matrix("w", shards)}).ok());
  EXPECT_EQ(Free(), 0);
  ASSERT_TRUE(StageShard("u", "w", 0, first).ok());
  ASSERT_TRUE(StageShard("u", "w", 1, second).ok());
  const absl::Status prepared = Precommit("u");
  ASSERT_TRUE(prepared.ok()) << prepared;
  EXPECT_EQ(weights().budget().reserved(Kind::kContent), Bytes(kContent));
  EXPECT_EQ(Layouts(), Bytes(layout_));
  ASSERT_TRUE(Commit({"u"}).ok());
  EXPECT_EQ(Read("m", "w"), Filled('1').substr(kContent / 2) + Filled('2').substr(kContent / 2));
}

TEST_F(UpdateMemoryTest, AnUpdateThatEndsGivesItsRoomBack) {
  ASSERT_TRUE(Begin("u", "m", {Matrix("a"), Matrix("b")}).ok());
  EXPECT_EQ(Layouts(), Bytes(2 * layout_));
  ASSERT_TRUE(weights().Abort("u").ok());
  EXPECT_EQ(Layouts(), Bytes(0));
}

TEST_F(UpdateMemoryTest, SetWeightsLearnsItBeforeAnythingIsWritten) {
  CrashFiles files;
  StateStore::Options options;
  options.dir = "state";
  auto state = StateStore::Open(options, &files);
  ASSERT_TRUE(state.ok());
  MakeWith(kContent + layout_ - 1, state->get());
  SetWeightsRequest request;
  request.tensors.push_back({"w", DTypeWish::kF32, {kRows, kCols}, Filled('w')});
  absl::Status ended;
  const auto swap = weights().SetWeights(std::move(request),
                                         [&](const absl::StatusOr<SwapResult>& result) { ended = result.status(); });
  ASSERT_TRUE(swap.ok()) << swap.status();
  executor_.RunAll();
  EXPECT_EQ(GetReason(ended), "WEIGHT_MEMORY");
  EXPECT_THAT(files.Paths("blobs/"), IsEmpty());
  weights_.reset();
}

}  // namespace
}  // namespace bwrt::runtime
