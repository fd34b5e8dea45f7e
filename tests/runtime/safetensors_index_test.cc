#include "runtime/safetensors_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

void ExpectRefused(const std::string& text, const std::string& why, const Limits& limits = {}) {
  const absl::Status status = ParseSafetensorsIndex(text, limits).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_EQ(GetReason(status), "SAFETENSORS_INDEX") << why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  EXPECT_LT(status.message().size(), 1024u);
}

std::string Map(const std::string& members) { return absl::StrCat("{\"weight_map\":{", members, "}}"); }

TEST(SafetensorsIndexTest, TurnsTensorsIntoFiles) {
  const auto index = ParseSafetensorsIndex(
      R"({"metadata":{"total_size":123,"more":[{"x":null}]},
          "weight_map":{"c":"two.safetensors","a":"one.safetensors","b":"two.safetensors"}})",
      Limits{});
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_THAT(*index,
              ElementsAre(Pair("one.safetensors", ElementsAre("a")), Pair("two.safetensors", ElementsAre("b", "c"))));
}

TEST(SafetensorsIndexTest, MayNameNothing) {
  const auto index = ParseSafetensorsIndex(Map(""), Limits{});
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_THAT(*index, IsEmpty());
}

TEST(SafetensorsIndexTest, FilesLieBesideIt) {
  for (const std::string& file : {std::string("../secret"), std::string(".."), std::string("."), std::string(),
                                  std::string("/etc/passwd"), std::string("sub/file"), std::string("a/"),
                                  std::string("a\\u0000b"), std::string("a\\nb"), std::string(256, 'n')}) {
    ExpectRefused(Map(absl::StrCat("\"w\":\"", file, "\"")), "use the name of a file beside the index");
  }
  EXPECT_TRUE(ParseSafetensorsIndex(Map("\"w\":\"a..b\""), Limits{}).ok());
  EXPECT_TRUE(ParseSafetensorsIndex(Map(absl::StrCat("\"w\":\"", std::string(255, 'n'), "\"")), Limits{}).ok());
  ExpectRefused(Map("\"w\":7"), "tensor \"w\" is \"7\"; it must be the name of a file");
  ExpectRefused(Map("\"w\":null"), "tensor \"w\" is \"null\"");
  ExpectRefused(Map("\"w\":[\"a\"]"), "tensor \"w\" is a list");
  ExpectRefused(Map("\"w\":{\"a\":\"b\"}"), "tensor \"w\" is an object");
}

TEST(SafetensorsIndexTest, EverythingOnce) {
  ExpectRefused(Map(R"("w":"a","w":"b")"), "tensor \"w\" is given twice");
  ExpectRefused(Map(R"("w":"a","\u0077":"a")"), "tensor \"w\" is given twice");
  ExpectRefused(R"({"weight_map":{},"weight_map":{}})", "weight_map is given twice");
  ExpectRefused(R"({"metadata":{},"metadata":{},"weight_map":{}})", "metadata is given twice");
  ExpectRefused(R"({"metadata":{}})", "weight_map is missing");
  ExpectRefused(R"({"weights":{}})", "unknown key \"weights\"");
}

TEST(SafetensorsIndexTest, NamesObeyTheRule) {
  for (const char* name : {"", "/w", "a/../b", "a\\tb"}) {
    ExpectRefused(Map(absl::StrCat("\"", name, "\":\"a\"")), "use 1 to 512 bytes without control characters");
  }
}

TEST(SafetensorsIndexTest, CountsAreBounded) {
  Limits limits;
  limits.max_tensors = 2;
  EXPECT_TRUE(ParseSafetensorsIndex(Map(R"("a":"f","b":"f")"), limits).ok());
  ExpectRefused(Map(R"("a":"f","b":"f","c":"f")"), "more than 2 tensors", limits);

  std::string members = "\"t\":\"f0\"";
  for (int i = 0; i < 512; ++i) absl::StrAppend(&members, ",\"t", i, "\":\"f", i, "\"");
  EXPECT_TRUE(ParseSafetensorsIndex(Map(members), Limits{}).ok());
  absl::StrAppend(&members, ",\"u\":\"f512\"");
  ExpectRefused(Map(members), "tensor \"u\": more than 512 files");

  std::string long_text = Map("");
  long_text.resize(100'000'001, ' ');
  ExpectRefused(long_text, "100000001 bytes: at most 100000000");
}

TEST(SafetensorsIndexTest, WhatIsNoIndexIsRefused) {
  for (const char* text : {"", "{", "{} {}", "{'weight_map': {}}"}) ExpectRefused(text, "not JSON at byte");
  ExpectRefused("[]", "it is no object");
  ExpectRefused("7", "it is no object");
  ExpectRefused("{\"weight_map\":[]}", "weight_map is no object");
  ExpectRefused("{\"weight_map\":7}", "weight_map is no object");
  ExpectRefused("{\"metadata\":[]}", "metadata is no object");
  ExpectRefused("{\"metadata\":{\"a\":" + std::string(1 << 20, '['), "nested deeper than 16 levels");
  ExpectRefused(std::string(1 << 20, '['), "it is no object");
}

}  // namespace
}  // namespace bwrt::runtime
