#include "tests/bench/gemm/matrix_buffer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace bwrt::bench {
namespace {

using kernels::DType;

MatrixBuffer Copy(const MatrixBuffer& from) {
  MatrixBuffer to(from.bytes());
  std::memcpy(to.data(), from.data(), static_cast<size_t>(from.bytes()));
  return to;
}

void Put(MatrixBuffer& matrix, int64_t index, float value) {
  std::memcpy(matrix.data() + index * int64_t{sizeof value}, &value, sizeof value);
}

TEST(MatrixBufferTest, RandomMatricesDependOnTheirSeedAlone) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const MatrixBuffer a = MatrixBuffer::Random(dtype, 30, 50, 1);
    const MatrixBuffer same = MatrixBuffer::Random(dtype, 30, 50, 1);
    const MatrixBuffer other = MatrixBuffer::Random(dtype, 30, 50, 2);
    EXPECT_EQ(a.bytes(), 30 * 50 * kernels::SizeOf(dtype));
    EXPECT_EQ(WorstTileError(dtype, 30, 50, a.data(), same.data()), 0);
    // Independent uniform values differ by sqrt(2) of their norm.
    EXPECT_NEAR(WorstTileError(dtype, 30, 50, a.data(), other.data()), std::sqrt(2), 0.2);
  }
}

TEST(MatrixBufferTest, OneWrongElementShowsInWhicheverTileItIs) {
  constexpr int64_t kM = 300;
  constexpr int64_t kN = 260;
  const MatrixBuffer want = MatrixBuffer::Random(DType::kF32, kM, kN, 7);
  for (const int64_t wrong : {int64_t{0}, 128 * kN, 140 * kN + 255, kM * kN - 1}) {
    MatrixBuffer got = Copy(want);
    Put(got, wrong, 3);
    EXPECT_GT(WorstTileError(DType::kF32, kM, kN, got.data(), want.data()), Tolerance(DType::kF32)) << wrong;
    Put(got, wrong, std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(std::isinf(WorstTileError(DType::kF32, kM, kN, got.data(), want.data()))) << wrong;
  }
}

}  // namespace
}  // namespace bwrt::bench
