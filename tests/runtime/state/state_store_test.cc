#include "runtime/state/state_store.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/error.h"
#include "runtime/state/steps.h"
#include "tests/runtime/state/state_script.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

class RecordingFailpoints final : public Failpoints {
 public:
  void Reach(absl::string_view step) override { steps_.insert(std::string(step)); }
  const std::set<std::string>& steps() const { return steps_; }

 private:
  std::set<std::string> steps_;
};

class StateStoreTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(1); }

  void Reopen(int keep_versions) {
    store_.reset();
    auto store = StateStore::Open({"", keep_versions, nullptr}, &files_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    state_ = store_->TakeRecovered();
  }

  // Numbers, as `store_` has them now.
  std::vector<uint64_t> Versions(const std::string& model) {
    std::vector<uint64_t> numbers;
    for (const auto& kept : store_->Versions(model)) numbers.push_back(kept.number.value());
    return numbers;
  }

  SwapDecision Decision(const std::string& model, uint64_t version, const std::string& update) {
    return {store_->NextDecisionId(), {{model, Version(version), *WriteVersion(*store_, model, version), update}}};
  }

  CrashFiles files_;
  std::unique_ptr<StateStore> store_;
  RecoveredState state_;
};

TEST_F(StateStoreTest, ANewDirectoryIsEmpty) {
  EXPECT_THAT(state_.models, IsEmpty());
  EXPECT_THAT(state_.updates, IsEmpty());
  EXPECT_THAT(state_.outcomes, IsEmpty());
  EXPECT_THAT(state_.notes, IsEmpty());
  EXPECT_EQ(files_.Content("FORMAT"), "bwrt state 1\n");
  EXPECT_EQ(store_->NextDecisionId(), 1u);
}

TEST_F(StateStoreTest, APreparedUpdateComesBackWhole) {
  const Digest manifest = *WriteVersion(*store_, "a", 1);
  const StoredUpdate update{"u", "a", Version(7), manifest, true, Duration(5)};
  ASSERT_TRUE(store_->Prepare(update).ok());
  Reopen(1);
  EXPECT_THAT(state_.updates, ElementsAre(update));
}

TEST_F(StateStoreTest, ConfirmKeepsSoManyVersionsAndADecisionThatIsOpenKeepsAll) {
  for (uint64_t v = 1; v <= 3; ++v) ASSERT_TRUE(CommitVersion(*store_, "a", v).ok());
  EXPECT_THAT(Versions("a"), ElementsAre(3, 2));
  const SwapDecision decision = Decision("a", 4, "");
  ASSERT_TRUE(store_->Decide(decision).ok());
  store_->Collect();
  EXPECT_THAT(Versions("a"), ElementsAre(3, 2));
  EXPECT_EQ(CheckVersion(*store_, store_->Versions("a")[1].manifest, "a", 2), "");
  store_->Confirm(decision);
  EXPECT_THAT(Versions("a"), ElementsAre(4, 3));
}

TEST_F(StateStoreTest, OtherKeepVersionsAtARestart) {
  for (uint64_t v = 1; v <= 3; ++v) ASSERT_TRUE(CommitVersion(*store_, "a", v).ok());
  store_->Collect();
  Reopen(5);
  EXPECT_THAT(Versions("a"), ElementsAre(3, 2));
  EXPECT_THAT(state_.notes, IsEmpty());
  Reopen(0);
  EXPECT_THAT(Versions("a"), ElementsAre(3));
}

TEST_F(StateStoreTest, ARevokedDecisionGivesTheUpdateBack) {
  ASSERT_TRUE(PrepareVersion(*store_, "u", "a", 1).ok());
  const SwapDecision decision = Decision("a", 1, "u");
  ASSERT_TRUE(store_->Decide(decision).ok());
  ASSERT_TRUE(store_->Revoke(decision).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Revoke(decision)));
  Reopen(1);
  EXPECT_THAT(state_.models, IsEmpty());
  ASSERT_EQ(state_.updates.size(), 1u);
  EXPECT_EQ(state_.updates[0].id, "u");
}

TEST_F(StateStoreTest, TheHighestNumberDecidedIsRemembered) {
  ASSERT_TRUE(CommitVersion(*store_, "a", 1).ok());
  const SwapDecision decision = Decision("a", 9, "");
  ASSERT_TRUE(store_->Decide(decision).ok());
  ASSERT_TRUE(store_->Revoke(decision).ok());
  Reopen(1);
  ASSERT_EQ(state_.models.size(), 1u);
  EXPECT_EQ(state_.models[0].last, Version(9));
  EXPECT_GT(store_->NextDecisionId(), decision.id);
}

TEST_F(StateStoreTest, OutcomesNameThePreviousVersionAndTheOldestGo) {
  ASSERT_TRUE(CommitVersion(*store_, "a", 1).ok());
  const Digest manifest = *WriteVersion(*store_, "a", 2);
  for (uint64_t i = 0; i <= StateStore::kOutcomesKept; ++i) {
    const SwapDecision decision{store_->NextDecisionId(), {{"a", Version(2 + i), manifest, absl::StrCat("u", i)}}};
    ASSERT_TRUE(store_->Decide(decision).ok());
    store_->Confirm(decision);
  }
  Reopen(1);
  ASSERT_EQ(state_.outcomes.size(), StateStore::kOutcomesKept);
  EXPECT_EQ(state_.outcomes[0], (StoredOutcome{"u1", 3, "a", Version(3), Version(2)}));
}

TEST_F(StateStoreTest, FallBackAndDelete) {
  for (uint64_t v = 1; v <= 2; ++v) ASSERT_TRUE(CommitVersion(*store_, "a", v).ok());
  ASSERT_TRUE(PrepareVersion(*store_, "u", "a", 3).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->FallBack("a", Version(7))));
  EXPECT_TRUE(absl::IsNotFound(store_->FallBack("b", Version(1))));
  ASSERT_TRUE(store_->FallBack("a", Version(1)).ok());
  Reopen(1);
  ASSERT_EQ(state_.models.size(), 1u);
  EXPECT_EQ(state_.models[0].versions[0].number, Version(1));
  EXPECT_EQ(state_.models[0].last, Version(2));
  ASSERT_TRUE(store_->DeleteModel("a").ok());
  Reopen(1);
  EXPECT_THAT(state_.models, IsEmpty());
  EXPECT_THAT(state_.updates, IsEmpty());
}

TEST_F(StateStoreTest, WhatIsNotThereCanNotBeReferredTo) {
  StoredVersion version{"a", Version(1), "", Version(), {}};
  const Digest nothing = Digest::Of(Digest::Kind::kXxh3, "nothing");
  version.tensors.push_back({"t", {ElementType(kernels::DType::kF32), {1}}, Version(1), {nothing, 0, 4}, nothing});
  EXPECT_EQ(GetReason(store_->WriteManifest(version).status()), "STATE_DIR_DAMAGED");
  version.tensors[0].where.blob = *store_->WriteBlob({"1234"});
  version.tensors[0].where.offset = 1;
  EXPECT_EQ(GetReason(store_->WriteManifest(version).status()), "STATE_DIR_DAMAGED");
  EXPECT_EQ(GetReason(store_->Prepare({"u", "a", Version(), nothing, false, std::nullopt})), "STATE_DIR_DAMAGED");
  EXPECT_EQ(GetReason(store_->Decide({1, {{"a", Version(1), nothing, ""}}})), "STATE_DIR_DAMAGED");
  EXPECT_TRUE(absl::IsNotFound(store_->ReadManifest(nothing).status()));
  EXPECT_TRUE(store_->health().ok());
}

TEST_F(StateStoreTest, TextThatIsNotUtf8IsRefused) {
  const Digest manifest = *WriteVersion(*store_, "a", 1);
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Prepare({"\xff", "a", Version(), manifest, false, std::nullopt})));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->WriteManifest({"\xff", Version(1), "", Version(), {}}).status()));
}

TEST_F(StateStoreTest, TheSameBlobIsWrittenOnce) {
  const std::string large(3 << 20, 'x');
  const auto blob = store_->WriteBlob({"small", large, "tail"});
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(files_.Content("blobs/" + blob->Hex()), "small" + large + "tail");
  const int64_t bytes = store_->bytes();
  const int64_t operations = files_.operations();
  EXPECT_EQ(*store_->WriteBlob({"small" + large, "tail"}), *blob);
  EXPECT_EQ(files_.operations(), operations);
  EXPECT_EQ(store_->bytes(), bytes);
  // After a restart it is read before it is believed.
  Reopen(1);
  files_.FlipBit("blobs/" + blob->Hex(), 12345);
  EXPECT_EQ(*store_->WriteBlob({"small", large, "tail"}), *blob);
  EXPECT_EQ(files_.Content("blobs/" + blob->Hex()), "small" + large + "tail");
  EXPECT_EQ(files_.Paths("quarantine/").size(), 1u);
}

TEST_F(StateStoreTest, CollectKeepsWhatIsNeededAndNothingElse) {
  for (uint64_t v = 1; v <= 2; ++v) ASSERT_TRUE(CommitVersion(*store_, "a", v).ok());
  const std::string first = store_->Versions("a")[1].manifest.Hex();
  EXPECT_EQ(files_.Paths("blobs/").size(), 3u);  // One is shared.
  ASSERT_TRUE(CommitVersion(*store_, "a", 3).ok());
  ASSERT_TRUE(PrepareVersion(*store_, "u", "b", 1).ok());
  const int64_t before = store_->bytes();
  store_->Collect();
  EXPECT_LT(store_->bytes(), before);
  EXPECT_EQ(files_.Paths("manifests/").size(), 3u);
  EXPECT_EQ(files_.Paths("manifests/" + first).size(), 0u);
  EXPECT_EQ(files_.Paths("blobs/").size(), 5u);
  for (const auto& kept : store_->Versions("a")) {
    EXPECT_EQ(CheckVersion(*store_, kept.manifest, "a", kept.number.value()), "");
  }
  // The last that needed them.
  ASSERT_TRUE(store_->Drop("u").ok());
  ASSERT_TRUE(store_->DeleteModel("a").ok());
  store_->Collect();
  EXPECT_THAT(files_.Paths("manifests/"), IsEmpty());
  EXPECT_THAT(files_.Paths("blobs/"), IsEmpty());
}

TEST_F(StateStoreTest, AHoldKeepsWhatNothingRefersToYet) {
  auto hold = store_->HoldCollection();
  auto other = store_->HoldCollection();
  const Digest manifest = *WriteVersion(*store_, "a", 1);
  hold.reset();
  store_->Collect();
  EXPECT_EQ(CheckVersion(*store_, manifest, "a", 1), "");
  other.reset();
  store_->Collect();
  EXPECT_THAT(files_.Paths("blobs/"), IsEmpty());
  EXPECT_EQ(GetReason(store_->ReadManifest(manifest).status()), "STATE_DIR_DAMAGED");
  // And it can be written anew.
  EXPECT_EQ(CheckVersion(*store_, *WriteVersion(*store_, "a", 1), "a", 1), "");
}

TEST_F(StateStoreTest, CollectAfterARestartRemovesWhatACrashLeft) {
  ASSERT_TRUE(CommitVersion(*store_, "a", 1).ok());
  ASSERT_TRUE(WriteVersion(*store_, "b", 1).ok());
  files_.Put("blobs/17.tmp", "half");
  files_.Put("checkpoint.tmp", "half");
  files_.Put("journal-999", "");
  Reopen(1);
  EXPECT_THAT(files_.Paths("blobs/17"), IsEmpty());
  EXPECT_THAT(files_.Paths("checkpoint.tmp"), IsEmpty());
  EXPECT_THAT(files_.Paths("journal-999"), IsEmpty());
  store_->Collect();
  EXPECT_EQ(files_.Paths("blobs/").size(), 2u);
  EXPECT_EQ(files_.Paths("manifests/").size(), 1u);
}

TEST_F(StateStoreTest, TheListOfStepsIsComplete) {
  store_.reset();
  files_.PowerOn(0);
  RecordingFailpoints failpoints;
  {
    auto store = StateStore::Open({"", 1, &failpoints}, &files_);
    ASSERT_TRUE(store.ok());
    const StateScript script = StateScript::Whole();
    for (const StateScript::Step& step : script.steps()) ASSERT_TRUE(step.run(**store).ok()) << step.name;
  }
  EXPECT_THAT(failpoints.steps(), UnorderedElementsAreArray(kStateSteps));
}

TEST_F(StateStoreTest, WritersAndACollectorAtOnce) {
  constexpr int kWriters = 3;
  constexpr uint64_t kVersions = 30;
  std::atomic<int> running = kWriters;
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, model = absl::StrCat("m", i % 2), update = absl::StrCat("u", i)] {
      for (uint64_t v = 1; v <= kVersions; ++v) {
        const bool good = PrepareVersion(*store_, update, model, v).ok() && store_->Drop(update).ok();
        if (!good) ++failures;
      }
      --running;
    });
  }
  while (running > 0) store_->Collect();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  store_->Collect();
  EXPECT_THAT(files_.Paths("blobs/"), IsEmpty());
}

}  // namespace
}  // namespace bwrt::runtime
