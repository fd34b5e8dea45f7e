#include "runtime/json_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;

// Writes down what it is told, and stops at the key "stop".
class Recorder final : public JsonEvents {
 public:
  absl::Status Key(int depth, std::string name) override {
    absl::StrAppend(&told, " key@", depth, "=", name);
    return name == "stop" ? absl::AbortedError("stopped") : absl::OkStatus();
  }
  absl::Status Scalar(int depth, JsonScalar value) override {
    const char* kind = value.kind == JsonScalar::Kind::kInteger  ? "integer"
                       : value.kind == JsonScalar::Kind::kString ? "string"
                                                                 : "other";
    absl::StrAppend(&told, " ", kind, "@", depth, "=", value.text);
    if (value.kind == JsonScalar::Kind::kInteger) {
      EXPECT_EQ(value.text, absl::StrCat(value.integer));
    }
    return absl::OkStatus();
  }
  absl::Status Open(int depth, Container container) override {
    absl::StrAppend(&told, container == Container::kObject ? " object@" : " list@", depth);
    return absl::OkStatus();
  }
  absl::Status Close(int depth) override {
    absl::StrAppend(&told, " close@", depth);
    return absl::OkStatus();
  }
  std::string told;
};

std::string Told(absl::string_view text) {
  Recorder recorder;
  const absl::Status status = ParseJson(text, recorder);
  EXPECT_TRUE(status.ok()) << status;
  return recorder.told;
}

absl::Status Refused(absl::string_view text) {
  Recorder recorder;
  return ParseJson(text, recorder);
}

TEST(JsonEventsTest, TellsWhatIsThereWithItsDepth) {
  EXPECT_EQ(Told(R"({"a": [1, "x", {"b": null}], "c": {}})"),
            " object@0 key@1=a list@1 integer@2=1 string@2=x object@2 key@3=b other@3=null close@2 close@1 key@1=c "
            "object@1 close@1 close@0");
  EXPECT_EQ(Told("7"), " integer@0=7");
}

TEST(JsonEventsTest, RepeatedKeysComeAgain) {
  EXPECT_EQ(Told(R"({"a":1,"a":2})"), " object@0 key@1=a integer@1=1 key@1=a integer@1=2 close@0");
}

TEST(JsonEventsTest, IntegersAreExactOrNone) {
  EXPECT_EQ(Told("9223372036854775807"), " integer@0=9223372036854775807");
  EXPECT_EQ(Told("-9223372036854775808"), " integer@0=-9223372036854775808");
  EXPECT_EQ(Told("9223372036854775808"), " other@0=9223372036854775808");
  EXPECT_EQ(Told("-9223372036854775809"), " other@0=-9223372036854775809");
  EXPECT_EQ(Told("18446744073709551616"), " other@0=18446744073709551616");
  EXPECT_EQ(Told("1.0"), " other@0=1.0");
  EXPECT_EQ(Told("1e3"), " other@0=1e3");
  EXPECT_EQ(Told("true"), " other@0=true");
}

TEST(JsonEventsTest, AReceiverStopsTheParsing) {
  Recorder recorder;
  EXPECT_EQ(ParseJson(R"({"stop": 1, "more": not even JSON)", recorder), absl::AbortedError("stopped"));
  EXPECT_EQ(recorder.told, " object@0 key@1=stop");
}

TEST(JsonEventsTest, NestingIsBounded) {
  EXPECT_TRUE(Refused(std::string(16, '[') + std::string(16, ']')).ok());
  EXPECT_THAT(std::string(Refused(std::string(17, '[') + std::string(17, ']')).message()),
              HasSubstr("nested deeper than 16 levels"));
  EXPECT_THAT(std::string(Refused(std::string(1 << 20, '[')).message()), HasSubstr("nested deeper"));
}

TEST(JsonEventsTest, WhatIsNotJsonIsRefusedBriefly) {
  for (const std::string& text :
       {std::string(), std::string(" "), std::string("{"), std::string("{} x"), std::string("{'a': 1}"),
        std::string("[1,]"), std::string("NaN"), std::string("1e999"), std::string("01"), std::string("\"\xff\""),
        std::string("\"\\ud800\""), std::string("\"a\nb\""), std::string("{\"a\" 1}"), std::string("{}\0", 3),
        std::string("{}\0{", 4), std::string("\"a\0b\"", 5), "[\"" + std::string(100'000, 'x')}) {
    const absl::Status status = Refused(text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text.substr(0, 40);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not JSON at byte ")) << text.substr(0, 40);
    EXPECT_LT(status.message().size(), 512u);
  }
}

}  // namespace
}  // namespace bwrt::runtime
