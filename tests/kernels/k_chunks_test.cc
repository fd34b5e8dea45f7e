#include "kernels/k_chunks.h"

#include <gtest/gtest.h>

namespace bwrt::kernels {
namespace {

TEST(KChunksTest, CoversKExactly) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const int64_t multiple = PackedWeights::KMultiple(dtype);
    for (int64_t k = multiple; k <= 4200; k += multiple) {
      const KChunks chunks(k, dtype);
      int64_t covered = 0;
      int64_t packed = 0;
      for (int64_t c = 0; c < chunks.count(); ++c) {
        ASSERT_EQ(chunks.begin(c), covered);
        ASSERT_GT(chunks.length(c), 0);
        ASSERT_EQ(chunks.length(c) % multiple, 0);
        if (c + 1 < chunks.count()) {
          ASSERT_EQ(chunks.length(c) * SizeOf(dtype), KChunks::kMaxBytes);
        }
        covered += chunks.length(c);
        packed += chunks.RowStride(chunks.length(c));
      }
      ASSERT_EQ(covered, k);
      ASSERT_EQ(chunks.packed_row(), packed);
    }
  }
}

TEST(KChunksTest, StridesCoverARowAndAvoidLargePowersOfTwo) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const KChunks chunks(1024, dtype);
    for (int64_t length = PackedWeights::KMultiple(dtype); length <= chunks.max_length();
         length += PackedWeights::KMultiple(dtype)) {
      ASSERT_GE(chunks.RowStride(length), length);
      ASSERT_LE(chunks.RowStride(length) * SizeOf(dtype), length * SizeOf(dtype) + 64);
      ASSERT_NE(chunks.RowStride(length) * SizeOf(dtype) % 256, 0);
    }
  }
}

}  // namespace
}  // namespace bwrt::kernels
