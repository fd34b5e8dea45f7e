#include "kernels/row_panels.h"

#include <gtest/gtest.h>

#include <limits>

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

void CheckPanel(const RowPanels& panels, const TestMatrix& a, const KChunks& chunks, const float* panel, int64_t row0,
                int64_t rows, int64_t padding) {
  for (int64_t c = 0; c < chunks.count(); ++c) {
    const int64_t stride = KChunks::RowStride(chunks.length(c));
    for (int64_t i = 0; i < rows + padding; ++i) {
      for (int64_t j = 0; j < chunks.length(c); ++j) {
        const int64_t k = chunks.begin(c) + j;
        const float want = i < rows && k < a.cols() ? a.Get(row0 + i, k) : 0.0f;
        ASSERT_EQ(panel[panels.ChunkOffset(c) + i * stride + j], want) << row0 + i << ", " << k;
      }
    }
  }
}

TEST(RowPanelsTest, PacksConvertsAndPads) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t k : {1, 8, 13, 64, 512, 515, 1030}) {
      const TestMatrix a = Numbered(dtype, 70, k);
      const KChunks chunks((k + 7) / 8 * 8);
      auto panels = RowPanels::Create(a.view(), chunks, 66, 0);
      ASSERT_TRUE(panels.ok()) << panels.status();
      EXPECT_EQ(panels->rows_capacity(), 128);
      CheckPanel(*panels, a, chunks, panels->Get(0, 66, 62), 0, 66, 62);
      CheckPanel(*panels, a, chunks, panels->Get(66, 4, 3), 66, 4, 3);
      CheckPanel(*panels, a, chunks, panels->Get(0, 66, 0), 0, 66, 0);
    }
  }
}

TEST(RowPanelsTest, KeepsPanelsAsFarAsTheyFit) {
  const TestMatrix a = Numbered(DType::kF32, 40, 24);
  const KChunks chunks(24);
  const int64_t panel_bytes = 10 * chunks.packed_row() * 4;
  EXPECT_EQ(RowPanels::Create(a.view(), chunks, 10, 0)->slots(), 1);
  EXPECT_EQ(RowPanels::Create(a.view(), chunks, 10, 3 * panel_bytes)->slots(), 3);
  EXPECT_EQ(RowPanels::Create(a.view(), chunks, 10, 100 * panel_bytes)->slots(), 4);

  auto panels = RowPanels::Create(a.view(), chunks, 10, 3 * panel_bytes);
  const float* first = panels->Get(0, 10, 0);
  const float* second = panels->Get(10, 10, 0);
  EXPECT_NE(first, second);
  EXPECT_EQ(panels->Get(0, 10, 0), first);
  CheckPanel(*panels, a, chunks, first, 0, 10, 0);
  CheckPanel(*panels, a, chunks, second, 10, 10, 0);
  EXPECT_EQ(panels->Get(30, 10, 0),
            first);  // Three slots: tile row 3 takes the place of tile row 0.
  CheckPanel(*panels, a, chunks, first, 30, 10, 0);
  CheckPanel(*panels, a, chunks, panels->Get(0, 10, 0), 0, 10, 0);
}

TEST(RowPanelsTest, AHitDoesNotReadAAgain) {
  TestMatrix a = Numbered(DType::kF32, 8, 8);
  auto panels = RowPanels::Create(a.view(), KChunks(8), 8, 0);
  ASSERT_TRUE(panels.ok());
  panels->Get(0, 8, 0);
  a.Set(0, 0, 1000.0f);
  EXPECT_EQ(panels->Get(0, 8, 0)[0], 0.0f);
  EXPECT_EQ(panels->Get(0, 4, 4)[0], 1000.0f);  // Another shape is another panel.
}

TEST(RowPanelsTest, SlotsAreBounded) {
  const TestMatrix a = Numbered(DType::kF32, 1000, 1);
  EXPECT_EQ(RowPanels::Create(a.view(), KChunks(8), 1, int64_t{1} << 30)->slots(), RowPanels::kMaxSlots);
}

TEST(RowPanelsTest, RefusesWhatDoesNotFitIntoMemory) {
  std::byte data[16] = {};
  const int64_t rows = int64_t{1} << 45;
  const ConstMatrix a{data, rows, 1, 1, DType::kF32};
  EXPECT_EQ(RowPanels::Create(a, KChunks(8), rows, 0).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RowPanels::Create(a, KChunks(int64_t{1} << 40), rows, 0).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bwrt::kernels
