#include "runtime/tile_whitelist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TileWhitelist Parsed(absl::string_view text) {
  auto list = TileWhitelist::Parse(text);
  EXPECT_TRUE(list.ok()) << list.status();
  return list.ok() ? *std::move(list) : TileWhitelist::Default();
}

TEST(TileWhitelistTest, DefaultIsThePlannersList) {
  EXPECT_THAT(TileWhitelist::Default().shapes(),
              ElementsAre(TileShape{128, 128, 64, 2, 2, 1}, TileShape{128, 128, 128, 3, 2, 1},
                          TileShape{128, 256, 64, 2, 2, 1}, TileShape{256, 128, 64, 2, 2, 1}));
}

// The digest is part of the wire contract. Computed with Python's hashlib over the sorted lines.
TEST(TileWhitelistTest, DefaultDigest) {
  EXPECT_EQ(TileWhitelist::Default().digest(),
            "sha256:bb51e1792eddb2454fe4b1647692244b9921327bd04e2217b2c448d0d7695ce8");
}

TEST(TileWhitelistTest, SortsNumericallyNotAsText) {
  const TileWhitelist list = Parsed("128,8,16,1,1,1\n16,8,16,1,1,1\n9,8,16,1,1,1\n");
  EXPECT_THAT(list.shapes(),
              ElementsAre(TileShape{9, 8, 16, 1, 1, 1}, TileShape{16, 8, 16, 1, 1, 1}, TileShape{128, 8, 16, 1, 1, 1}));
  EXPECT_EQ(list.digest(), "sha256:2e0b8a2fd39c11cbbf7ad1c48cb554ccbacd9ffa24549d8b66d23a6b3ffe29d3");
}

TEST(TileWhitelistTest, OrderRepeatsAndLayoutDoNotChangeTheDigest) {
  const TileWhitelist list = Parsed(
      "# the default, written another way\n"
      "\n"
      "  256 , 128,64,2,2,1\r\n"
      "128,128,128,3,2,1\n128,128,64,2,2,1\n   # again\n128,128,64,2,2,1\n"
      "128,256,64,2,2,1");
  EXPECT_EQ(list.digest(), TileWhitelist::Default().digest());
  EXPECT_EQ(list.shapes().size(), 4u);
}

TEST(TileWhitelistTest, AnyNumberChangesTheDigest) {
  const std::string base = Parsed("4,5,6,7,8,9").digest();
  for (const char* other : {"5,5,6,7,8,9", "4,6,6,7,8,9", "4,5,7,7,8,9", "4,5,6,8,8,9", "4,5,6,7,9,9", "4,5,6,7,8,8"}) {
    EXPECT_NE(Parsed(other).digest(), base) << other;
  }
}

TEST(TileWhitelistTest, ParseRefusesAndNamesTheLine) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"128,128,64,2,2", "line 1"},
      {"128,128,64,2,2,1,1", "line 1"},
      {"128,128,64,2,2,1\n\n# c\n1,2,3,4,5,x\n", "line 4"},
      {"0,128,64,2,2,1", "line 1"},
      {"128,-128,64,2,2,1", "line 1"},
      {"128,128,64,2,2,1\n128,,64,2,2,1", "line 2"},
      {"128;128;64;2;2;1", "line 1"},
      {"128,128,64,2,2,1.5", "line 1"},
      {"99999999999,128,64,2,2,1", "line 1"},
      {"4294967424,128,64,2,2,1", "line 1"},  // 2^32 + 128: must not wrap.
  };
  for (const auto& [text, where] : bad) {
    const auto list = TileWhitelist::Parse(text);
    ASSERT_FALSE(list.ok()) << text;
    EXPECT_EQ(list.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(list.status().message()), HasSubstr(where)) << text;
  }
}

TEST(TileWhitelistTest, ParseRefusesAnEmptyList) {
  for (const char* text : {"", "\n\n", "# nothing\n"}) {
    EXPECT_EQ(TileWhitelist::Parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(TileWhitelistTest, ContainsExactlyWhatIsListed) {
  const TileWhitelist list = TileWhitelist::Default();
  for (const TileShape& shape : list.shapes()) EXPECT_TRUE(list.Contains(shape)) << ToString(shape);
  for (const TileShape& shape :
       {TileShape{128, 128, 64, 2, 1, 1}, TileShape{128, 128, 64, 3, 2, 1}, TileShape{128, 128, 64, 2, 2, 2},
        TileShape{128, 128, 128, 2, 2, 1}, TileShape{256, 256, 64, 2, 2, 1}, TileShape{}}) {
    EXPECT_FALSE(list.Contains(shape)) << ToString(shape);
  }
}

TEST(TileWhitelistTest, NearestDiffersLeast) {
  const TileWhitelist list = TileWhitelist::Default();
  EXPECT_EQ(list.Nearest({256, 128, 64, 2, 1, 1}), (TileShape{256, 128, 64, 2, 2, 1}));
  EXPECT_EQ(list.Nearest({128, 512, 64, 2, 2, 1}), (TileShape{128, 256, 64, 2, 2, 1}));
  EXPECT_EQ(list.Nearest({128, 128, 256, 4, 2, 1}), (TileShape{128, 128, 128, 3, 2, 1}));
  // A listed shape is nearest to itself.
  for (const TileShape& shape : list.shapes()) EXPECT_EQ(list.Nearest(shape), shape);
}

TEST(TileWhitelistTest, NearestBreaksTiesToTheSmaller) {
  // 64 is one doubling from 32 and from 128.
  const TileWhitelist list = Parsed("128,8,8,1,1,1\n32,8,8,1,1,1\n");
  EXPECT_EQ(list.Nearest({64, 8, 8, 1, 1, 1}), (TileShape{32, 8, 8, 1, 1, 1}));
}

TEST(TileWhitelistTest, NearestTakesAnything) {
  const TileWhitelist list = TileWhitelist::Default();
  EXPECT_TRUE(list.Contains(list.Nearest({0, 0, 0, 0, 0, 0})));
  EXPECT_TRUE(list.Contains(list.Nearest({2147483647, 2147483647, 2147483647, 8, 2147483647, 2147483647})));
}

TEST(TileShapeTest, PrintsAsPlannersWriteIt) {
  EXPECT_EQ(ToString(TileShape{128, 256, 64, 2, 2, 1}), "(128,256,64,2,(2,1))");
}

}  // namespace
}  // namespace bwrt::runtime
