// The power goes after every operation of a script in turn, and what is found then must be what was acknowledged, or
// that and the one step that was in progress.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/runtime/state/state_script.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

struct Run {
  bool finished = false;
  std::string wrong;
};

// Runs the script with `operations` operations of power. How the machine comes up again is chosen by `seed`; when
// `killed` is set, the process alone was killed before, and another one found the directory so.
Run CrashAfter(const StateScript& script, int64_t operations, uint64_t seed, bool killed, absl::string_view ignored) {
  CrashFiles files;
  if (!ignored.empty()) files.IgnoreSyncOf(std::string(ignored));
  files.CutPowerAfter(operations);
  ExpectedState expected;
  std::vector<StateView> allowed = {expected.View()};
  std::string where = "open";
  bool finished = false;
  {
    auto store = StateStore::Open({}, &files);
    if (store.ok()) {
      for (const StateScript::Step& step : script.steps()) {
        where = step.name;
        const absl::Status status = step.run(**store);
        ExpectedState next = expected;
        step.expect(next);
        if (files.power_is_gone()) {
          // Acknowledged, or in progress.
          allowed = {next.View()};
          if (!status.ok()) allowed.push_back(expected.View());
          break;
        }
        if (!status.ok()) return {false, absl::StrCat(where, ": ", status.ToString())};
        expected = next;
        allowed = {expected.View()};
      }
    } else if (!files.power_is_gone()) {
      return {false, store.status().ToString()};
    }
    finished = !files.power_is_gone();
  }
  std::string wrong;
  if (killed) {
    files.KillProcess();
    wrong = CheckReopened(&files, allowed);
  }
  files.PowerOn(seed);
  if (wrong.empty()) wrong = CheckReopened(&files, allowed);
  // And once more: a recovery loses nothing either.
  if (wrong.empty()) {
    files.PowerOn(0);
    wrong = CheckReopened(&files, allowed);
  }
  if (!wrong.empty())
    wrong = absl::StrCat("power gone in ", where, " after ", operations, ", seed ", seed, ": ", wrong);
  return {finished, wrong};
}

std::string CrashEverywhere(const StateScript& script, uint64_t seeds, bool killed, absl::string_view ignored) {
  for (int64_t k = 1;; ++k) {
    bool finished = false;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      const Run run = CrashAfter(script, k, seed, killed, ignored);
      if (!run.wrong.empty()) return run.wrong;
      finished = run.finished;
    }
    if (finished) return "";
  }
}

TEST(StateCrashTest, EveryAcknowledgedStepSurvives) {
  EXPECT_EQ(CrashEverywhere(StateScript::Whole(), 6, false, ""), "");
}

TEST(StateCrashTest, EveryAcknowledgedStepSurvivesAKilledProcessAndThenAPowerCut) {
  EXPECT_EQ(CrashEverywhere(StateScript::Whole(), 4, true, ""), "");
}

TEST(StateCrashTest, EveryAcknowledgedStepSurvivesWhileTheJournalIsReplaced) {
  EXPECT_EQ(CrashEverywhere(StateScript::Rotating(), 1, false, ""), "");
}

// The checker finds a store that does not fsync.
TEST(StateCrashTest, AMissingFsyncIsFound) {
  for (const char* path : {"journal-", "checkpoint", "blobs/", "manifests/"}) {
    EXPECT_NE(CrashEverywhere(StateScript::Whole(), 8, false, path), "") << path;
  }
}

// The power goes again at every operation of the recovery itself.
TEST(StateCrashTest, ARecoveryMayCrash) {
  const StateScript script = StateScript::Whole();
  for (int64_t k = 1;; ++k) {
    CrashFiles files;
    ExpectedState expected;
    {
      auto store = StateStore::Open({}, &files);
      ASSERT_TRUE(store.ok()) << store.status();
      for (const StateScript::Step& step : script.steps()) {
        ASSERT_TRUE(step.run(**store).ok()) << step.name;
        step.expect(expected);
        if (step.name == "revoke 6") break;
      }
    }
    files.PowerOn(0);
    files.CutPowerAfter(k);
    const bool opened = StateStore::Open({}, &files).ok();
    const bool finished = opened && !files.power_is_gone();
    files.PowerOn(static_cast<uint64_t>(k));
    ASSERT_EQ(CheckReopened(&files, {expected.View()}), "") << k;
    if (finished) break;
  }
}

// What a killed process renamed and did not come to fsync is there for the next one, which must not rely on it.
TEST(StateCrashTest, WhatAKilledProcessLeftIsMadeDurableBeforeItIsUsed) {
  for (int64_t k = 1;; ++k) {
    CrashFiles files;
    bool finished = false;
    {
      auto store = StateStore::Open({}, &files);
      ASSERT_TRUE(store.ok()) << store.status();
      files.CutPowerAfter(k);
      finished = WriteVersion(**store, "a", 1).ok();
    }
    files.KillProcess();
    {
      auto store = StateStore::Open({}, &files);
      ASSERT_TRUE(store.ok()) << store.status();
      ASSERT_TRUE(PrepareVersion(**store, "u", "a", 1).ok());
    }
    files.PowerOn(0);
    StateView view;
    view.updates["u"] = "a";
    ASSERT_EQ(CheckReopened(&files, {view}), "") << k;
    if (finished) break;
  }
}

}  // namespace
}  // namespace bwrt::runtime
