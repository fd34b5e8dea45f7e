#include "client/matrix_rect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bwrt::client {
namespace {

using ::testing::HasSubstr;

TEST(MatrixRectTest, IsReadAsItIsWritten) {
  const auto rect = ParseMatrixRect("0:128,256:9223372036854775807");
  ASSERT_TRUE(rect.ok()) << rect.status();
  EXPECT_EQ(
      *rect,
      (MatrixRect{.row_begin = 0, .row_end = 128, .column_begin = 256, .column_end = int64_t{9223372036854775807}}));
  EXPECT_EQ(FormatMatrixRect(*rect), "0:128,256:9223372036854775807");
}

TEST(MatrixRectTest, OtherTextIsRefusedWithTheForm) {
  for (const char* text : {"", "0:1", "0:1,", "0:1,0", "0:1,0:1,0:1", "0:1:2,0:1", "-1:1,0:1", "+0:1,0:1", "0:1, 0:1",
                           "a:b,c:d", "0x0:1,0:1", "0:9223372036854775808,0:1", "0:1,0:1e3"}) {
    const auto rect = ParseMatrixRect(text);
    EXPECT_TRUE(absl::IsInvalidArgument(rect.status())) << text;
    EXPECT_THAT(std::string(rect.status().message()), HasSubstr("ROW0:ROW1,COL0:COL1")) << text;
  }
}

TEST(MatrixRectTest, EmptyOnesAreRefused) {
  for (const char* text : {"0:0,0:1", "0:1,5:5", "2:1,0:1", "0:1,9:3"}) {
    const auto rect = ParseMatrixRect(text);
    EXPECT_TRUE(absl::IsInvalidArgument(rect.status())) << text;
    EXPECT_THAT(std::string(rect.status().message()), HasSubstr("holds no element")) << text;
  }
}

TEST(MatrixRectTest, Intersections) {
  const MatrixRect c = {.row_begin = 0, .row_end = 10, .column_begin = 0, .column_end = 20};
  EXPECT_EQ(FormatMatrixRect(Intersect(*ParseMatrixRect("5:100,3:7"), c)), "5:10,3:7");
  EXPECT_FALSE(Intersect(*ParseMatrixRect("9:10,19:100"), c).empty());
  EXPECT_TRUE(Intersect(*ParseMatrixRect("10:11,0:1"), c).empty());
  EXPECT_TRUE(Intersect(*ParseMatrixRect("0:1,20:30"), c).empty());
}

}  // namespace
}  // namespace bwrt::client
