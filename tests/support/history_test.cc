#include "tests/support/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bwrt {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Outcome = HistoryCommit::Outcome;

// A history written down by hand: times are small numbers.
class HistoryTest : public testing::Test {
 protected:
  void Commit(int64_t invoked, int64_t returned, uint64_t value, uint64_t version, const std::string& model = "m") {
    history_.commits.push_back({{invoked, returned}, Outcome::kOk, {{model, value, 0, version}}});
  }
  void Failed(int64_t invoked, int64_t returned, uint64_t value) {
    history_.commits.push_back({{invoked, returned}, Outcome::kFailed, {{"m", value, 0, 0}}});
  }
  void Unknown(int64_t invoked, int64_t returned, uint64_t value, uint64_t base = 0) {
    history_.commits.push_back({{invoked, returned}, Outcome::kUnknown, {{"m", value, base, 0}}});
  }
  void Group(int64_t invoked, int64_t returned, Outcome outcome, std::vector<HistoryCommit::Part> parts) {
    history_.commits.push_back({{invoked, returned}, outcome, std::move(parts)});
  }
  void Wave(int64_t invoked, int64_t returned, uint64_t version, std::vector<uint64_t> values,
            const std::string& model = "m") {
    history_.waves.push_back({{invoked, returned}, model, version, std::move(values)});
  }
  void Delete(int64_t invoked, int64_t returned, Outcome outcome = Outcome::kOk) {
    history_.deletions.push_back({{invoked, returned}, outcome, "m"});
  }
  void Absent(int64_t invoked, int64_t returned) { history_.absences.push_back({{invoked, returned}, "m"}); }
  void Restart(int64_t invoked, int64_t returned) { history_.restarts.push_back({{invoked, returned}}); }

  std::vector<std::string> Found() const { return FindContradictions(history_); }

  History history_;
};

TEST_F(HistoryTest, NothingIsAccepted) { EXPECT_THAT(Found(), IsEmpty()); }

TEST_F(HistoryTest, AQuietHistory) {
  Commit(0, 10, 7, 1);
  Wave(11, 20, 1, {7, 7, 7});
  Commit(21, 30, 8, 2);
  Wave(31, 40, 2, {8, 8, 8});
  Commit(41, 50, 7, 3);  // A rollback.
  Wave(51, 60, 3, {7});
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AWaveBesideACommitSeesEither) {
  Commit(0, 10, 7, 1);
  Commit(20, 30, 8, 2);
  Wave(15, 40, 1, {7});
  Wave(15, 25, 2, {8});
  Wave(29, 35, 1, {7});  // Began before the others had returned.
  Wave(24, 35, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(HasSubstr("wave[2]")));
  history_.waves.erase(history_.waves.begin() + 2);
  EXPECT_THAT(Found(), IsEmpty());
}

// ---- 1. one version a wave

TEST_F(HistoryTest, ATornWave) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Wave(15, 30, 1, {7, 7, 8, 7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("torn"), HasSubstr("value 7"),
                                         HasSubstr("tile 2 has 8"))));
}

TEST_F(HistoryTest, AWaveThatReportsAnotherVersion) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Wave(21, 30, 2, {7, 7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("contradicts commit[1]"))));
}

TEST_F(HistoryTest, AWaveThatProvesNothing) {
  Commit(0, 10, 7, 1);
  Wave(11, 20, 1, {});
  EXPECT_THAT(Found(), ElementsAre(HasSubstr("proves nothing")));
}

TEST_F(HistoryTest, AVersionThatNobodyCommitted) {
  Commit(0, 10, 7, 1);
  Wave(11, 20, 2, {9});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("no commit made"))));
}

TEST_F(HistoryTest, AVersionOfAnotherModel) {
  Commit(0, 10, 7, 1, "other");
  Wave(11, 20, 1, {7}, "m");
  EXPECT_THAT(Found(), ElementsAre(HasSubstr("no commit made")));
}

TEST_F(HistoryTest, OneVersionWithTwoValues) {
  Unknown(0, 10, 7);
  Unknown(0, 10, 8);
  Wave(11, 20, 1, {7});
  Wave(11, 20, 1, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("wave[0]"), HasSubstr("two values"))));
}

TEST_F(HistoryTest, TwoCommitsWithOneVersion) {
  Commit(0, 10, 7, 1);
  Commit(5, 12, 8, 1);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[1]"), HasSubstr("same version as commit[0]"))));
}

// ---- 2. committed before it is seen, and not failed

TEST_F(HistoryTest, AVersionSeenBeforeItsCommit) {
  Wave(0, 10, 1, {7});
  Commit(11, 20, 7, 1);
  EXPECT_THAT(Found(), Contains(AllOf(HasSubstr("wave[0]"), HasSubstr("commit[0]"), HasSubstr("before it was asked"))));
}

TEST_F(HistoryTest, AnUnknownCommitSeenBeforeItWasAskedFor) {
  Wave(0, 10, 1, {7});
  Unknown(11, 20, 7);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("no commit made"), HasSubstr("commit[0]"))));
}

TEST_F(HistoryTest, AFailedCommitThatIsSeen) {
  Commit(0, 10, 7, 1);
  Failed(11, 20, 8);
  Wave(21, 30, 1, {7});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(31, 40, 2, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("commit[1]"), HasSubstr("failed"))));
}

TEST_F(HistoryTest, ACommitOfNoLaterVersionThanItsBase) {
  history_.commits.push_back({{0, 10}, Outcome::kOk, {{"m", 7, 3, 3}}});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[0]"), HasSubstr("version 3"))));
}

// ---- 3. versions never go back

TEST_F(HistoryTest, AWaveBehindAnAcknowledgedCommit) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Wave(21, 30, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("went back"), HasSubstr("commit[1]"))));
}

TEST_F(HistoryTest, AWaveBehindAnotherWave) {
  Commit(0, 10, 7, 1);
  Commit(11, 100, 8, 2);
  Wave(12, 20, 2, {8});
  Wave(21, 30, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("went back"), HasSubstr("wave[0]"))));
}

TEST_F(HistoryTest, ACommitBehindAnotherCommit) {
  Commit(0, 10, 7, 2);
  Commit(11, 20, 8, 1);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[1]"), HasSubstr("no later than commit[0]"))));
}

TEST_F(HistoryTest, ACommitBehindAWave) {
  Unknown(0, 10, 7);
  Wave(11, 20, 5, {7});
  Commit(21, 30, 8, 4);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[1]"), HasSubstr("no later than wave[0]"))));
}

TEST_F(HistoryTest, ModelsHaveVersionsOfTheirOwn) {
  Commit(0, 10, 7, 5, "a");
  Commit(11, 20, 8, 1, "b");
  Wave(21, 30, 1, {8}, "b");
  Wave(21, 30, 5, {7}, "a");
  EXPECT_THAT(Found(), IsEmpty());
}

// ---- 4. groups

TEST_F(HistoryTest, AGroupSeenTogether) {
  Commit(0, 5, 1, 1, "a");
  Commit(0, 5, 2, 1, "b");
  Group(6, 100, Outcome::kOk, {{"a", 10, 1, 2}, {"b", 20, 1, 2}});
  Wave(10, 20, 1, {1}, "a");
  Wave(10, 20, 1, {2}, "b");
  Wave(21, 40, 2, {10}, "a");
  Wave(30, 40, 1, {2}, "b");  // While the flip was on.
  Wave(41, 50, 2, {20}, "b");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AGroupSeenApart) {
  Commit(0, 5, 1, 1, "a");
  Commit(0, 5, 2, 1, "b");
  Group(6, 7, Outcome::kOk, {{"a", 10, 1, 2}, {"b", 20, 1, 2}});
  Wave(21, 40, 2, {10}, "a");
  Wave(41, 50, 1, {2}, "b");
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("commit[2]"), HasSubstr("on b"))));
}

TEST_F(HistoryTest, AnUnknownGroupSeenApart) {
  Commit(0, 5, 1, 1, "a");
  Commit(0, 5, 2, 1, "b");
  Group(6, 7, Outcome::kUnknown, {{"a", 10, 1, 0}, {"b", 20, 1, 0}});
  Wave(21, 40, 2, {10}, "a");
  Wave(22, 40, 1, {2}, "b");
  EXPECT_THAT(Found(), IsEmpty());
  Wave(41, 50, 1, {2}, "b");
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[2]"), HasSubstr("commit[2]"), HasSubstr("unknown"))));
}

TEST_F(HistoryTest, AGroupSeenApartBeforeItIsAcknowledged) {
  Commit(0, 5, 2, 1, "b");
  Group(6, 100, Outcome::kOk, {{"a", 10, 0, 1}, {"b", 20, 1, 2}});
  Wave(10, 20, 1, {10}, "a");
  Wave(21, 30, 1, {2}, "b");
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("commit[1]"))));
}

// ---- 5. unknown outcomes

TEST_F(HistoryTest, AnUnknownCommitMayBeSeenOrNot) {
  Commit(0, 10, 7, 1);
  Unknown(11, 20, 8);
  Wave(21, 30, 1, {7});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(31, 40, 2, {8});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(41, 50, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[2]"), HasSubstr("went back"))));
}

TEST_F(HistoryTest, AnUnknownCommitTakesEffectOnce) {
  Unknown(0, 10, 7);
  Wave(11, 20, 1, {7});
  Wave(21, 30, 2, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("no commit made"))));
  Unknown(0, 10, 7);
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AnUnknownCommitIsLaterThanItsBase) {
  Unknown(0, 10, 8, 3);
  Wave(1, 20, 3, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("no commit made"))));
}

TEST_F(HistoryTest, AnUnknownCommitIsLaterThanWhatItFollowed) {
  Commit(0, 10, 7, 3);
  Unknown(11, 20, 8);
  Wave(5, 30, 2, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[1]"), HasSubstr("no later than commit[0]"))));
}

TEST_F(HistoryTest, AnUnknownCommitThatOutlivesARestart) {
  Commit(0, 10, 7, 1);
  Unknown(11, 20, 8);
  Restart(15, 30);
  Wave(31, 40, 1, {7});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(41, 50, 2, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("no commit made"), HasSubstr("commit[1]"))));
}

TEST_F(HistoryTest, OfTwoUnknownCommitsEachHasItsVersion) {
  Commit(0, 10, 7, 1);
  Unknown(11, 20, 7);  // Two rollbacks to it, each cut off.
  Restart(15, 30);
  Commit(31, 40, 8, 2);
  Unknown(41, 50, 7);
  Restart(45, 60);
  Wave(61, 70, 3, {7});
  EXPECT_THAT(Found(), IsEmpty()) << "the second one made it";
}

// ---- 6. restarts

TEST_F(HistoryTest, AcknowledgedCommitsSurvive) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Restart(21, 30);
  Wave(31, 40, 2, {8});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(31, 40, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("commit[1]"))));
}

TEST_F(HistoryTest, SeenVersionsSurvive) {
  Commit(0, 10, 7, 1);
  Unknown(11, 20, 8);
  Wave(12, 14, 2, {8});
  Restart(15, 30);
  Wave(31, 40, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("wave[0]"))));
}

TEST_F(HistoryTest, NumbersAreNotUsedAgain) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Restart(21, 30);
  Commit(31, 40, 9, 2);
  EXPECT_THAT(Found(), Contains(AllOf(HasSubstr("commit[2]"), HasSubstr("same version as commit[1]"))));
}

// ---- 7. deletions

TEST_F(HistoryTest, AModelLivesAnew) {
  Commit(0, 10, 7, 1);
  Commit(11, 20, 8, 2);
  Wave(21, 30, 2, {8});
  Delete(31, 40);
  Absent(41, 45);
  Commit(50, 60, 9, 1);
  Wave(61, 70, 1, {9});
  Commit(71, 80, 10, 2);
  Wave(81, 90, 2, {10});
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, WhatWasDeletedIsSeenAgain) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Wave(15, 30, 1, {7});  // Began before the deletion had returned.
  EXPECT_THAT(Found(), IsEmpty());
  Wave(21, 30, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("commit[0]"), HasSubstr("deletion[0]"))));
}

TEST_F(HistoryTest, WhatWasDeletedComesBackAtARestart) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Restart(21, 30);
  Absent(31, 40);
  EXPECT_THAT(Found(), IsEmpty());
  Wave(41, 50, 1, {7});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("after deletion[0]"))));
}

TEST_F(HistoryTest, ACommitBesideADeletionComesBeforeOrAfterIt) {
  Commit(0, 10, 7, 1);
  Commit(11, 40, 8, 2);
  Delete(12, 20);
  Wave(21, 30, 2, {8});
  Absent(22, 30);
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, WithinALifeVersionsNeverGoBack) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Commit(21, 30, 8, 1);
  Commit(31, 40, 9, 2);
  Wave(41, 50, 1, {8});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("went back"), HasSubstr("commit[2]"))));
}

TEST_F(HistoryTest, WithinALifeNumbersAreNotUsedAgain) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Commit(21, 30, 8, 1);
  Commit(31, 40, 9, 1);
  EXPECT_THAT(Found(), Contains(AllOf(HasSubstr("commit[2]"), HasSubstr("same version as commit[1]"))));
}

TEST_F(HistoryTest, ADeletionThatFailedExcusesNothing) {
  Commit(0, 10, 7, 2);
  Delete(11, 20, Outcome::kFailed);
  Commit(21, 30, 8, 1);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("commit[1]"), HasSubstr("no later than commit[0]"))));
}

TEST_F(HistoryTest, AnUnknownDeletionMayHaveBeenOrNot) {
  Commit(0, 10, 7, 1);
  Delete(11, 20, Outcome::kUnknown);
  Restart(15, 30);
  Wave(31, 40, 1, {7});
  EXPECT_THAT(Found(), IsEmpty());
  history_.waves.clear();
  Absent(31, 40);
  EXPECT_THAT(Found(), IsEmpty());
  Commit(41, 50, 8, 1);
  Wave(51, 60, 1, {8});
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AnUnknownDeletionThatOutlivesARestart) {
  Commit(0, 10, 7, 1);
  Delete(11, 20, Outcome::kUnknown);
  Restart(15, 30);
  Wave(31, 40, 1, {7});
  Absent(41, 50);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("absence[0]"), HasSubstr("found nothing of wave[0]"))));
}

TEST_F(HistoryTest, AnUnknownCommitOfALaterLife) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Unknown(21, 30, 8);
  Wave(31, 40, 1, {8});
  EXPECT_THAT(Found(), IsEmpty());
  Wave(41, 50, 1, {9});
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("wave[1]"), HasSubstr("no commit made"))));
}

// ---- 8. absences

TEST_F(HistoryTest, AnUnknownCommitOfALaterLifeIsSeenAfterTheRestart) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Unknown(21, 30, 8);
  Restart(30, 40);
  Wave(41, 50, 1, {8});
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AModelThatIsNotThereYet) {
  Absent(0, 10);
  Commit(5, 20, 7, 1);
  Absent(15, 30);
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(HistoryTest, AModelThatIsLost) {
  Commit(0, 10, 7, 1);
  Restart(11, 20);
  Absent(21, 30);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("absence[0]"), HasSubstr("found nothing of commit[0]"))));
}

TEST_F(HistoryTest, AModelThatIsLostInItsSecondLife) {
  Commit(0, 10, 7, 1);
  Delete(11, 20);
  Commit(21, 30, 8, 1);
  Absent(31, 40);
  EXPECT_THAT(Found(), ElementsAre(AllOf(HasSubstr("absence[0]"), HasSubstr("found nothing of commit[1]"))));
}

}  // namespace
}  // namespace bwrt
