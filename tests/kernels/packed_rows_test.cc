#include "kernels/packed_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "tests/kernels/test_matrix.h"

// A refused allocation is part of the contract: have the sanitizers' allocators return null too.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace bwrt::kernels {
namespace {

TestMatrix Numbered(DType dtype, int64_t rows, int64_t cols) {
  TestMatrix a(dtype, rows, cols, 3);
  int next = 0;
  a.Fill([&] { return static_cast<float>(next++ % 251); });  // Exact in every dtype.
  return a;
}

KChunks ChunksFor(int64_t k, DType packed) {
  const int64_t multiple = PackedWeights::KMultiple(packed);
  return KChunks((k + multiple - 1) / multiple * multiple, packed);
}

// Panel `index` of rows [row0, row0 + count), of which row i is row map[i] of `a`.
void CheckPanel(const std::byte* panel, const TestMatrix& a, const std::vector<int64_t>& map, const KChunks& chunks,
                int64_t row0, int64_t count) {
  for (int64_t c = 0; c < chunks.count(); ++c) {
    const int64_t stride = chunks.RowStride(chunks.length(c));
    const int64_t begin = count * c * chunks.RowStride(chunks.max_length());
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < chunks.length(c); ++j) {
        const int64_t k = chunks.begin(c) + j;
        const float want = k < a.cols() ? a.Get(map[static_cast<std::size_t>(row0 + i)], k) : 0.0f;
        float got = 0;
        ToF32(chunks.dtype(), panel + (begin + i * stride + j) * SizeOf(chunks.dtype()), 1, &got);
        ASSERT_EQ(got, want) << row0 + i << ", " << k;
      }
    }
  }
}

std::vector<int64_t> Identity(int64_t m) {
  std::vector<int64_t> map(static_cast<std::size_t>(m));
  std::iota(map.begin(), map.end(), 0);
  return map;
}

TEST(PackedRowsTest, PacksConvertsAndPads) {
  for (const auto& [dtype, packed] : {std::pair(DType::kF32, DType::kF32), std::pair(DType::kF16, DType::kF32),
                                      std::pair(DType::kBF16, DType::kF32), std::pair(DType::kBF16, DType::kBF16)}) {
    for (const int64_t k : {1, 8, 13, 64, 512, 515, 1030, 2050}) {
      const TestMatrix a = Numbered(dtype, 70, k);
      const KChunks chunks = ChunksFor(k, packed);
      AlignedBuffer memory;
      auto rows = PackedRows::Create(a.view(), {}, chunks, 66, memory);
      ASSERT_TRUE(rows.ok()) << rows.status();
      EXPECT_EQ(memory.size(), 70 * chunks.packed_row() * SizeOf(packed));
      EXPECT_EQ((*rows)->rows(0), 66);
      EXPECT_EQ((*rows)->rows(1), 4);
      CheckPanel((*rows)->Get(1), a, Identity(70), chunks, 66, 4);
      CheckPanel((*rows)->Get(0), a, Identity(70), chunks, 0, 66);
      CheckPanel((*rows)->Get(1), a, Identity(70), chunks, 66, 4);
    }
  }
}

TEST(PackedRowsTest, TakesRowsInTheOrderOfTheMap) {
  const TestMatrix a = Numbered(DType::kF32, 40, 24);
  std::vector<int64_t> map = Identity(40);
  std::shuffle(map.begin(), map.end(), std::mt19937(5));
  const KChunks chunks(24, DType::kF32);
  AlignedBuffer memory;
  auto rows = PackedRows::Create(a.view(), map, chunks, 16, memory);
  ASSERT_TRUE(rows.ok());
  CheckPanel((*rows)->Get(0), a, map, chunks, 0, 16);
  CheckPanel((*rows)->Get(2), a, map, chunks, 32, 8);
}

TEST(PackedRowsTest, APanelIsPackedOnce) {
  TestMatrix a = Numbered(DType::kF32, 8, 8);
  AlignedBuffer memory;
  auto rows = PackedRows::Create(a.view(), {}, KChunks(8, DType::kF32), 8, memory);
  ASSERT_TRUE(rows.ok());
  const std::byte* panel = (*rows)->Get(0);
  const TestMatrix before = a;
  a.Set(0, 0, 1000.0f);
  EXPECT_EQ((*rows)->Get(0), panel);
  CheckPanel(panel, before, Identity(8), KChunks(8, DType::kF32), 0, 8);
}

TEST(PackedRowsTest, KeepsMemoryThatIsLargeEnough) {
  const TestMatrix a = Numbered(DType::kF32, 8, 8);
  AlignedBuffer memory = *AlignedBuffer::Allocate(1 << 20);
  const std::byte* data = memory.data();
  ASSERT_TRUE(PackedRows::Create(a.view(), {}, KChunks(8, DType::kF32), 8, memory).ok());
  EXPECT_EQ(memory.data(), data);
  EXPECT_EQ(memory.size(), 1 << 20);
}

// Whoever asks first, all see whole panels.
TEST(PackedRowsTest, ThreadsPackTogether) {
  const TestMatrix a = Numbered(DType::kBF16, 60, 3000);
  const KChunks chunks = ChunksFor(3000, DType::kF32);
  for (int round = 0; round < 20; ++round) {
    AlignedBuffer memory;
    auto rows = PackedRows::Create(a.view(), {}, chunks, 20, memory);
    ASSERT_TRUE(rows.ok());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int64_t i = 0; i < 3; ++i) CheckPanel((*rows)->Get(i), a, Identity(60), chunks, 20 * i, 20);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(PackedRowsTest, RefusesWhatDoesNotFitIntoMemory) {
  std::byte data[16] = {};
  AlignedBuffer memory;
  const int64_t m = int64_t{1} << 45;
  const ConstMatrix a{data, m, 1, 1, DType::kF32};
  EXPECT_EQ(PackedRows::Create(a, {}, KChunks(8, DType::kF32), m, memory).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(PackedRows::Bytes(m, KChunks(int64_t{1} << 40, DType::kF32)), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(PackedRows::Create(a, {}, KChunks(int64_t{1} << 40, DType::kF32), m, memory).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bwrt::kernels
