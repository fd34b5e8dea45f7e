#include "runtime/violations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ViolationsTest, NoneIsOk) {
  Violations v;
  EXPECT_TRUE(v.empty());
  EXPECT_TRUE(v.Take("wave").ok());
}

TEST(ViolationsTest, DescriptionNamesFieldValueAndWhy) {
  Violations v;
  v.Add("spec.bk", "K_GRANULARITY", 24, "must be a multiple of ", 16, "; try ", 32);
  EXPECT_FALSE(v.empty());
  const absl::Status status = v.Take("wave");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DescriptionOf(status, "spec.bk"), "spec.bk=24: must be a multiple of 16; try 32");
}

TEST(ViolationsTest, KeepsTheOrder) {
  Violations v;
  v.Add("b", "SECOND", 1, "x");
  v.Add("a", "FIRST", 2, "y");
  v.Add("b", "THIRD", 3, "z");
  EXPECT_THAT(ViolationsOf(v.Take("wave")), ElementsAre(Pair("b", "SECOND"), Pair("a", "FIRST"), Pair("b", "THIRD")));
}

TEST(ViolationsTest, NotANumberHasAName) {
  Violations v;
  v.Add("alpha", "NOT_FINITE", std::numeric_limits<float>::quiet_NaN(), "must be finite");
  EXPECT_EQ(DescriptionOf(v.Take("wave"), "alpha"), "alpha=nan: must be finite");
}

TEST(ViolationsTest, SixtyFourAreAllListed) {
  Violations v;
  for (size_t i = 0; i < Violations::kKept; ++i) v.Add(absl::StrCat("f", i), "BAD", i, "x");
  const auto list = ViolationsOf(v.Take("wave"));
  ASSERT_EQ(list.size(), Violations::kKept);
  EXPECT_EQ(list.back().first, "f63");
}

TEST(ViolationsTest, MoreThanSixtyFourAreCounted) {
  Violations v;
  for (int i = 0; i < 100'064; ++i) v.Add(absl::StrCat("f", i), "BAD", i, "x");
  const absl::Status status = v.Take("wave");
  const auto list = ViolationsOf(status);
  ASSERT_EQ(list.size(), Violations::kKept + 1);
  EXPECT_EQ(list[63].first, "f63");
  EXPECT_EQ(list[64], std::make_pair(std::string(), std::string("TOO_MANY_VIOLATIONS")));
  EXPECT_THAT(DescriptionOf(status, ""), ::testing::StartsWith("100000 further violations"));
}

TEST(QuotedTest, ShowsWhatIsPrintable) { EXPECT_EQ(Quoted("model/a-1"), "\"model/a-1\""); }

TEST(QuotedTest, EscapesWhatIsNot) {
  EXPECT_EQ(Quoted("a\nb\"c\\"), R"("a\nb\"c\\")");
  EXPECT_EQ(Quoted(absl::string_view("\0\x1b", 2)), R"("\x00\x1b")");
}

TEST(QuotedTest, CutsAfterEightyBytes) {
  EXPECT_EQ(Quoted(std::string(80, 'x')), "\"" + std::string(80, 'x') + "\"");
  EXPECT_EQ(Quoted(std::string(81, 'x')), "\"" + std::string(80, 'x') + "\"...");
}

}  // namespace
}  // namespace bwrt::runtime
