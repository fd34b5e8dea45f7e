// Every operation of a script fails in turn, with a full disk and with an I/O error. Errors are named, the store goes
// on or says that it has failed, and what a restart finds is what was acknowledged.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/error.h"
#include "tests/runtime/state/state_script.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

bool IsNamed(const absl::Status& status) {
  const std::string reason = GetReason(status);
  return (absl::IsResourceExhausted(status) && reason == "STATE_DIR_FULL") ||
         (absl::IsUnavailable(status) && reason == "STATE_DIR_FAILED");
}

struct FaultRun {
  bool hit = false;      // The fault came at all.
  bool went_on = false;  // After an error the store was healthy.
  std::string wrong;
};

// Without the steps that depend on one that failed, which fail, too: NOT_FOUND for a decision that is not open.
FaultRun FailAt(const StateScript& script, int64_t n, CrashFiles::Fault fault, uint64_t seed) {
  CrashFiles files;
  files.FailAt(n, fault);
  FaultRun run;
  ExpectedState expected;
  std::vector<StateView> allowed = {expected.View()};
  {
    auto store = StateStore::Open({}, &files);
    if (!store.ok()) {
      run.hit = true;
      if (!IsNamed(store.status())) run.wrong = store.status().ToString();
    } else {
      for (const StateScript::Step& step : script.steps()) {
        const bool healthy = (*store)->health().ok();
        const absl::Status status = step.run(**store);
        ExpectedState next = expected;
        step.expect(next);
        const bool still = (*store)->health().ok();
        if (!status.ok() && !IsNamed(status) && !(run.hit && absl::IsNotFound(status))) {
          return {true, false, absl::StrCat(step.name, ": ", status.ToString())};
        }
        if (!healthy) {
          // Confirm and Collect have no result, and change nothing then.
          const bool silent = step.name.starts_with("confirm") || step.name == "collect";
          if (status.ok() && !silent && !(step.name.starts_with("drop"))) {
            return {true, false, absl::StrCat(step.name, " succeeded on a store that has failed")};
          }
          continue;
        }
        if (status.ok()) {
          expected = next;
          allowed = {expected.View()};
        } else {
          run.hit = true;
          run.went_on = run.went_on || still;
          if (!still) allowed.push_back(next.View());  // Nobody knows.
        }
        if (!still) run.hit = true;
      }
    }
  }
  run.hit = run.hit || files.operations() >= n;
  if (run.wrong.empty() && seed == 1) {
    files.KillProcess();
    run.wrong = CheckReopened(&files, allowed);
  }
  files.PowerOn(seed);
  if (run.wrong.empty()) run.wrong = CheckReopened(&files, allowed);
  if (!run.wrong.empty()) run.wrong = absl::StrCat("operation ", n, ", seed ", seed, ": ", run.wrong);
  return run;
}

class StateFaultTest : public testing::TestWithParam<CrashFiles::Fault> {};
INSTANTIATE_TEST_SUITE_P(Faults, StateFaultTest, testing::Values(CrashFiles::Fault::kNoSpace, CrashFiles::Fault::kIo));

TEST_P(StateFaultTest, EveryOperationMayFail) {
  const std::pair<StateScript, std::vector<uint64_t>> scripts[] = {{StateScript::Whole(), {0, 1, 2, 3}},
                                                                   {StateScript::Rotating(), {1}}};
  for (const auto& [script, seeds] : scripts) {
    bool went_on = false;
    for (int64_t n = 1;; ++n) {
      bool hit = false;
      for (const uint64_t seed : seeds) {
        const FaultRun run = FailAt(script, n, GetParam(), seed);
        ASSERT_EQ(run.wrong, "");
        hit = run.hit;
        went_on = went_on || run.went_on;
      }
      if (!hit) break;
    }
    EXPECT_TRUE(went_on);
  }
}

// A rename that fails may have happened: the old journal must not be used any more then, even when the next rotation
// fails as well.
TEST(StateRotationTest, TwoFaultsInARow) {
  const std::string long_id(static_cast<size_t>(Journal::kRotateBytes), 'u');
  int64_t before = 0;
  int64_t after = 0;
  bool acknowledged = false;
  // Without the first fault; then with one at each operation of the rotation, which ends the call.
  for (int64_t n = 0; n <= after - before; n = n == 0 ? std::max(int64_t{1}, after - before - 14) : n + 1) {
    for (int64_t m = 1; m <= 6; ++m) {
      CrashFiles files;
      auto store = StateStore::Open({}, &files);
      ASSERT_TRUE(store.ok()) << store.status();
      const Digest manifest = *WriteVersion(**store, "a", 1);
      before = files.operations();
      if (n > 0) files.FailAt(n, CrashFiles::Fault::kIo);
      const absl::Status prepared = (*store)->Prepare({long_id, "a", Version(), manifest, false, std::nullopt});
      after = std::max(after, files.operations());
      StateView view;
      if (prepared.ok()) view.updates[long_id] = "a";
      files.FailAt(m, CrashFiles::Fault::kNoSpace);
      const bool healthy = (*store)->health().ok();
      if ((*store)->Prepare({"v", "a", Version(), manifest, false, std::nullopt}).ok()) {
        acknowledged = true;
        view.updates["v"] = "a";
      }
      std::vector<StateView> allowed = {view};
      if (!healthy && !prepared.ok()) {
        view.updates[long_id] = "a";
        allowed.push_back(view);
      }
      files.PowerOn(1);
      ASSERT_EQ(CheckReopened(&files, allowed), "") << n << " " << m;
    }
  }
  EXPECT_TRUE(acknowledged);
}

// Nobody knows whether the decision is in the journal, so nothing that it needs may go.
TEST(StateFailureTest, AFailedStoreCollectsNothing) {
  bool found = false;
  for (int64_t n = 1; n <= 4; ++n) {
    CrashFiles files;
    auto store = StateStore::Open({}, &files);
    ASSERT_TRUE(store.ok()) << store.status();
    const Digest manifest = *WriteVersion(**store, "a", 1);
    files.FailAt(n, CrashFiles::Fault::kIo, 4);
    const bool decided = (*store)->Decide({1, {{"a", Version(1), manifest, ""}}}).ok();
    (*store)->Collect();
    (*store)->Confirm({1, {}});
    EXPECT_EQ(decided, (*store)->health().ok()) << n;
    files.KillProcess();
    StateView view;
    std::vector<StateView> allowed;
    if (!decided) allowed.push_back(view);
    view.models["a"] = {1};
    allowed.push_back(view);
    EXPECT_EQ(CheckReopened(&files, allowed), "") << n;
    found = found || (!decided && CheckReopened(&files, {view}).empty());
  }
  EXPECT_TRUE(found);
}

class FullDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    store_ = *StateStore::Open({}, &files_);
    ASSERT_TRUE(CommitVersion(*store_, "a", 1).ok());
    ASSERT_TRUE(PrepareVersion(*store_, "u", "a", 2).ok());
    manifest_ = *WriteVersion(*store_, "a", 2);
  }
  CrashFiles files_;
  std::unique_ptr<StateStore> store_;
  Digest manifest_;
};

TEST_F(FullDiskTest, RecordsAreRefusedUntilThereIsSpace) {
  files_.SetFull(true);
  const SwapDecision decision{store_->NextDecisionId(), {{"a", Version(2), manifest_, "u"}}};
  EXPECT_EQ(GetReason(store_->Decide(decision)), "STATE_DIR_FULL");
  EXPECT_EQ(GetReason(PrepareVersion(*store_, "v", "a", 3)), "STATE_DIR_FULL");
  EXPECT_TRUE(store_->health().ok());
  files_.SetFull(false);
  EXPECT_TRUE(store_->Decide(decision).ok());
  store_.reset();
  files_.PowerOn(0);
  StateView view;
  view.models["a"] = {2, 1};
  view.outcomes = {{"u", 2, 1}};
  EXPECT_EQ(CheckReopened(&files_, {view}), "");
}

TEST_F(FullDiskTest, ADecisionThatCannotBeRevokedStopsTheJournal) {
  const SwapDecision decision{store_->NextDecisionId(), {{"a", Version(2), manifest_, "u"}}};
  ASSERT_TRUE(store_->Decide(decision).ok());
  files_.SetFull(true);
  EXPECT_EQ(GetReason(store_->Revoke(decision)), "STATE_DIR_FAILED");
  EXPECT_FALSE(store_->health().ok());
  files_.SetFull(false);
  EXPECT_EQ(GetReason(CommitVersion(*store_, "b", 1)), "STATE_DIR_FAILED");
  EXPECT_EQ(GetReason(store_->Drop("u")), "STATE_DIR_FAILED");
}

TEST_F(FullDiskTest, ARestartServesAndTakesRecordsOnceThereIsSpace) {
  store_.reset();
  files_.SetFull(true);
  store_ = *StateStore::Open({}, &files_);
  const RecoveredState state = store_->TakeRecovered();
  ASSERT_EQ(state.models.size(), 1u);
  EXPECT_EQ(state.notes.size(), 1u);
  EXPECT_EQ(CheckVersion(*store_, state.models[0].versions[0].manifest, "a", 1), "");
  EXPECT_EQ(GetReason(store_->Drop("u")), "STATE_DIR_FULL");
  store_->Collect();
  EXPECT_TRUE(store_->health().ok());
  files_.SetFull(false);
  EXPECT_TRUE(store_->Drop("u").ok());
  store_.reset();
  files_.PowerOn(0);
  StateView view;
  view.models["a"] = {1};
  EXPECT_EQ(CheckReopened(&files_, {view}), "");
}

}  // namespace
}  // namespace bwrt::runtime
