#include "client/commands/tensor_flag.h"

#include <gtest/gtest.h>

#include "client/file.h"
#include "client/operands.h"

namespace bwrt::client {
namespace {

TEST(TensorFlag, ReadsFilesAndSeeds) {
  auto flag = ParseTensorFlag("w:f32:512x256=weights.bin");
  ASSERT_TRUE(flag.ok()) << flag.status();
  EXPECT_EQ(flag->name, "w");
  EXPECT_EQ(flag->dtype, F32);
  EXPECT_EQ(flag->shape, (std::vector<int64_t>{512, 256}));
  EXPECT_EQ(flag->file, "weights.bin");
  EXPECT_FALSE(flag->seed.has_value());
  flag = ParseTensorFlag("bias:BF16:7=random:18446744073709551615");
  ASSERT_TRUE(flag.ok()) << flag.status();
  EXPECT_EQ(flag->dtype, BF16);
  EXPECT_EQ(flag->seed, 18446744073709551615u);
}

TEST(TensorFlag, NamesAndFilesMayHoldSeparators) {
  auto flag = ParseTensorFlag("a=b:c:f16:2x3=dir=1/file:2");
  ASSERT_TRUE(flag.ok()) << flag.status();
  EXPECT_EQ(flag->name, "a=b:c");
  EXPECT_EQ(flag->file, "dir=1/file:2");
}

TEST(TensorFlag, TakesTypesThatNothingComputesWithFromFilesOnly) {
  const auto from_file = ParseTensorFlag("scales:f8_e4m3:2x3=f");
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  EXPECT_EQ(from_file->dtype, F8_E4M3);
  const auto random = ParseTensorFlag("steps:i64:2=random:1");
  ASSERT_TRUE(random.ok()) << random.status();
  EXPECT_EQ(LoadTensor(*random).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TensorFlag, RefusesTheRest) {
  for (const char* text :
       {"", "w", "w=f", "w:f32=f", "w:f7:2=f", "w:f32:=f", "w:f32:2x=f", "w:f32:x2=f", "w:f32:2xx3=f",
        "w:f32:2=", "w:f32:2=random:", "w:f32:2=random:-1", "w:f32:2=random:18446744073709551616", "f32:2=f"}) {
    EXPECT_EQ(ParseTensorFlag(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(LoadTensor, DrawsTheGeneratorsW) {
  const auto tensor = LoadTensor(*ParseTensorFlag("w:bf16:3x4=random:5"));
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(tensor->name(), "w");
  EXPECT_EQ(tensor->dtype(), BF16);
  EXPECT_EQ(tensor->shape(1), 4);
  EXPECT_EQ(tensor->data(), *RandomMatrix({.seed = 5, .wave = 0, .role = OperandStream::kW}, BF16, 3, 4));
}

TEST(LoadTensor, ReadsAFileOfTheRightSize) {
  const std::string path = testing::TempDir() + "tensor.bin";
  ASSERT_TRUE(WriteFile(path, "abcdefgh").ok());
  const auto tensor = LoadTensor(*ParseTensorFlag("w:f32:1x2=" + path));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->data(), "abcdefgh");
  EXPECT_EQ(LoadTensor(*ParseTensorFlag("w:f32:3=" + path)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(LoadTensor(*ParseTensorFlag("w:f32:3=no/such/file")).status().code(), absl::StatusCode::kNotFound);
}

TEST(LoadTensor, RefusesShapesThatCannotBe) {
  for (const char* text : {"w:f32:0=random:1", "w:f32:-1=random:1", "w:f32:-2x-2=random:1",
                           "w:f32:4294967296x4294967296=random:1", "w:f32:536870912=random:1"}) {
    EXPECT_FALSE(LoadTensor(*ParseTensorFlag(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace bwrt::client
