#include "client/tune_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace bwrt::client {
namespace {

using ::testing::HasSubstr;

v1::TileShape Shape(int32_t bm, int32_t bn, int32_t bk, int32_t stage, int32_t x, int32_t y) {
  v1::TileShape shape;
  shape.set_bm(bm);
  shape.set_bn(bn);
  shape.set_bk(bk);
  shape.set_stage_n(stage);
  shape.mutable_cluster_shape()->set_x(x);
  shape.mutable_cluster_shape()->set_y(y);
  return shape;
}

TEST(TuneShapes, ReadsAndWrites) {
  for (const char* text : {"1x2x3:f32", "64x4096x4096:bf16", "8x8x32:f8_e4m3:transposed"}) {
    const auto problem = ParseTuneShape(text);
    ASSERT_TRUE(problem.ok()) << problem.status();
    EXPECT_EQ(FormatTuneShape(*problem), text);
  }
  const auto problem = ParseTuneShape("5x6x7");
  ASSERT_TRUE(problem.ok());
  EXPECT_EQ(problem->m(), 5);
  EXPECT_EQ(problem->n(), 6);
  EXPECT_EQ(problem->k(), 7);
  EXPECT_EQ(problem->dtype(), F32);
  EXPECT_FALSE(problem->w_transposed());
}

TEST(TuneShapes, RefusesWhatIsNone) {
  for (const char* text :
       {"", "x", "1x2", "1x2x3x4", "0x1x1", "1x-2x3", "1x2x3:", "1x2x3:i8", "1x2x3:f32:no", "1x2x3:f32:transposed:"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseTuneShape(text).status())) << text;
  }
}

TEST(TuneShapes, FilesNameTheLine) {
  const auto problems = ParseTuneShapes("# a comment\n\n16x16x16\n 32x32x32:f16 \n");
  ASSERT_TRUE(problems.ok()) << problems.status();
  EXPECT_EQ(problems->size(), 2u);
  EXPECT_THAT(std::string(ParseTuneShapes("16x16x16\nno\n").status().message()), HasSubstr("line 2: shape no: "));
}

TEST(Whitelist, IsSortedByNumbersAndHoldsEachOnce) {
  const Whitelist whitelist = WhitelistOf({Shape(256, 128, 64, 2, 2, 1), Shape(128, 256, 64, 2, 2, 1),
                                           Shape(64, 128, 64, 2, 2, 1), Shape(256, 128, 64, 2, 2, 1)});
  EXPECT_EQ(whitelist.text, "64,128,64,2,2,1\n128,256,64,2,2,1\n256,128,64,2,2,1\n");
  EXPECT_EQ(whitelist.shapes, 3);
}

TEST(Whitelist, TheDigestOfTheDefaultOneIsTheContracts) {
  // As sha256sum says of these lines.
  const Whitelist whitelist = WhitelistOf({Shape(128, 128, 64, 2, 2, 1), Shape(128, 256, 64, 2, 2, 1),
                                           Shape(256, 128, 64, 2, 2, 1), Shape(128, 128, 128, 3, 2, 1)});
  EXPECT_EQ(whitelist.digest, "sha256:bb51e1792eddb2454fe4b1647692244b9921327bd04e2217b2c448d0d7695ce8");
}

}  // namespace
}  // namespace bwrt::client
