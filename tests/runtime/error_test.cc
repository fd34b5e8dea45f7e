#include "runtime/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// Everything that could confuse the length-prefixed payload: emptiness, its own separators, NUL, non-UTF-8.
std::vector<std::string> AwkwardStrings() {
  return {"",
          ":",
          "0:",
          "3:abc",
          "12:34:5",
          "\n\r\t \\\"",
          "héllo ✓",
          std::string("\0:\0", 3),
          "\xff\xfe\x80",
          std::string(100'000, ':')};
}

TEST(ErrorTest, EmptyDetailsComeBackEmpty) {
  const absl::Status status = MakeError(absl::StatusCode::kNotFound, "gone", ErrorDetails{});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "gone");
  ASSERT_TRUE(GetDetails(status).has_value());
  EXPECT_EQ(*GetDetails(status), ErrorDetails{});
}

TEST(ErrorTest, EveryPartComesBack) {
  ErrorDetails details;
  details.reason = "QUEUE_FULL";
  details.metadata = {{"waves", "12"}, {"bytes", "34"}};
  details.fields = {{"spec.tile_order[3].m", "TILE_OUTSIDE_GRID", "out"}, {"k", "K", "bad"}};
  details.preconditions = {{"SWAP_WINDOW", "default/wave 1", "closed"}};
  details.retry_after = std::chrono::milliseconds(100);
  EXPECT_EQ(GetDetails(MakeError(absl::StatusCode::kAborted, "m", details)), details);
}

TEST(ErrorTest, AwkwardStringsComeBackWhereverTheyStand) {
  for (const std::string& s : AwkwardStrings()) {
    ErrorDetails details;
    details.reason = s;
    details.metadata = {{s, s}, {"", s}, {s, ""}};
    details.fields = {{s, s, s}, {"", "", ""}, {s, "", s}};
    details.preconditions = {{s, s, s}, {"", s, ""}};
    EXPECT_EQ(GetDetails(MakeError(absl::StatusCode::kInternal, s, details)), details) << s.substr(0, 20);
  }
}

TEST(ErrorTest, RetryAfterZeroIsNotAbsent) {
  ErrorDetails details;
  details.retry_after = Duration(0);
  const auto decoded = GetDetails(MakeError(absl::StatusCode::kUnavailable, "", details));
  ASSERT_TRUE(decoded && decoded->retry_after);
  EXPECT_EQ(*decoded->retry_after, Duration(0));
}

TEST(ErrorTest, TheLongestRetryAfterComesBack) {
  ErrorDetails details;
  details.retry_after = Duration::max();
  EXPECT_EQ(GetDetails(MakeError(absl::StatusCode::kUnavailable, "", details)), details);
}

TEST(ErrorTest, ShorthandSetsReasonAndMessage) {
  const absl::Status status = MakeError(absl::StatusCode::kUnavailable, "DRAINING", "go to another");
  EXPECT_EQ(status.message(), "go to another");
  EXPECT_EQ(GetReason(status), "DRAINING");
  ErrorDetails only_reason;
  only_reason.reason = "DRAINING";
  EXPECT_EQ(GetDetails(status), only_reason);
}

TEST(ErrorTest, StatusesMadeElsewhereHaveNoDetails) {
  EXPECT_FALSE(GetDetails(absl::OkStatus()).has_value());
  EXPECT_FALSE(GetDetails(absl::InternalError("x")).has_value());
  EXPECT_EQ(GetReason(absl::InternalError("x")), "");
}

TEST(ErrorTest, DetailsSurviveCopies) {
  absl::Status original = MakeError(absl::StatusCode::kInternal, "REASON", "text");
  const absl::Status copy = original;
  original = absl::OkStatus();
  EXPECT_EQ(GetReason(copy), "REASON");
}

TEST(InvalidRequestTest, NoViolationIsOk) { EXPECT_TRUE(InvalidRequest("wave", {}).ok()); }

TEST(InvalidRequestTest, NamesTheFirstAndCountsTheOthers) {
  const absl::Status one = InvalidRequest("wave", {{"m", "DIM_OUT_OF_RANGE", "m=0: must be more"}});
  EXPECT_EQ(one.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(one.message(), "invalid wave: m=0: must be more");
  EXPECT_EQ(GetReason(one), "DIM_OUT_OF_RANGE");

  const absl::Status three =
      InvalidRequest("weights", {{"a", "A", "a=1: x"}, {"b", "B", "b=2: y"}, {"c", "C", "c=3: z"}});
  EXPECT_EQ(three.message(), "invalid weights: a=1: x (and 2 more)");
  EXPECT_THAT(ViolationsOf(three), ElementsAre(Pair("a", "A"), Pair("b", "B"), Pair("c", "C")));
  EXPECT_EQ(DescriptionOf(three, "c"), "c=3: z");
}

}  // namespace
}  // namespace bwrt::runtime
