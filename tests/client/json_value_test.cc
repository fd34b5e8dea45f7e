#include "client/json_value.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace bwrt::client {
namespace {

using Kind = JsonValue::Kind;

TEST(ParseJson, ReadsEveryKind) {
  const auto json = ParseJson(R"({"a": [null, true, -7, 1.5, "x\n"], "b": {"c": {}}})");
  ASSERT_TRUE(json.ok()) << json.status();
  const JsonValue* a = json->Find("a");
  ASSERT_NE(a, nullptr);
  ASSERT_EQ(a->items.size(), 5u);
  EXPECT_EQ(a->items[0].kind, Kind::kNull);
  EXPECT_TRUE(a->items[1].boolean);
  EXPECT_EQ(a->items[2].integer, -7);
  EXPECT_EQ(a->items[3].kind, Kind::kNumber);
  EXPECT_EQ(a->items[3].text, "1.5");
  EXPECT_EQ(a->items[4].text, "x\n");
  EXPECT_EQ(json->Find("b")->Find("c")->kind, Kind::kObject);
  EXPECT_EQ(json->Find("missing"), nullptr);
}

TEST(ParseJson, KeepsWhatDoesNotFit) {
  const auto json = ParseJson("[9223372036854775807, 9223372036854775808, 18446744073709551616, -9223372036854775809]");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->items[0].integer, 9223372036854775807);
  EXPECT_EQ(json->items[1].text, "9223372036854775808");
  EXPECT_EQ(json->items[2].text, "18446744073709551616");
  EXPECT_EQ(json->items[3].text, "-9223372036854775809");
}

TEST(ParseJson, TheLastOfRepeatedMembersCounts) { EXPECT_EQ(ParseJson(R"({"a": 1, "a": 2})")->Find("a")->integer, 2); }

TEST(ParseJson, SaysWhereItFails) {
  const auto json = ParseJson(R"({"a": [1, {"b": 1e400}]})");
  ASSERT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(json.status().message(), "a[1].b")) << json.status();
  EXPECT_TRUE(absl::StrContains(json.status().message(), "1e400")) << json.status();
}

TEST(ParseJson, RefusesWhatIsNoJson) {
  for (const char* text : {"", " ", "{", "[1,", "{\"a\"}", "[1] 2", "NaN", "'a'", "\xff", "[\"\xff\"]", "nul",
                           "\"\\ud800\"", "{a: 1}", "[1,]"}) {
    EXPECT_EQ(ParseJson(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ParseJson, AZeroByteIsNotTheEnd) {
  EXPECT_FALSE(ParseJson(absl::string_view("{}\0garbage", 10)).ok());
  EXPECT_FALSE(ParseJson(absl::string_view("{}\0", 3)).ok());
}

TEST(ParseJson, BoundsNesting) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(kMaxJsonDepth)).ok());
  EXPECT_FALSE(ParseJson(nested(kMaxJsonDepth + 1)).ok());
  const auto bomb = ParseJson(std::string(8'000'000, '['));
  ASSERT_EQ(bomb.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(bomb.status().message(), "nested deeper"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(ParseJson(objects).ok());
}

}  // namespace
}  // namespace bwrt::client
