#include "runtime/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/weights_fixture.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

using WeightsTest = WeightsFixture;

std::string Filled(size_t n, char c) { return std::string(4 * n, c); }

TEST_F(WeightsTest, AnUpdateBecomesTheNextVersion) {
  Make();
  ASSERT_TRUE(Begin("u", "m", {Floats("w", 4), Floats("b", 2)}).ok());
  EXPECT_EQ(weights().GetGauges().staged, 24);
  ASSERT_TRUE(Stage("u", "b", Filled(2, 'b')).ok());
  ASSERT_TRUE(Stage("u", "w", Filled(2, '2'), 8).ok());
  size_t missing = 0;
  EXPECT_THAT((*weights().FindUpdate("u"))->Missing(9, &missing)[0].missing, ElementsAre(ByteRange{0, 8}));
  EXPECT_EQ(missing, 1U);
  ASSERT_TRUE(Stage("u", "w", Filled(2, '1')).ok());
  ASSERT_TRUE(Precommit("u").ok());
  ASSERT_TRUE(Precommit("u").ok()) << "asking again does nothing";
  EXPECT_EQ(VersionOf("m"), 0U);
  const auto result = Commit({"u"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->updates[0].version, Version(1));
  EXPECT_EQ(Read("m", "w"), Filled(2, '1') + Filled(2, '2'));
  EXPECT_EQ(weights().GetGauges().staged, 0);
  EXPECT_EQ(weights().GetGauges().committed, 24);
  EXPECT_THAT(observer_.staged(), ElementsAre(8, 16)) << "b, then w";
}

TEST_F(WeightsTest, UnchangedTensorsAreSharedAndRemovedOnesAreGone) {
  Make();
  ASSERT_TRUE(Publish("one", "m", Filled(8, '1')).ok());
  BeginUpdateRequest request;
  request.model = "m";
  request.update_id = "two";
  request.tensors = {Floats("b", 1)};
  ASSERT_TRUE(weights().BeginUpdate(request).ok());
  ASSERT_TRUE(Stage("two", "b", Filled(1, 'b')).ok());
  ASSERT_TRUE(Precommit("two").ok());
  const auto before = (*weights().FindModel("m"))->current();
  ASSERT_TRUE(Commit({"two"}).ok());
  const auto after = (*weights().FindModel("m"))->current();
  EXPECT_EQ(before->Find("w")->tensor, after->Find("w")->tensor);
  request.update_id = "three";
  request.tensors.clear();
  request.removed = {"w"};
  ASSERT_TRUE(weights().BeginUpdate(request).ok());
  ASSERT_TRUE(Precommit("three").ok());
  ASSERT_TRUE(Commit({"three"}).ok());
  EXPECT_EQ((*weights().FindModel("m"))->current()->Find("w"), nullptr);
  EXPECT_EQ(Read("m", "b"), Filled(1, 'b'));
}

TEST_F(WeightsTest, PrecommitNamesEverythingThatIsWrongAndTheRestStays) {
  Make();
  TensorManifestRequest digest = Floats("digest", 1);
  digest.shards = {{0, 4, Digest::Of(Digest::Kind::kXxh3, "good").ToString(), 0}};
  TensorManifestRequest npy{"npy", 0, {}, {{0, 20, "", 1}}};
  ASSERT_TRUE(Begin("u", "m", {Floats("short", 2), Floats("none", 2), digest, npy, Floats("whole", 1)}).ok());
  ASSERT_TRUE(Stage("u", "short", "1234").ok());
  ASSERT_TRUE(Stage("u", "digest", "evil").ok());
  ASSERT_TRUE(Stage("u", "npy", std::string(20, 'x')).ok());
  ASSERT_TRUE(Stage("u", "whole", "1234").ok());
  const absl::Status status = Precommit("u");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "UPDATE_INCOMPLETE");
  EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair("tensors[\"digest\"].shards[0]", "DIGEST_MISMATCH"),
                                                Pair("tensors[\"none\"].shards[0]", "SHARD_MISSING"),
                                                Pair("tensors[\"npy\"].shards[0]", "NPY_HEADER"),
                                                Pair("tensors[\"short\"].shards[0]", "SHARD_SHORT")));
  EXPECT_EQ((*weights().FindUpdate("u"))->state(), UpdateState::kOpen);
  EXPECT_EQ(GetReason(Commit({"u"}).status()), "UPDATE_STATE");
  EXPECT_EQ((*weights().FindUpdate("u"))->GetStatus().received, 4 + 0 + 20 + 4);
}

TEST_F(WeightsTest, NpyShardsAreCheckedAndJoined) {
  Make();
  const auto npy = [](const std::string& shape, const std::string& data) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
    header.resize(117, ' ');
    header += '\n';
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + data;
  };
  const std::string first = npy("1, 2", Filled(2, 'a'));
  const std::string second = npy("2, 2", Filled(4, 'b'));
  TensorManifestRequest tensor{"w", ElementType::kF32, {3, 2}, {}};
  for (uint32_t rank = 0; rank < 2; ++rank) {
    const std::string& file = rank == 0 ? first : second;
    tensor.shards.push_back({rank, file.size(), Digest::Of(Digest::Kind::kSha256, file).ToString(), 1});
  }
  ASSERT_TRUE(Begin("u", "m", {tensor}).ok());
  auto update = *weights().FindUpdate("u");
  ASSERT_TRUE(weights().Stage(*update, "w", 0, 0, absl::Cord(first)).ok());
  ASSERT_TRUE(weights().Stage(*update, "w", 1, 0, absl::Cord(second)).ok());
  EXPECT_EQ(update->Read("w", 1, 0, 100)->data, second.substr(0, 100)) << "shards read back as they were staged";
  ASSERT_TRUE(Precommit("u").ok());
  ASSERT_TRUE(Commit({"u"}).ok());
  EXPECT_EQ(Read("m", "w"), Filled(2, 'a') + Filled(4, 'b'));
}

TEST_F(WeightsTest, TheLoserOfTwoUpdatesLearnsItAtOnceAndItsBytesAreFreed) {
  Make();
  ASSERT_TRUE(Begin("a", "m", {Floats("w", 4)}).ok());
  ASSERT_TRUE(Begin("b", "m", {Floats("w", 4)}).ok());
  ASSERT_TRUE(Begin("c", "m", {Floats("w", 4)}).ok());
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Stage(id, "w", Filled(4, *id)).ok());
    ASSERT_TRUE(Precommit(id).ok());
  }
  ASSERT_TRUE(Commit({"a"}).ok());
  EXPECT_EQ((*weights().FindUpdate("b"))->state(), UpdateState::kBaseChanged);
  EXPECT_EQ((*weights().FindUpdate("c"))->state(), UpdateState::kBaseChanged);
  const absl::Status late = Stage("c", "w", "1234");
  EXPECT_EQ(late.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetReason(late), "BASE_CHANGED");
  EXPECT_EQ(GetReason(Commit({"b"}).status()), "BASE_CHANGED");
  EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(16));
  EXPECT_EQ(GetReason(Begin("d", "m", {}).status()), "");
  BeginUpdateRequest stale;
  stale.model = "m";
  stale.base_version = 0;
  EXPECT_EQ(GetReason(weights().BeginUpdate(stale).status()), "BASE_CHANGED");
}

TEST_F(WeightsTest, SeveralModelsFlipTogetherOrNotAtAll) {
  Make();
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Begin(id, id, {Floats("w", 1)}).ok());
    ASSERT_TRUE(Stage(id, "w", Filled(1, *id)).ok());
    ASSERT_TRUE(Precommit(id).ok());
  }
  // A wave of "b" in its first token, with a window that opens in the second.
  auto lease = (*weights().FindModel("b"))
                   ->Start({.number = WaveNumber(1),
                            .wave_id = "w",
                            .window = {1, 2},
                            .tokens = {.prefetch = 0, .tiles = 2},
                            .required_version = Version()});
  ASSERT_TRUE(lease.ok());
  const absl::Status closed = Commit({"a", "b"}).status();
  EXPECT_EQ(GetReason(closed), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(MetadataOf(closed, "model"), "b");
  EXPECT_EQ(VersionOf("a"), 0U);
  EXPECT_EQ((*weights().FindUpdate("a"))->state(), UpdateState::kPrepared) << "it can be tried again";
  (*lease)->Step(0, 1);
  const auto result = Commit({"b", "a"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->updates[0].model, "b");
  EXPECT_EQ(VersionOf("a"), 1U);
  EXPECT_EQ(VersionOf("b"), 1U);
  (*lease)->Retire();
}

TEST_F(WeightsTest, ARepeatedCommitGetsTheFirstOutcome) {
  Make();
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(Begin(id, id, {Floats("w", 1)}).ok());
    ASSERT_TRUE(Stage(id, "w", Filled(1, *id)).ok());
    ASSERT_TRUE(Precommit(id).ok());
  }
  ASSERT_TRUE(Commit({"a", "b"}).ok());
  const auto again = Commit({"b", "a"});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(again->updates[0].id, "b");
  EXPECT_EQ(GetReason(Commit({"a"}).status()), "COMMITTED_APART");
  EXPECT_EQ(GetReason(Commit({"a", "c"}).status()), "COMMITTED_APART");
  EXPECT_EQ(VersionOf("a"), 1U);
  EXPECT_EQ(GetReason(Commit({"nope"}).status()), "UPDATE_NOT_FOUND");
  EXPECT_THAT(ViolationsOf(Commit({"c", "c"}).status()), ElementsAre(Pair("update_ids[1]", "UPDATE_REPEATED")));
  EXPECT_THAT(ViolationsOf(Commit({}).status()), ElementsAre(Pair("update_ids", "COUNT")));
}

TEST_F(WeightsTest, TwoWhoCommitTheSameShareTheOutcomeAndOneMayLeave) {
  Make();
  ASSERT_TRUE(Begin("u", "m", {Floats("w", 1)}).ok());
  ASSERT_TRUE(Stage("u", "w", Filled(1, 'u')).ok());
  ASSERT_TRUE(Precommit("u").ok());
  auto lease = (*weights().FindModel("m"))
                   ->Start({.number = WaveNumber(1),
                            .wave_id = "w",
                            .window = {1, 2},
                            .tokens = {.prefetch = 0, .tiles = 2},
                            .required_version = Version()});
  ASSERT_TRUE(lease.ok());
  SwapWish wait;
  wait.policy = static_cast<int>(SwapPolicy::kWaitForWindow);
  std::vector<absl::StatusOr<CommitResult>> outcomes[2];
  std::vector<Weights::Leave> leaves;
  for (auto& outcome : outcomes) {
    auto leave = weights().Commit(
        {{"u"}, wait}, [&outcome](absl::StatusOr<CommitResult> result) { outcome.push_back(std::move(result)); });
    ASSERT_TRUE(leave.ok());
    leaves.push_back(*std::move(leave));
  }
  leaves[0](absl::CancelledError("gone"));
  ASSERT_EQ(outcomes[0].size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(outcomes[0][0].status()));
  EXPECT_TRUE(outcomes[1].empty());
  (*lease)->Step(0, 1);
  ASSERT_EQ(outcomes[1].size(), 1U);
  EXPECT_TRUE(outcomes[1][0].ok()) << outcomes[1][0].status();
  EXPECT_EQ(VersionOf("m"), 1U);
  leaves[1](absl::CancelledError("too late"));
  (*lease)->Retire();
}

TEST_F(WeightsTest, ACommitWhoseClientsAllLeaveIsGivenUp) {
  Make();
  ASSERT_TRUE(Begin("u", "m", {Floats("w", 1)}).ok());
  ASSERT_TRUE(Stage("u", "w", Filled(1, 'u')).ok());
  ASSERT_TRUE(Precommit("u").ok());
  auto lease = (*weights().FindModel("m"))
                   ->Start({.number = WaveNumber(1),
                            .wave_id = "w",
                            .window = {1, 2},
                            .tokens = {.prefetch = 0, .tiles = 2},
                            .required_version = Version()});
  SwapWish wait;
  wait.policy = static_cast<int>(SwapPolicy::kWaitForWindow);
  absl::Status outcome;
  auto leave = weights().Commit({{"u"}, wait}, [&](absl::StatusOr<CommitResult> result) { outcome = result.status(); });
  ASSERT_TRUE(leave.ok());
  (*leave)(absl::CancelledError("gone"));
  EXPECT_TRUE(absl::IsCancelled(outcome));
  EXPECT_EQ((*weights().FindUpdate("u"))->state(), UpdateState::kPrepared);
  (*lease)->Retire();
}

TEST_F(WeightsTest, AnUpdateNobodyNamesExpiresAndAPreparedOneStays) {
  Make();
  ASSERT_TRUE(Begin("idle", "m", {Floats("w", 4)}).ok());
  ASSERT_TRUE(Begin("prepared", "m", {Floats("w", 4)}).ok());
  ASSERT_TRUE(Begin("busy", "n", {Floats("w", 4)}).ok());
  ASSERT_TRUE(Stage("prepared", "w", Filled(4, 'p')).ok());
  ASSERT_TRUE(Precommit("prepared").ok());
  BeginUpdateRequest short_lived;
  short_lived.model = "o";
  short_lived.update_id = "short";
  short_lived.removed = {"w"};
  short_lived.prepared_ttl = seconds(30);
  ASSERT_TRUE(weights().BeginUpdate(short_lived).ok());
  ASSERT_TRUE(Precommit("short").ok());
  const auto state = [&](const char* id) {
    for (const auto& update : weights().Updates()) {
      if (update->id() == id) return update->state();
    }
    return UpdateState::kAborted;
  };
  for (int minute = 0; minute < 12; ++minute) {
    clock_.Advance(minutes(1));
    executor_.RunAll();
    ASSERT_TRUE(Stage("busy", "w", "1234").ok()) << minute;
    EXPECT_EQ(state("idle"), minute < 9 ? UpdateState::kOpen : UpdateState::kExpired) << minute;
  }
  EXPECT_EQ(state("prepared"), UpdateState::kPrepared);
  EXPECT_EQ(state("short"), UpdateState::kExpired);
  EXPECT_FALSE(weights().FindModel("o").ok()) << "the model it was for was never filled";
  EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(32));
  EXPECT_EQ(weights().GetGauges().staged, 32);
  ASSERT_TRUE(Commit({"prepared"}).ok());
  clock_.Advance(std::chrono::hours(1));
  executor_.RunAll();
  EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(16));
}

TEST_F(WeightsTest, WhatDoesNotFitIsRefusedBeforeAnythingIsReserved) {
  limits_.weight_bytes = 1000;
  Make();
  ASSERT_TRUE(Begin("a", "m", {Floats("w", 200)}).ok());
  const absl::Status full = Begin("b", "m", {Floats("x", 20), Floats("y", 40)}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(full), "WEIGHT_MEMORY");
  EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(800));
  ASSERT_TRUE(weights().Abort("a").ok());
  EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(0));
  EXPECT_FALSE(weights().FindModel("m").ok());
  EXPECT_TRUE(weights().Abort("a").ok()) << "of one that has ended nothing changes";
}

TEST_F(WeightsTest, KeptVersionsAreRolledBackToAndMakeRoom) {
  limits_.weight_bytes = 100;
  WeightsOptions options;
  options.keep_versions = 2;
  Make(options);
  ASSERT_TRUE(Publish("one", "m", Filled(5, '1')).ok());
  ASSERT_TRUE(Publish("two", "m", Filled(5, '2')).ok());
  ASSERT_TRUE(Publish("three", "m", Filled(5, '3')).ok());
  EXPECT_EQ(weights().GetGauges().kept, 40);
  RollbackRequest request;
  request.model = "m";
  request.label = "label of one";
  const auto back = Rollback(request);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->version, Version(4));
  EXPECT_EQ(back->restored_from, Version(1));
  EXPECT_EQ(Read("m", "w"), Filled(5, '1'));
  EXPECT_EQ((*weights().FindModel("m"))->current()->label(), "label of one");
  // 60 of the 100 bytes are taken; these 60 need the older kept version to go.
  ASSERT_TRUE(Begin("big", "n", {Floats("w", 15)}).ok());
  request.label.reset();
  request.version = 2;
  const absl::Status gone = Rollback(request).status();
  EXPECT_EQ(GetReason(gone), "VERSION_NOT_KEPT");
  EXPECT_EQ(VersionOf("m"), 4U);
}

TEST_F(WeightsTest, InPlaceNeedsAStateDirectory) {
  Make();
  BeginUpdateRequest request;
  request.apply_mode = 1;
  EXPECT_EQ(GetReason(weights().BeginUpdate(request).status()), "NO_STATE_DIR");
}

TEST_F(WeightsTest, ADeletedModelTakesItsUpdatesAlong) {
  Make();
  ASSERT_TRUE(Publish("one", "m", Filled(5, '1')).ok());
  ASSERT_TRUE(Begin("two", "m", {Floats("w", 4)}).ok());
  const auto model = *weights().FindModel("m");
  EXPECT_EQ(GetReason(weights().DeleteModel("m", 7).status()), "VERSION_MISMATCH");
  EXPECT_THAT(ViolationsOf(weights().DeleteModel("default", {}).status()), ElementsAre(Pair("model", "MODEL_NAME")));
  ASSERT_TRUE(weights().DeleteModel("m", 1).ok());
  executor_.RunAll();
  EXPECT_EQ((*weights().FindUpdate("two"))->state(), UpdateState::kAborted);
  const auto wave = model->Start({.number = WaveNumber(1),
                                  .wave_id = "",
                                  .window = {0, 1},
                                  .tokens = {.prefetch = 0, .tiles = 1},
                                  .required_version = Version()});
  EXPECT_EQ(GetReason(wave.status()), "MODEL_NOT_FOUND");
}

// Fails the n-th of the steps that can.
class FailNth final : public Failpoints {
 public:
  explicit FailNth(int n) : left_(n) {}
  void Reach(absl::string_view /*step*/) override {}
  bool Fails(absl::string_view /*step*/) override { return --left_ == 0; }
  bool failed() const { return left_ <= 0; }

 private:
  int left_;
};

TEST_F(WeightsTest, WhicheverAllocationFailsNothingIsLostAndNothingStays) {
  bool clean = false;
  for (int n = 1; !clean; ++n) {
    ASSERT_LT(n, 100);
    FailNth failpoints(n);
    Make({}, nullptr, &failpoints);
    absl::Status first;
    for (const char* id : {"one", "two"}) {
      for (int attempt = 0; attempt < 2; ++attempt) {
        const std::string update = std::string(id) + std::to_string(attempt);
        TensorManifestRequest sharded{"s", ElementType::kF32, {2}, {{0, 4, "", 0}, {1, 4, "", 0}}};
        ASSERT_TRUE(Begin(update, "m", {Floats("w", 4), sharded}).ok());
        auto open = *weights().FindUpdate(update);
        absl::Status status = Stage(update, "w", Filled(4, *id));
        if (status.ok()) status = weights().Stage(*open, "s", 0, 0, absl::Cord(Filled(1, *id)));
        if (status.ok()) status = weights().Stage(*open, "s", 1, 0, absl::Cord(Filled(1, *id)));
        if (status.ok()) status = Precommit(update);
        if (status.ok()) status = Commit({update}).status();
        if (status.ok()) break;
        EXPECT_EQ(attempt, 0) << "only one fails";
        EXPECT_EQ(GetReason(status), "WEIGHT_MEMORY") << status;
        if (*id == 't') {
          EXPECT_EQ(Read("m", "w"), Filled(4, 'o')) << "the current version is untouched";
        }
        ASSERT_TRUE(weights().Abort(update).ok());
        first = status;
      }
      EXPECT_EQ(Read("m", "w"), Filled(4, *id));
    }
    EXPECT_EQ(first.ok(), !failpoints.failed());
    clean = !failpoints.failed();
    executor_.RunAll();
    EXPECT_EQ(weights().GetGauges().staged, 0);
    EXPECT_EQ(weights().GetGauges().committed, 24);
    EXPECT_EQ(weights().budget().reserved(WeightBudget::Kind::kContent), Bytes(48)) << "the current and the kept one";
  }
}

}  // namespace
}  // namespace bwrt::runtime
