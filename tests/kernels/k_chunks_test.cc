#include "kernels/k_chunks.h"

#include <gtest/gtest.h>

namespace bwrt::kernels {
namespace {

TEST(KChunksTest, CoversKExactly) {
  for (int64_t k = 8; k <= 2100; k += 8) {
    const KChunks chunks(k);
    int64_t covered = 0;
    int64_t packed = 0;
    for (int64_t c = 0; c < chunks.count(); ++c) {
      ASSERT_EQ(chunks.begin(c), covered);
      ASSERT_GT(chunks.length(c), 0);
      ASSERT_EQ(chunks.length(c) % PackedWeights::kKMultiple, 0);
      if (c + 1 < chunks.count()) {
        ASSERT_EQ(chunks.length(c), KChunks::kMaxLength);
      }
      covered += chunks.length(c);
      packed += KChunks::RowStride(chunks.length(c));
    }
    ASSERT_EQ(covered, k);
    ASSERT_EQ(chunks.packed_row(), packed);
  }
}

TEST(KChunksTest, StridesCoverARowAndAvoidLargePowersOfTwo) {
  for (int64_t length = 8; length <= KChunks::kMaxLength; length += 8) {
    ASSERT_GE(KChunks::RowStride(length), length);
    ASSERT_LE(KChunks::RowStride(length), length + 16);
    ASSERT_NE(KChunks::RowStride(length) % 64, 0);
  }
}

}  // namespace
}  // namespace bwrt::kernels
