// The power goes at every single operation on the state directory while models are published, updated together, rolled
// back and aborted. Whoever comes back serves what was acknowledged, or what was under way, and never a mix.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/weights_fixture.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// What each model's only tensor is filled with.
using Contents = std::map<std::string, char>;

class WeightsCrashTest : public WeightsFixture {
 protected:
  void TearDown() override { weights_.reset(); }  // Before the store it uses.

  // As a daemon does when it starts. False when the power went meanwhile.
  bool Start(CrashFiles* files) {
    weights_.reset();
    executor_.RunAll();
    state_.reset();
    StateStore::Options options;
    options.dir = "state";
    auto state = StateStore::Open(options, files);
    if (!state.ok()) return false;
    state_ = *std::move(state);
    Make({}, state_.get());
    return true;
  }

  absl::Status Prepare(const std::string& id, const std::string& model, char fill) {
    const auto begun = Begin(id, model, {Floats("w", 4)});
    if (!begun.ok()) return begun.status();
    if (absl::Status status = Stage(id, "w", std::string(16, fill)); !status.ok()) return status;
    return Precommit(id);
  }

  // One change of `models` to their new contents: known to be there if it is acknowledged, maybe there if not.
  absl::Status Change(const Contents& to, const std::function<absl::Status()>& change) {
    under_way_ = to;
    const absl::Status status = change();
    if (status.ok()) {
      for (const auto& [model, fill] : to) acknowledged_[model] = fill;
      under_way_.clear();
    }
    return status;
  }

  absl::Status Script() {
    const auto publish = [&](const std::string& id, const std::string& model, char fill) {
      return Change({{model, fill}}, [&] { return Publish(id, model, std::string(16, fill)).status(); });
    };
    const auto prepare = [&](const std::string& id, const std::string& model, char fill) {
      const absl::Status status = Prepare(id, model, fill);
      if (status.ok()) prepared_[id] = {model, fill};
      return status;
    };
    if (absl::Status s = publish("a1", "a", '1'); !s.ok()) return s;
    if (absl::Status s = publish("b1", "b", '1'); !s.ok()) return s;
    if (absl::Status s = prepare("a2", "a", '2'); !s.ok()) return s;
    if (absl::Status s = prepare("b2", "b", '2'); !s.ok()) return s;
    auto together = prepared_;
    prepared_.clear();
    if (absl::Status s = Change({{"a", '2'}, {"b", '2'}}, [&] { return Commit({"a2", "b2"}).status(); }); !s.ok()) {
      return s;
    }
    if (absl::Status s = Change({{"a", '1'}},
                                [&] {
                                  RollbackRequest back;
                                  back.model = "a";
                                  back.version = 1;
                                  return Rollback(back).status();
                                });
        !s.ok()) {
      return s;
    }
    if (absl::Status s = prepare("a3", "a", '3'); !s.ok()) return s;
    maybe_gone_.insert("a3");
    if (absl::Status s = weights().Abort("a3"); !s.ok()) return s;
    prepared_.erase("a3");
    if (absl::Status s = publish("c1", "c", '1'); !s.ok()) return s;
    // Deleted, or not yet.
    maybe_gone_.insert("c");
    const auto deleted = weights().DeleteModel("c", std::nullopt);
    if (!deleted.ok()) return deleted.status();
    acknowledged_.erase("c");
    return prepare("b3", "b", '3');
  }

  void CheckAfterwards() {
    Contents now;
    for (const auto& model : weights().models().All()) {
      if (model->version_number() == 0) continue;
      const std::string bytes = Read(model->name(), "w");
      ASSERT_EQ(bytes, std::string(16, bytes[0])) << "torn";
      now[model->name()] = bytes[0];
    }
    Contents with = acknowledged_;
    for (const auto& [model, fill] : under_way_) with[model] = fill;
    for (Contents* possible : {&acknowledged_, &with}) {
      if (maybe_gone_.contains("c") && !now.contains("c")) possible->erase("c");
    }
    EXPECT_TRUE(now == acknowledged_ || now == with)
        << "a=" << now["a"] << " b=" << now["b"] << " c=" << now["c"] << ", acknowledged a=" << acknowledged_["a"]
        << " b=" << acknowledged_["b"];
    for (const auto& [id, update] : prepared_) {
      if (maybe_gone_.contains(id) && !weights().FindUpdate(id).ok()) continue;
      const auto committed = Commit({id});
      ASSERT_TRUE(committed.ok()) << id << ": " << committed.status();
      EXPECT_EQ(Read(update.first, "w"), std::string(16, update.second));
    }
  }

  std::unique_ptr<StateStore> state_;
  Contents acknowledged_;
  Contents under_way_;
  std::map<std::string, std::pair<std::string, char>> prepared_;
  std::set<std::string> maybe_gone_;
};

class Survival : public WeightsCrashTest, public ::testing::WithParamInterface<uint64_t> {};

TEST_P(Survival, AfterAPowerCutAtEveryOperation) {
  bool whole = false;
  int64_t n = 1;
  for (; !whole; ++n) {
    ASSERT_LT(n, 5000);
    SCOPED_TRACE(absl::StrCat("power cut after operation ", n));
    CrashFiles files;
    acknowledged_.clear();
    under_way_.clear();
    prepared_.clear();
    maybe_gone_.clear();
    files.CutPowerAfter(n);
    absl::Status status = absl::AbortedError("it did not start");
    if (Start(&files)) status = Script();
    if (status.ok()) executor_.RunAll();
    whole = !files.power_is_gone();
    EXPECT_TRUE(!whole || status.ok()) << status;
    // Everybody who still waits is told something; nothing of it may reach the disk.
    if (weights_ != nullptr) weights_->Drain();
    files.PowerOn(GetParam() + static_cast<uint64_t>(n) * 8 * (GetParam() > 1 ? 1 : 0));
    ASSERT_TRUE(Start(&files));
    CheckAfterwards();
    if (HasFatalFailure() || HasFailure()) return;
  }
  EXPECT_GT(n, 100) << "the script has hardly touched the disk";
}

// Nothing that was not fsynced, all of it, and something in between.
INSTANTIATE_TEST_SUITE_P(Disks, Survival, ::testing::Values(0, 1, 2));

// The same check, with a state directory that forgets to fsync its journal, must see that a commit is lost.
TEST_F(WeightsCrashTest, ALostCommitIsSeen) {
  CrashFiles files;
  files.IgnoreSyncOf("journal");
  ASSERT_TRUE(Start(&files));
  ASSERT_TRUE(Publish("a1", "a", std::string(16, '1')).ok());
  weights_->Drain();
  files.CutPowerAfter(0);
  files.PowerOn(0);
  ASSERT_TRUE(Start(&files));
  EXPECT_FALSE(weights().FindModel("a").ok()) << "the test's disk kept what it was to lose";
}

TEST_F(WeightsCrashTest, AFullDiskRefusesAndLosesNothing) {
  CrashFiles files;
  ASSERT_TRUE(Start(&files));
  ASSERT_TRUE(Publish("a1", "a", std::string(16, '1')).ok());
  files.SetFull(true);
  const absl::Status full = Publish("a2", "a", std::string(16, '2')).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(full), "STATE_DIR_FULL");
  EXPECT_EQ(Read("a", "w"), std::string(16, '1'));
  EXPECT_EQ((*weights().FindUpdate("a2"))->state(), UpdateState::kOpen);
  files.SetFull(false);
  EXPECT_TRUE(Precommit("a2").ok()) << "what was staged is still there";
  ASSERT_TRUE(Commit({"a2"}).ok());
  EXPECT_EQ(Read("a", "w"), std::string(16, '2'));
}

TEST_F(WeightsCrashTest, WhatIsStagedInPlaceMustFitTheMemoryItIsFor) {
  CrashFiles files;
  limits_.weight_bytes = 1000;
  ASSERT_TRUE(Start(&files));
  BeginUpdateRequest request;
  request.apply_mode = 1;
  request.tensors = {Floats("a", 200), Floats("b", 51)};
  EXPECT_EQ(GetReason(weights().BeginUpdate(request).status()), "WEIGHT_MEMORY");
  // As many as would overflow a count of bytes.
  request.tensors.clear();
  for (int i = 0; i < 64; ++i) {
    TensorManifestRequest tensor{absl::StrCat("t", i), 0, {}, {{0, uint64_t{1} << 50, "", 1}}};
    request.tensors.push_back(tensor);
  }
  EXPECT_EQ(GetReason(weights().BeginUpdate(request).status()), "WEIGHT_MEMORY");
  request.tensors = {Floats("a", 200)};
  EXPECT_TRUE(weights().BeginUpdate(request).ok());
}

TEST_F(WeightsCrashTest, ADamagedVersionFallsBackToTheKeptOneAndNumbersGoOn) {
  CrashFiles files;
  ASSERT_TRUE(Start(&files));
  ASSERT_TRUE(Publish("a1", "a", std::string(16, '1')).ok());
  const auto before = files.Paths("blobs/");
  ASSERT_TRUE(Publish("a2", "a", std::string(16, '2')).ok());
  for (const std::string& blob : files.Paths("blobs/")) {
    if (std::find(before.begin(), before.end(), blob) == before.end()) {
      ASSERT_TRUE(files.FlipBit(blob, 9));
    }
  }
  weights_->Drain();
  files.KillProcess();
  ASSERT_TRUE(Start(&files));
  EXPECT_EQ(Read("a", "w"), std::string(16, '1'));
  EXPECT_EQ(VersionOf("a"), 1U);
  const auto next = Publish("a3", "a", std::string(16, '3'));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->updates[0].version, Version(3)) << "number 2 was seen by clients";
}

// The state directory may not have been told yet that the model's last swap has taken effect.
TEST_F(WeightsCrashTest, AModelThatIsDeletedRightAfterACommitStaysDeleted) {
  CrashFiles files;
  ASSERT_TRUE(Start(&files));
  ASSERT_TRUE(Prepare("a1", "a", '1').ok());
  bool committed = false;
  const auto leave =
      weights().Commit({{"a1"}, {}}, [&](const absl::StatusOr<CommitResult>& result) { committed = result.ok(); });
  ASSERT_TRUE(leave.ok());
  while (!committed) ASSERT_TRUE(executor_.RunOne());
  ASSERT_GT(executor_.pending(), 0u);
  ASSERT_TRUE(weights().DeleteModel("a", std::nullopt).ok());
  weights_->Drain();
  executor_.RunAll();
  files.KillProcess();
  ASSERT_TRUE(Start(&files));
  EXPECT_FALSE(weights().FindModel("a").ok());
}

class LostModel : public WeightsCrashTest, public ::testing::WithParamInterface<const char*> {};

// What is damaged is found when the directory is opened (a manifest), or when it is read (a blob).
TEST_P(LostModel, KeepsItsNumbersAndSaysSo) {
  CrashFiles files;
  ASSERT_TRUE(Start(&files));
  ASSERT_TRUE(Publish("a1", "a", std::string(16, '1')).ok());
  ASSERT_TRUE(Publish("a2", "a", std::string(16, '2')).ok());
  ASSERT_TRUE(Prepare("a3", "a", '3').ok());
  EXPECT_FALSE((*weights().FindModel("a"))->lost());
  for (const std::string& path : files.Paths(GetParam())) ASSERT_TRUE(files.FlipBit(path, 9));
  std::vector<std::string> notes;
  for (int restart = 0; restart < 3; ++restart) {
    weights_->Drain();
    files.KillProcess();
    ASSERT_TRUE(Start(&files));
    if (restart == 0) notes = notes_;
    const ModelStatus status = (*weights().FindModel("a"))->GetStatus();
    EXPECT_TRUE(status.lost);
    EXPECT_EQ(status.last, Version(2));
    EXPECT_EQ(status.current->number(), Version());
    EXPECT_THAT(status.kept, ::testing::IsEmpty());
    EXPECT_THAT(notes_, Contains(HasSubstr("model \"a\" has no version left that is whole: it serves none until one is "
                                           "published, which will be version 3")));
    // Neither an update that comes to nothing nor one on a version that is gone makes it forget.
    ASSERT_TRUE(Begin("vain", "a", {Floats("w", 4)}).ok());
    ASSERT_TRUE(weights().Abort("vain").ok());
    ASSERT_TRUE(weights().FindModel("a").ok());
  }
  // Left out when its manifest is damaged, dropped when what the manifest names is.
  EXPECT_THAT(notes, Contains(::testing::AnyOf(HasSubstr("prepared update a3 is dropped"),
                                               HasSubstr("prepared update \"a3\" is left out"))));
  const auto next = Publish("a4", "a", std::string(16, '4'));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->updates[0].version, Version(3));
  EXPECT_FALSE((*weights().FindModel("a"))->lost());
  weights_->Drain();
  files.KillProcess();
  ASSERT_TRUE(Start(&files));
  EXPECT_EQ(VersionOf("a"), 3U);
  EXPECT_EQ(Read("a", "w"), std::string(16, '4'));
  ASSERT_TRUE(weights().DeleteModel("a", std::nullopt).ok());
  EXPECT_FALSE(weights().FindModel("a").ok());
}

INSTANTIATE_TEST_SUITE_P(Damage, LostModel, ::testing::Values("manifests/", "blobs/"));

}  // namespace
}  // namespace bwrt::runtime
