#include "runtime/cpu_scratch.h"

#include <gtest/gtest.h>

namespace bwrt::runtime {
namespace {

TEST(CpuScratchTest, KeepsWhatIsGivenBack) {
  CpuScratch scratch;
  const kernels::TileScratch* tiles = nullptr;
  const std::byte* rows = nullptr;
  {
    const auto loan = scratch.ForTiles();
    ASSERT_TRUE(loan);
    tiles = &*loan;
    const auto memory = scratch.ForRows();
    ASSERT_TRUE(memory);
    EXPECT_EQ(memory->size(), 0);
    *memory = *kernels::AlignedBuffer::Allocate(1000);
    rows = memory->data();
  }
  EXPECT_EQ(&*scratch.ForTiles(), tiles);
  EXPECT_EQ(scratch.ForRows()->data(), rows);
}

TEST(CpuScratchTest, WhatIsOutIsNotLentAgain) {
  CpuScratch scratch;
  const auto first = scratch.ForTiles();
  const auto second = scratch.ForTiles();
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  EXPECT_NE(&*first, &*second);
}

TEST(CpuScratchTest, LargeMemoryIsFreed) {
  CpuScratch scratch;
  *scratch.ForRows() = *kernels::AlignedBuffer::Allocate(CpuScratch::kKeptRowBytes + 1);
  EXPECT_EQ(scratch.ForRows()->size(), 0);
  *scratch.ForRows() = *kernels::AlignedBuffer::Allocate(CpuScratch::kKeptRowBytes);
  EXPECT_EQ(scratch.ForRows()->size(), CpuScratch::kKeptRowBytes);
}

}  // namespace
}  // namespace bwrt::runtime
