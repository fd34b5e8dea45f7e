// What the Hopper kernel decides on the host, and the arithmetic that host and device share.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/wgmma_address_cuda.h"
#include "kernels/cuda/wgmma_gemm_cuda.h"
#include "kernels/cuda/wgmma_shape_cuda.h"

namespace bwrt::kernels {
namespace {

using ::testing::HasSubstr;

constexpr int kSms = 132;

WgmmaProblem Problem(int32_t bm = 128, int32_t bn = 128, int32_t bk = 64) {
  WgmmaProblem p;
  p.m = 4096;
  p.n = 4096;
  p.k = 4096;
  p.dtype = p.c_dtype = kWgmmaBF16;
  p.lda = p.ldw = p.ldc = 4096;
  p.bm = bm;
  p.bn = bn;
  p.bk = bk;
  p.cluster_x = 2;
  return p;
}

// ---- shared memory

TEST(WgmmaSharedTest, AsManyStagesAsFit) {
  const auto most = [](int32_t bm, int32_t bn, int32_t bk) {
    return MostStagesOf(ChooseWgmma(Problem(bm, bn, bk), kSms).kernel);
  };
  EXPECT_EQ(most(128, 128, 64), 6);
  EXPECT_EQ(most(128, 256, 64), 4);
  EXPECT_EQ(most(256, 128, 64), 4);
  EXPECT_EQ(most(128, 128, 128), 3);
}

TEST(WgmmaSharedTest, EveryKernelFitsWithTwoStages) {
  for (const WgmmaKernel& kernel : AllWgmmaKernels()) {
    SCOPED_TRACE(NameOf(kernel));
    const int32_t most = MostStagesOf(kernel);
    EXPECT_GE(most, 2);
    EXPECT_LE(SharedBytesOf(kernel, most), kSharedBytes);
    if (most < kMaxStages) {
      EXPECT_GT(SharedBytesOf(kernel, most + 1), kSharedBytes);
    }
    EXPECT_EQ(StageBytesOf(kernel) % kSharedAlign, 0);
  }
}

TEST(WgmmaSharedTest, TheHostKnowsWhatTheShapesAre) {
  using Tile = WgmmaShape<kWgmmaBF16, 128, 256, 1, false, true, false>;
  using Skinny = WgmmaShape<kWgmmaE4M3, 128, 16, 2, false, false, true>;
  const WgmmaKernel tile{kWgmmaBF16, kWgmmaF32, false, false, 128, 256, 1};
  const WgmmaKernel skinny{kWgmmaE4M3, kWgmmaF32, true, true, 128, 16, 2};
  EXPECT_EQ(StageBytesOf(tile), Tile::kStageBytes);
  EXPECT_EQ(StepOf(tile), Tile::kStep);
  EXPECT_EQ(MostStagesOf(tile), MostStages(Tile::kStageBytes, Tile::kPiecesBytes));
  EXPECT_EQ(StageBytesOf(skinny), Skinny::kStageBytes);
  EXPECT_EQ(StepOf(skinny), Skinny::kStep);
  EXPECT_EQ(MostStagesOf(skinny), MostStages(Skinny::kStageBytes, Skinny::kPiecesBytes));
}

// ---- addresses

TEST(WgmmaAddressTest, TheSwizzleExchangesPiecesOfALineByItsNumber) {
  EXPECT_EQ(Swizzled(0), 0u);
  EXPECT_EQ(Swizzled(128 + 0), 128u + 16) << "line 1: piece 0 is where 1 would be";
  EXPECT_EQ(Swizzled(128 + 16 + 5), 128u + 5);
  EXPECT_EQ(Swizzled(7 * 128 + 3 * 16), 7u * 128 + 4 * 16);
  EXPECT_EQ(Swizzled(8 * 128 + 3 * 16), 8u * 128 + 3 * 16) << "every 8 lines again";
  std::set<uint32_t> all;
  for (uint32_t i = 0; i < 4096; ++i) all.insert(Swizzled(i));
  EXPECT_EQ(all.size(), 4096u);
  EXPECT_EQ(*all.rbegin(), 4095u);
}

TEST(WgmmaAddressTest, DescriptorsHaveTheIsasFields) {
  // 128 rows, K-major, row 64, second slab, third step: 16384 + 64 * 128 + 2 * 32.
  EXPECT_EQ(KMajorDescriptor(0x1000, 128, 64, 1, 2),
            uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{1} << 16 | (0x1000u + 16384 + 8192 + 64) / 16);
  // MN-major of 64 deep slabs: the next 64 rows are 8192 bytes on, the next 8 of K 1024.
  EXPECT_EQ(MnMajorDescriptor(0x2000, 64, 0, 0, 1),
            uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{8192 / 16} << 16 | (0x2000u + 2048) / 16);
  EXPECT_EQ(WgmmaDescriptor(0x7fff0, 16, 16) & 0x3fff, 0x3fffu) << "18 bits of an address count";
}

template <typename Shape>
void CheckFragments() {
  // Every element of the tile is held by exactly one register, and by the one that the ISA says.
  std::vector<int> held(size_t{Shape::kRows} * Shape::kCols);
  std::vector<int> stored(held.size());
  constexpr int kPerBlock = Shape::kAccumulators / Shape::kPieceRegisters;
  constexpr size_t kWidth = Shape::kSwapped ? Shape::kRows : Shape::kCols;  // Of C.
  const auto index = [](int row, int col) { return static_cast<size_t>(row) * kWidth + static_cast<size_t>(col); };
  for (int group = 0; group < kWgmmaConsumers; ++group) {
    for (int thread = 0; thread < 128; ++thread) {
      const int warp = thread / 32;
      for (int piece = 0; piece < Shape::kPieces; ++piece) {
        const TilePosition origin = PieceOrigin<Shape>(group, warp, piece);
        for (int i = 0; i < Shape::kPieceRegisters; ++i) {
          const TilePosition at = PiecePosition<Shape>(thread % 32, i);
          ASSERT_LT(at.row, 16);
          ASSERT_LT(at.col, Shape::kPieceCols);
          ++held[index(origin.row + at.row, origin.col + at.col)];
          const TilePosition fragment = FragmentPosition(thread, piece % kPerBlock * Shape::kPieceRegisters + i);
          const int x = group * (Shape::kRows / 2) + piece / kPerBlock * 64 + fragment.row;
          ASSERT_EQ(Shape::kSwapped ? origin.col + at.col : origin.row + at.row, x);
          ASSERT_EQ(Shape::kSwapped ? origin.row + at.row : origin.col + at.col, fragment.col);
        }
        for (int pass = 0; pass < kStorePasses<Shape>; ++pass) {
          const TilePosition from = StorePosition<Shape>(thread % 32, pass);
          for (int i = 0; i < 4; ++i) {
            ++stored[index(origin.row + from.row, origin.col + from.col + i)];
          }
        }
      }
    }
  }
  for (const int count : held) ASSERT_EQ(count, 1);
  for (const int count : stored) ASSERT_EQ(count, 1);
}

TEST(WgmmaAddressTest, EveryElementIsHeldAndStoredOnce) {
  CheckFragments<WgmmaShape<kWgmmaBF16, 128, 128, 1, false, false, false>>();
  CheckFragments<WgmmaShape<kWgmmaBF16, 128, 256, 1, false, false, false>>();
  CheckFragments<WgmmaShape<kWgmmaBF16, 256, 128, 1, false, false, false>>();
  CheckFragments<WgmmaShape<kWgmmaBF16, 128, 128, 2, false, false, false>>();
  CheckFragments<WgmmaShape<kWgmmaBF16, 128, 16, 2, false, false, true>>();
  CheckFragments<WgmmaShape<kWgmmaBF16, 128, 64, 2, false, false, true>>();
}

TEST(WgmmaAddressTest, TheFragmentIsTheIsasFigure) {
  // Figure "WGMMA .m64nNk16 register fragment layout for accumulator": thread 5 holds row 1, columns 2 and 3, ...
  const auto at = [](int thread, int i) {
    const TilePosition p = FragmentPosition(thread, i);
    return std::pair(p.row, p.col);
  };
  EXPECT_EQ(at(0, 0), std::pair(0, 0));
  EXPECT_EQ(at(5, 1), std::pair(1, 3));
  EXPECT_EQ(at(5, 2), std::pair(9, 2));
  EXPECT_EQ(at(5, 4), std::pair(1, 10));
  EXPECT_EQ(at(127, 127), std::pair(63, 255));
}

// ---- which works there are

WgmmaOrder Order(std::vector<uint32_t>& tiles) {
  WgmmaOrder order;
  order.tiles = tiles.data();
  order.count = static_cast<int32_t>(tiles.size());
  order.bm = 128;
  order.bn = 256;
  order.k_steps = 7;
  return order;
}

TEST(WgmmaWorkTest, PairsShareWhatTheyHaveInCommon) {
  std::vector<uint32_t> tiles = {0x00000, 0x10000, 0x20001, 0x20005, 0x30000, 0x40001, 0x50002};
  WgmmaOrder order = Order(tiles);
  order.cluster = 2;
  ASSERT_EQ(WorkCount(order), 4);
  EXPECT_EQ(WorkOf(order, 0, 0).multicast, Multicast::kY) << "one column: W is shared";
  EXPECT_EQ(WorkOf(order, 1, 1).multicast, Multicast::kX) << "one row: A is shared";
  EXPECT_EQ(WorkOf(order, 2, 0).multicast, Multicast::kNone);
  EXPECT_EQ(WorkOf(order, 2, 1).x, 4 * 128);
  EXPECT_EQ(WorkOf(order, 2, 1).y, 256);
  const WgmmaWork first = WorkOf(order, 3, 0);
  const WgmmaWork second = WorkOf(order, 3, 1);
  EXPECT_TRUE(first.stores);
  EXPECT_FALSE(second.stores) << "the last one has no partner";
  EXPECT_EQ(first.x, second.x);
  EXPECT_EQ(first.y, second.y);
}

TEST(WgmmaWorkTest, BothBlocksOfAClusterDoAsMuch) {
  std::mt19937 random(3);
  std::vector<uint32_t> tiles(101);
  for (uint32_t& tile : tiles) tile = (random() % 9) << 16 | random() % 9;
  WgmmaOrder order = Order(tiles);
  order.cluster = 2;
  for (int32_t i = 0; i < WorkCount(order); ++i) {
    const WgmmaWork a = WorkOf(order, i, 0);
    const WgmmaWork b = WorkOf(order, i, 1);
    EXPECT_EQ(a.k_steps, b.k_steps);
    EXPECT_EQ(a.multicast, b.multicast);
    EXPECT_EQ(a.valid, b.valid);
    if (a.multicast == Multicast::kX) {
      EXPECT_EQ(a.x, b.x);
    }
    if (a.multicast == Multicast::kY) {
      EXPECT_EQ(a.y, b.y);
    }
  }
}

TEST(WgmmaWorkTest, EntriesComeInTheTablesOrder) {
  std::vector<uint32_t> tiles = {0x20001, 0x00000, 0x10002};
  WgmmaOrder order = Order(tiles);
  order.first = 1;
  order.count = 2;
  EXPECT_EQ(WorkOf(order, 0, 0).x, 0);
  EXPECT_EQ(WorkOf(order, 1, 0).y, 512);
}

TEST(WgmmaWorkTest, GroupsInClosedForm) {
  WgmmaOrder order;
  order.grid_rows = 5;
  order.grid_cols = 3;
  order.group = 2;
  order.count = 15;
  std::vector<std::pair<int, int>> got;
  for (int i = 0; i < 15; ++i) got.emplace_back(EntryOf(order, i).m, EntryOf(order, i).n);
  std::vector<std::pair<int, int>> expected;
  for (int top = 0; top < 5; top += 2) {
    for (int n = 0; n < 3; ++n) {
      for (int m = top; m < std::min(top + 2, 5); ++m) expected.emplace_back(m, n);
    }
  }
  EXPECT_EQ(got, expected);
  order.group = 0;
  EXPECT_EQ(EntryOf(order, 7).m, 2);
  EXPECT_EQ(EntryOf(order, 7).n, 1);
}

TEST(WgmmaWorkTest, SplitsCoverKOnce) {
  for (int32_t steps = 1; steps < 40; ++steps) {
    for (int32_t splits = 1; splits <= steps; ++splits) {
      WgmmaOrder order;
      order.count = 1;
      order.swapped = true;
      order.bn = 128;
      order.x_rows = 128;
      order.k_steps = steps;
      order.splits = splits;
      ASSERT_EQ(WorkCount(order), splits);
      int32_t next = 0;
      for (int32_t i = 0; i < splits; ++i) {
        const WgmmaWork work = WorkOf(order, i, 0);
        ASSERT_EQ(work.k_first, next);
        ASSERT_GT(work.k_steps, 0);
        ASSERT_EQ(work.split, i);
        next += work.k_steps;
      }
      ASSERT_EQ(next, steps);
    }
  }
}

// ---- the choice

TEST(WgmmaChoiceTest, EachTileOfTheDefaultWhitelist) {
  for (const auto& [bm, bn, bk] :
       std::vector<std::array<int32_t, 3>>{{128, 128, 64}, {128, 256, 64}, {256, 128, 64}, {128, 128, 128}}) {
    const WgmmaChoice choice = ChooseWgmma(Problem(bm, bn, bk), kSms);
    ASSERT_TRUE(choice.supported()) << choice.reason;
    EXPECT_EQ(choice.kernel.rows, bm);
    EXPECT_EQ(choice.kernel.cols, bn);
    EXPECT_EQ(StepOf(choice.kernel), bk);
    EXPECT_EQ(choice.stages, 2);
    EXPECT_EQ(choice.cluster, 2);
    EXPECT_FALSE(choice.kernel.swapped);
  }
}

TEST(WgmmaChoiceTest, StagesAsAskedUpToWhatFits) {
  WgmmaProblem p = Problem();
  p.stages = 5;
  EXPECT_EQ(ChooseWgmma(p, kSms).stages, 5);
  p.stages = 8;
  EXPECT_EQ(ChooseWgmma(p, kSms).stages, 6);
  p.stages = 1;
  EXPECT_EQ(ChooseWgmma(p, kSms).stages, 2);
}

TEST(WgmmaChoiceTest, Fp8TakesASlabAStep) {
  WgmmaProblem p = Problem();
  p.dtype = kWgmmaE4M3;
  p.w_transposed = true;
  const WgmmaChoice choice = ChooseWgmma(p, kSms);
  ASSERT_TRUE(choice.supported()) << choice.reason;
  EXPECT_EQ(StepOf(choice.kernel), 128);
  EXPECT_EQ(choice.kernel.slabs, 1);
}

TEST(WgmmaChoiceTest, SaysWhyNot) {
  const auto why = [](void (*change)(WgmmaProblem&)) {
    WgmmaProblem p = Problem();
    change(p);
    return std::string(ChooseWgmma(p, kSms).reason);
  };
  EXPECT_THAT(why([](auto& p) { p.dtype = p.c_dtype = kWgmmaF32; }), HasSubstr("not f32"));
  EXPECT_THAT(why([](auto& p) { p.c_dtype = kWgmmaF16; }), HasSubstr("no C of this type"));
  EXPECT_THAT(why([](auto& p) { p.dtype = kWgmmaE5M2; }), HasSubstr("[N, K]"));
  EXPECT_THAT(why([](auto& p) { p.lda = 4097; }), HasSubstr("rows of A"));
  EXPECT_THAT(why([](auto& p) { p.ldw = 4098; }), HasSubstr("rows of W"));
  EXPECT_THAT(why([](auto& p) { p.ldc = 4100; }), HasSubstr("rows of C"));
  EXPECT_THAT(why([](auto& p) { p.k = int64_t{1} << 31; }), HasSubstr("too large"));
  EXPECT_THAT(why([](auto& p) { p.bn = 64; }), HasSubstr("no such tile"));
  EXPECT_THAT(why([](auto& p) { p.cluster_y = 2; }), HasSubstr("clusters"));
  EXPECT_EQ(why([](auto& p) { p.cluster_x = 1; }), "");
}

TEST(WgmmaChoiceTest, FewRowsRunSwapped) {
  WgmmaProblem p = Problem();
  for (const int m : {1, 16, 17, 64}) {
    p.m = m;
    const WgmmaChoice choice = ChooseWgmma(p, kSms);
    ASSERT_TRUE(choice.supported());
    EXPECT_TRUE(choice.kernel.swapped);
    EXPECT_EQ(choice.kernel.cols, m <= 16 ? 16 : 64);
    EXPECT_EQ(choice.cluster, 1);
    EXPECT_GT(choice.splits, 1);
  }
  p.m = 65;
  EXPECT_FALSE(ChooseWgmma(p, kSms).kernel.swapped);
}

TEST(WgmmaChoiceTest, SplitsKeepMultiprocessorsAtWork) {
  EXPECT_EQ(SkinnySplits(64, 64, 132), 2) << "128 of 132, half of K each";
  EXPECT_EQ(SkinnySplits(1, 1, 132), 1) << "no part without a step";
  EXPECT_EQ(SkinnySplits(1000, 64, 132), 1);
  EXPECT_GT(SkinnySplits(8, 64, 132), 8);
  for (int tiles = 1; tiles < 300; tiles += 7) {
    for (int steps = 1; steps < 100; steps += 9) {
      const int splits = SkinnySplits(tiles, steps, 132);
      EXPECT_GE(splits, 1);
      EXPECT_LE(splits, steps);
    }
  }
}

TEST(WgmmaChoiceTest, NamesAreOfOneKernelEach) {
  std::map<std::string, int> names;
  for (const WgmmaKernel& kernel : AllWgmmaKernels()) ++names[NameOf(kernel)];
  for (const auto& [name, count] : names) EXPECT_EQ(count, 2) << name << ": two types of C";
  EXPECT_EQ(names.count("bwrt_wgmma_bf16_128x256x64_kn"), 1u);
  EXPECT_EQ(names.count("bwrt_skinny_f16_16_nk"), 1u);
  EXPECT_EQ(names.count("bwrt_wgmma_f8_e4m3_128x128x128_nk"), 1u);
}

TEST(WgmmaChoiceTest, WhateverIsChosenIsAmongAllKernels) {
  const std::vector<WgmmaKernel> all = AllWgmmaKernels();
  for (const int32_t dtype : {kWgmmaF16, kWgmmaBF16, kWgmmaE4M3, kWgmmaE5M2}) {
    for (const int64_t m : {5, 40, 700}) {
      for (const int32_t bk : {64, 128}) {
        for (const bool wide : {false, true}) {
          WgmmaProblem p = Problem(128, 128, bk);
          p.m = m;
          p.dtype = dtype;
          p.c_dtype = wide ? kWgmmaF32 : dtype > kWgmmaBF16 ? kWgmmaBF16 : dtype;
          p.w_transposed = true;
          const WgmmaChoice choice = ChooseWgmma(p, kSms);
          ASSERT_TRUE(choice.supported()) << choice.reason;
          EXPECT_THAT(all, ::testing::Contains(choice.kernel)) << NameOf(choice.kernel);
        }
      }
    }
  }
}

// ---- TMA's view

TEST(WgmmaMapTest, BoxesAreOneSwizzleWideAndWithinTmasLimits) {
  for (const WgmmaKernel& kernel : AllWgmmaKernels()) {
    for (const int32_t cluster : {1, 2}) {
      if (kernel.swapped && cluster == 2) continue;
      SCOPED_TRACE(NameOf(kernel));
      WgmmaGemm gemm;
      gemm.m = 1000;
      gemm.n = 520;
      gemm.k = 776;
      gemm.lda = 784;
      gemm.ldw = kernel.w_transposed ? 784 : 528;
      gemm.kernel = kernel;
      gemm.cluster = cluster;
      const auto maps = MapsOf(gemm);
      const uint64_t bytes = kernel.dtype >= kWgmmaE4M3 ? 1 : 2;
      for (const WgmmaMap& map : maps) {
        EXPECT_EQ(map.box_inner * bytes, 128u);
        EXPECT_LE(map.box_outer, 256u);
        EXPECT_EQ(map.pitch % 16, 0u);
      }
      const WgmmaMap& a = maps[kernel.swapped ? 1 : 0];
      const WgmmaMap& w = maps[kernel.swapped ? 0 : 1];
      EXPECT_EQ(a.inner, 776u);
      EXPECT_EQ(a.outer, 1000u);
      EXPECT_EQ(w.inner, kernel.w_transposed ? 776u : 520u);
      EXPECT_EQ(w.outer, kernel.w_transposed ? 520u : 776u);
    }
  }
}

// ---- what was counted

TEST(WgmmaRatiosTest, OfWhatTheBlocksCounted) {
  const WgmmaKernel kernel{kWgmmaBF16, kWgmmaBF16, true, false, 128, 128, 1};
  // 128 * 128 * 64 multiply-adds are 512 cycles. One block worked half of its time, and one multiprocessor had none.
  const std::vector<WgmmaCounts> counts = {{10240, 10, 15, 1024}, {}};
  const WgmmaRatios ratios = RatiosOf(counts, 2, kernel, 2);
  EXPECT_FLOAT_EQ(ratios.wgmma_active, 0.25f);
  EXPECT_FLOAT_EQ(ratios.tma_occ, 0.9f);
  EXPECT_FLOAT_EQ(ratios.ring_occ, 0.75f);
}

TEST(WgmmaRatiosTest, NothingCountedIsNoRatio) {
  const WgmmaKernel kernel{kWgmmaBF16, kWgmmaBF16, true, false, 128, 128, 1};
  for (const auto& counts : {std::vector<WgmmaCounts>{}, std::vector<WgmmaCounts>(4)}) {
    const WgmmaRatios ratios = RatiosOf(counts, 2, kernel, 2);
    EXPECT_LT(ratios.wgmma_active, 0);
    EXPECT_LT(ratios.tma_occ, 0);
    EXPECT_LT(ratios.ring_occ, 0);
  }
}

TEST(WgmmaRatiosTest, LaunchesOfAWaveAddUp) {
  const WgmmaKernel kernel{kWgmmaBF16, kWgmmaBF16, true, false, 128, 128, 1};
  const std::vector<WgmmaCounts> counts = {{5120, 10, 10, 0}, {1024, 2, 4, 0}};
  EXPECT_FLOAT_EQ(RatiosOf(counts, 1, kernel, 2).wgmma_active, 1.0f);
}

TEST(WgmmaPartialTest, RowsArePaddedToFours) {
  EXPECT_EQ(PartialPitch(5), 8);
  EXPECT_EQ(PartialBytes(3, 5, 1), 0);
  EXPECT_EQ(PartialBytes(3, 5, 2), 2 * 3 * 8 * 4);
}

}  // namespace
}  // namespace bwrt::kernels
