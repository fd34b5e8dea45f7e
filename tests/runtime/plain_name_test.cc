#include "runtime/plain_name.h"

#include <gtest/gtest.h>

#include <string>

namespace bwrt::runtime {
namespace {

TEST(PlainNameTest, OneComponentOfAPath) {
  for (const char* name : {"a", "model-00001-of-00002.safetensors", "...", "a..b", "..a", ".hidden", "a b", "層"}) {
    EXPECT_TRUE(IsPlainName(name)) << name;
  }
  EXPECT_TRUE(IsPlainName(std::string(255, 'n')));
}

TEST(PlainNameTest, NothingElse) {
  for (const char* name : {"", ".", "..", "/", "a/b", "/a", "a/", "a\nb", "\x7f"}) {
    EXPECT_FALSE(IsPlainName(name)) << name;
  }
  EXPECT_FALSE(IsPlainName(std::string(256, 'n')));
  EXPECT_FALSE(IsPlainName(absl::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace bwrt::runtime
