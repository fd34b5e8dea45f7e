#include "runtime/tensor_name.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

TEST(TensorNameTest, IdsArePlain) {
  for (const char* name :
       {"w", "layers.0.attn/q", "a b", ".", "...", "..w", "w..", "a/..b/c", "-", "a//b", "a/", "~"}) {
    EXPECT_TRUE(IsTensorName(name)) << name;
  }
}

TEST(TensorNameTest, Utf8IsWelcome) {
  EXPECT_TRUE(IsTensorName("層/0/重み"));
  EXPECT_TRUE(IsTensorName("poids\xc3\xa9"));
  EXPECT_TRUE(IsTensorName("\xf0\x9f\x8e\x89"));
}

TEST(TensorNameTest, UpTo512Bytes) {
  EXPECT_TRUE(IsTensorName(std::string(512, 'n')));
  EXPECT_FALSE(IsTensorName(std::string(513, 'n')));
  // Bytes, not characters.
  std::string wide;
  for (int i = 0; i < 171; ++i) wide += "\xe5\xb1\xa4";
  EXPECT_FALSE(IsTensorName(wide));  // 513 bytes.
  EXPECT_TRUE(IsTensorName(wide.substr(3)));
}

TEST(TensorNameTest, PathsOutAreRefused) {
  for (const char* name : {"..", "../w", "a/..", "a/../b", "a/b/../../c", "/w", "/", "//"}) {
    EXPECT_FALSE(IsTensorName(name)) << name;
  }
}

TEST(TensorNameTest, EmptyAndControlCharactersAreRefused) {
  EXPECT_FALSE(IsTensorName(""));
  for (const std::string& name : {std::string("a\nb"), std::string("\t"), std::string("a\0b", 3), std::string("\x7f"),
                                  std::string("w\r"), std::string("\x1b[0m")}) {
    EXPECT_FALSE(IsTensorName(name)) << absl::StrCat("\"", name, "\"");
  }
}

TEST(TensorNameTest, ControlCharactersBeyondAsciiAreRefused) {
  EXPECT_FALSE(IsTensorName("a\xc2\x85z"));
  EXPECT_FALSE(IsTensorName("\xc2\x9f"));
  EXPECT_TRUE(IsTensorName("\xc2\xa0"));
}

TEST(TensorNameTest, TheRuleNamesTheLimit) {
  EXPECT_EQ(TensorNameRule(), "use 1 to 512 bytes without control characters, leading '/' or '..' part");
}

}  // namespace
}  // namespace bwrt::runtime
