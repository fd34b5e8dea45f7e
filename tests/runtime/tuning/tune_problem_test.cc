#include "runtime/tuning/tune_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;

TEST(TuneProblem, ReadsAndWritesShapes) {
  for (const char* text :
       {"1x2x3:f32", "64x4096x4096:bf16", "8x8x32:f8_e4m3:transposed", "8x8x32:f8_e5m2", "1x1x16:f16"}) {
    const auto problem = ParseTuneProblem(text);
    ASSERT_TRUE(problem.ok()) << problem.status();
    EXPECT_EQ(ToString(*problem), text);
  }
  const auto plain = ParseTuneProblem("5x6x7");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->m, 5);
  EXPECT_EQ(plain->n, 6);
  EXPECT_EQ(plain->k, 7);
  EXPECT_EQ(ToString(*plain), "5x6x7:f32");
  EXPECT_EQ(ParseTuneProblem("5x6x7:BF16")->dtype, DTypeWish::kBF16);
  TuneProblem narrow = *plain;
  narrow.dtype = narrow.c_dtype = DTypeWish::kBF16;
  EXPECT_EQ(ToString(narrow), "5x6x7:bf16:c=bf16") << "another problem, another name";
}

TEST(TuneProblem, RefusesWhatIsNone) {
  for (const char* text : {"", "x", "1x2", "1x2x3x4", "0x1x1", "-1x2x3", "1x2x3:", "1x2x3:i8", "1x2x3:f32:no",
                           "1x2x3:f32:transposed:", "1x2x99999999999999999999", "1.5x2x3"}) {
    const auto problem = ParseTuneProblem(text);
    EXPECT_TRUE(absl::IsInvalidArgument(problem.status())) << text;
    EXPECT_THAT(std::string(problem.status().message()), HasSubstr("write MxNxK[:dtype[:transposed]]"));
  }
}

TEST(TuneProblem, ReadsFiles) {
  const auto problems = ParseTuneProblems("# shapes\n\n 16x16x16 \n32x32x32:bf16\r\n");
  ASSERT_TRUE(problems.ok()) << problems.status();
  ASSERT_EQ(problems->size(), 2u);
  EXPECT_EQ(ToString((*problems)[1]), "32x32x32:bf16");
  EXPECT_THAT(std::string(ParseTuneProblems("16x16x16\nnonsense\n").status().message()), HasSubstr("line 2: "));
  EXPECT_FALSE(ParseTuneProblems("# nothing\n").ok());
  std::string many;
  for (size_t i = 0; i <= kMaxTuneProblems; ++i) absl::StrAppend(&many, "16x16x16\n");
  EXPECT_THAT(std::string(ParseTuneProblems(many).status().message()), HasSubstr("line 65: more than 64 shapes"));
}

}  // namespace
}  // namespace bwrt::runtime
