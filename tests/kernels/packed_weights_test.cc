#include "kernels/packed_weights.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>

#include "kernels/kernel_dtype.h"
#include "tests/kernels/test_matrix.h"

// A refused allocation is part of the contract: have the sanitizers' allocators return null too.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace bwrt::kernels {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

void CheckLayout(DType dtype, int64_t k, int64_t n, int64_t gap, bool transposed) {
  SCOPED_TRACE(testing::Message() << Name(dtype) << " k=" << k << " n=" << n << " transposed=" << transposed);
  std::mt19937 random(7);
  std::uniform_real_distribution<float> value(-2, 2);
  TestMatrix w = transposed ? TestMatrix(dtype, n, k, gap) : TestMatrix(dtype, k, n, gap);
  w.Fill([&] { return value(random); });

  const auto packed = PackedWeights::Pack(w.view(), transposed);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const PackedWeights& p = **packed;
  EXPECT_EQ(p.k(), k);
  EXPECT_EQ(p.n(), n);
  EXPECT_EQ(p.dtype(), KernelDType(dtype));
  const int64_t multiple = p.dtype() == DType::kBF16 ? 16 : 8;
  EXPECT_EQ(p.padded_k(), (k + multiple - 1) / multiple * multiple);
  EXPECT_EQ(p.panels(), (n + 63) / 64);
  EXPECT_EQ(p.bytes(), p.panels() * p.padded_k() * 64 * SizeOf(p.dtype()));
  EXPECT_EQ(p.bytes(), PackedWeights::PackedBytes(k, n, dtype));
  for (int64_t j = 0; j < p.panels(); ++j) {
    ASSERT_EQ(reinterpret_cast<uintptr_t>(p.panel(j)) % 64, 0u);
    for (int64_t row = 0; row < p.padded_k(); ++row) {
      for (int64_t column = 0; column < 64; ++column) {
        const int64_t col = j * 64 + column;
        const float want = row >= k || col >= n ? 0.0f : transposed ? w.Get(col, row) : w.Get(row, col);
        ASSERT_EQ(p.At(row, col), want) << row << ", " << col;
        // In f32 a panel is [K][64], in bf16 [K / 2][64][2].
        const int64_t at = p.dtype() == DType::kF32 ? row * 64 + column : row / 2 * 128 + column * 2 + row % 2;
        float stored = 0;
        ToF32(p.dtype(), p.panel(j) + at * SizeOf(p.dtype()), 1, &stored);
        ASSERT_EQ(stored, want) << row << ", " << col;
      }
    }
  }
}

TEST(PackedWeightsTest, LayoutInBothOrientations) {
  for (const bool transposed : {false, true}) {
    CheckLayout(DType::kF32, 1, 1, 0, transposed);
    CheckLayout(DType::kF32, 8, 64, 0, transposed);
    CheckLayout(DType::kF32, 7, 65, 3, transposed);
    CheckLayout(DType::kF16, 130, 63, 1, transposed);
    CheckLayout(DType::kBF16, 65, 129, 5, transposed);
    CheckLayout(DType::kBF16, 200, 1, 0, transposed);
    CheckLayout(DType::kF32, 1, 200, 0, transposed);
  }
}

TEST(PackedWeightsTest, OutlivesItsSource) {
  auto w = std::make_unique<TestMatrix>(DType::kF32, 3, 3);
  w->Fill([] { return 5.0f; });
  const auto packed = PackedWeights::Pack(w->view(), false);
  ASSERT_TRUE(packed.ok());
  w.reset();
  EXPECT_EQ((*packed)->At(2, 2), 5.0f);
}

TEST(PackedWeightsTest, PackedBytesSaturates) {
  EXPECT_EQ(PackedWeights::PackedBytes(1, 1, DType::kF32), 8 * 64 * 4);
  EXPECT_EQ(PackedWeights::PackedBytes(9, 65, DType::kF16), 16 * 128 * 4);
  EXPECT_EQ(PackedWeights::PackedBytes(17, 65, DType::kBF16),
            KernelDType(DType::kBF16) == DType::kBF16 ? 32 * 128 * 2 : 24 * 128 * 4);
  EXPECT_EQ(PackedWeights::PackedBytes(0, 5, DType::kF32), 0);
  EXPECT_EQ(PackedWeights::PackedBytes(5, -1, DType::kF32), 0);
  EXPECT_EQ(PackedWeights::PackedBytes(int64_t{1} << 31, int64_t{1} << 29, DType::kF32), int64_t{1} << 62);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(PackedWeights::PackedBytes(int64_t{1} << 32, int64_t{1} << 30, dtype), kMax);
    EXPECT_EQ(PackedWeights::PackedBytes(int64_t{1} << 40, int64_t{1} << 40, dtype), kMax);
    EXPECT_EQ(PackedWeights::PackedBytes(kMax, 1, dtype), kMax);
    EXPECT_EQ(PackedWeights::PackedBytes(1, kMax, dtype), kMax);
  }
}

TEST(PackedWeightsTest, RefusesInvalidMatrices) {
  std::byte data[16] = {};
  EXPECT_EQ(PackedWeights::Pack({nullptr, 2, 2, 2, DType::kF32}, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackedWeights::Pack({data, 0, 2, 2, DType::kF32}, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackedWeights::Pack({data, 2, 2, 1, DType::kF32}, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackedWeights::Pack({data, kMax, kMax, kMax, DType::kF32}, true).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// None of these touches the data: it is refused before.
TEST(PackedWeightsTest, RefusesWhatDoesNotFitIntoMemory) {
  std::byte data[16] = {};
  // One column of f16 fits in int64_t; padded to a panel of f32 it does not.
  EXPECT_EQ(PackedWeights::Pack({data, int64_t{1} << 56, 1, 1, DType::kF16}, false).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(PackedWeights::Pack({data, 1, int64_t{1} << 60, int64_t{1} << 60, DType::kF32}, false).status().code(),
            absl::StatusCode::kResourceExhausted);
  // Fits in int64_t, but no machine has it.
  EXPECT_EQ(PackedWeights::Pack({data, int64_t{1} << 25, int64_t{1} << 25, int64_t{1} << 25, DType::kF16}, true)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bwrt::kernels
