#include "kernels/micro_kernels.h"

#include <gtest/gtest.h>
#include <libxsmm.h>

#include <random>
#include <vector>

#include "kernels/kernel_dtype.h"

namespace bwrt::kernels {
namespace {

class MicroKernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveKernels()) GTEST_SKIP() << "this CPU has no AVX2";
  }
};

// What of the kernels' types this CPU multiplies.
std::vector<DType> Types() {
  std::vector<DType> types = {DType::kF32};
  if (KernelDType(DType::kBF16) == DType::kBF16) types.push_back(DType::kBF16);
  return types;
}

// Numbers in the memory of a kernel's operand; small integers: sums are exact in any order.
struct Operand {
  Operand(DType dtype, int64_t count, std::mt19937& random)
      : dtype(dtype), values(static_cast<std::size_t>(count)), bytes(values.size() * 4) {
    std::uniform_int_distribution<int> digit(-3, 3);
    for (float& value : values) value = static_cast<float>(digit(random));
    FromF32(dtype, values.data(), count, bytes.data());
  }
  DType dtype;
  std::vector<float> values;
  std::vector<std::byte> bytes;
};

// Whether the kernels compute block by block what the definition says, with rows of A `stride` elements apart.
void Check(const MicroKernels& kernels, const KChunks& chunks, int64_t chunk, int64_t stride) {
  std::mt19937 random(3);
  const int64_t length = chunks.length(chunk);
  const DType dtype = chunks.dtype();
  const Operand a(dtype, 64 * stride, random);
  const Operand w(dtype, length * 64, random);
  for (const int64_t rows : {5, 64}) {
    std::vector<float> sums(static_cast<std::size_t>((64 + 1) * 64), 777.0f);
    kernels.Run(rows, chunk, a.bytes.data(), w.bytes.data(), sums.data());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < 64; ++j) {
        float want = 0;
        for (int64_t x = 0; x < length; ++x) {
          const int64_t at = dtype == DType::kF32 ? x * 64 + j : x / 2 * 128 + 2 * j + x % 2;
          want += a.values[i * stride + x] * w.values[at];
        }
        ASSERT_EQ(sums[i * 64 + j], want) << Name(dtype) << " length " << length << " at " << i << ", " << j;
      }
    }
    ASSERT_EQ(sums[rows * 64], 777.0f);
  }
}

TEST_F(MicroKernelsTest, MultipliesEveryChunkOfPackedRows) {
  for (const DType dtype : Types()) {
    for (const int64_t k : {16, 64, 80, 512, 528, 1024, 1040, 2064}) {
      const KChunks chunks(k, dtype);
      const auto kernels = MicroKernels::Create(chunks, {5, 64});
      ASSERT_TRUE(kernels.ok()) << kernels.status();
      for (int64_t chunk = 0; chunk < chunks.count(); ++chunk) {
        Check(*kernels, chunks, chunk, chunks.RowStride(chunks.length(chunk)));
      }
    }
  }
}

TEST_F(MicroKernelsTest, MultipliesEveryChunkOfRowsInPlace) {
  for (const DType dtype : Types()) {
    for (const int64_t k : {16, 528, 1040, 2064}) {
      for (const int64_t gap : {0, 1, 2, 7}) {
        const KChunks chunks(k, dtype);
        const auto kernels = MicroKernels::CreateInPlace(chunks, {5, 64}, k + gap);
        if (dtype == DType::kBF16 && gap % 2 != 0) {
          EXPECT_FALSE(kernels) << "odd strides of bf16 are packed";
          continue;
        }
        ASSERT_TRUE(kernels);
        for (int64_t chunk = 0; chunk < chunks.count(); ++chunk) Check(*kernels, chunks, chunk, k + gap);
      }
    }
  }
}

TEST_F(MicroKernelsTest, KnowsItsRowCounts) {
  const auto kernels = MicroKernels::Create(KChunks(16, DType::kF32), {36, 64, 7});
  ASSERT_TRUE(kernels.ok());
  for (const int64_t rows : {7, 36, 64}) EXPECT_TRUE(kernels->Has(rows));
  for (const int64_t rows : {-1, 0, 1, 8, 63, 65}) EXPECT_FALSE(kernels->Has(rows));
}

// A client may choose any stride: the code for each stays in memory as long as the process.
TEST_F(MicroKernelsTest, KernelsInPlaceAreBounded) {
  const KChunks chunks(16, DType::kF32);
  ASSERT_TRUE(MicroKernels::CreateInPlace(chunks, {1}, 16));
  int64_t made = 0;
  for (int64_t stride = 17; stride < 17 + 2 * MicroKernels::kMaxInPlace; ++stride) {
    if (MicroKernels::CreateInPlace(chunks, {1}, stride)) ++made;
  }
  EXPECT_LE(made, MicroKernels::kMaxInPlace);
  EXPECT_GT(made, MicroKernels::kMaxInPlace / 2);
  EXPECT_TRUE(MicroKernels::CreateInPlace(chunks, {1}, 16)) << "one that exists can still be had";
  EXPECT_FALSE(MicroKernels::CreateInPlace(chunks, {2}, 16));
  EXPECT_TRUE(MicroKernels::Create(chunks, {2}).ok()) << "packed rows have a bound of their own";
}

TEST_F(MicroKernelsTest, RefusesStridesOutOfRange) {
  const KChunks chunks(16, DType::kF32);
  EXPECT_FALSE(MicroKernels::CreateInPlace(chunks, {1}, 0));
  EXPECT_FALSE(MicroKernels::CreateInPlace(chunks, {1}, int64_t{1} << 40));
}

TEST_F(MicroKernelsTest, RefusesRowCountsOutOfRange) {
  const KChunks chunks(8, DType::kF32);
  EXPECT_EQ(MicroKernels::Create(chunks, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MicroKernels::Create(chunks, {0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MicroKernels::Create(chunks, {65}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MicroKernelsTest, AnOldCpuIsUnavailable) {
  const int arch = libxsmm_get_target_archid();
  libxsmm_set_target_arch("snb");
  EXPECT_FALSE(HaveKernels());
  const absl::Status status = MicroKernels::Create(KChunks(8, DType::kF32), {1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  libxsmm_set_target_archid(arch);
}

}  // namespace
}  // namespace bwrt::kernels
