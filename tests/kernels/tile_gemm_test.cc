#include "kernels/tile_gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "kernels/k_chunks.h"
#include "kernels/kernel_dtype.h"
#include "kernels/micro_kernels.h"
#include "tests/kernels/test_matrix.h"

namespace bwrt::kernels {
namespace {

double Reference(Activation activation, double x) {
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

std::vector<TileRect> Tiles(int64_t m, int64_t n, int64_t bm, int64_t bn) {
  std::vector<TileRect> tiles;
  for (int64_t i = 0; i < m; i += bm) {
    for (int64_t j = 0; j < n; j += bn) tiles.push_back({i, j, std::min(bm, m - i), std::min(bn, n - j)});
  }
  return tiles;
}

// A problem with its operands: random values, gaps in every matrix, C poisoned unless beta is set.
struct Case {
  Case(int64_t m, int64_t n, int64_t k, DType in = DType::kF32, DType out = DType::kF32, bool transposed = false,
       uint32_t seed = 1)
      : random(seed),
        a(in, m, k, static_cast<int64_t>(seed % 5)),
        w(transposed ? TestMatrix(in, n, k, 3) : TestMatrix(in, k, n, static_cast<int64_t>(seed % 4))),
        c(out, m, n, static_cast<int64_t>(seed % 7)),
        bias(static_cast<std::size_t>(n)),
        transposed(transposed) {
    a.Fill([this] { return normal(random); });
    w.Fill([this] { return normal(random); });
    for (float& value : bias) value = normal(random);
    problem.m = m;
    problem.n = n;
    problem.k = k;
    problem.a = a.view();
    problem.w = *PackedWeights::Pack(w.view(), transposed);
    problem.c = c.mutable_view();
  }

  void UseBeta(float beta) {
    c.Fill([this] { return normal(random); });
    problem.beta = beta;
  }

  // What element (i, j) of C becomes, from C's content in `before`; beside it the sum of the terms' magnitudes.
  std::pair<double, double> Want(const TestMatrix& before, int64_t i, int64_t j) const {
    double sum = 0;
    double magnitude = 0;
    for (int64_t x = 0; x < problem.k; ++x) {
      const double product = static_cast<double>(a.Get(i, x)) * (transposed ? w.Get(j, x) : w.Get(x, j));
      sum += product;
      magnitude += std::fabs(product);
    }
    sum *= problem.alpha;
    magnitude *= std::fabs(problem.alpha);
    if (problem.beta != 0) {
      sum += static_cast<double>(problem.beta) * before.Get(i, j);
      magnitude += std::fabs(static_cast<double>(problem.beta) * before.Get(i, j));
    }
    if (!problem.bias.empty()) {
      sum += problem.bias[j];
      magnitude += std::fabs(problem.bias[j]);
    }
    return {Reference(problem.activation, sum), magnitude};
  }

  // Runs the tiles and checks each right after it has run: its error, and that nothing else was
  // written.
  void RunAndCheck(const std::vector<TileRect>& tiles, int64_t tile_rows) {
    SCOPED_TRACE(testing::Message() << "m=" << problem.m << " n=" << problem.n << " k=" << problem.k << " in "
                                    << Name(a.dtype()) << " out " << Name(c.dtype()) << " tile rows " << tile_rows
                                    << " alpha " << problem.alpha << " beta " << problem.beta << " "
                                    << Name(problem.activation) << (problem.bias.empty() ? "" : " bias"));
    auto gemm = TileGemm::Create(problem, tile_rows, memory);
    ASSERT_TRUE(gemm.ok()) << gemm.status();
    std::optional<TileScratch> scratch = TileScratch::Create();
    ASSERT_TRUE(scratch);
    const double tolerance = c.dtype() == DType::kF32 ? 1e-6 : c.dtype() == DType::kF16 ? 1e-3 : 8e-3;
    for (const TileRect& tile : tiles) {
      const TestMatrix before = c;
      (*gemm)->Run(tile, *scratch);
      ASSERT_TRUE(c.SameOutside(before, tile.row0, tile.col0, tile.rows, tile.cols));
      double error = 0;
      double norm = 0;
      double magnitudes = 0;
      for (int64_t i = tile.row0; i < tile.row0 + tile.rows; ++i) {
        for (int64_t j = tile.col0; j < tile.col0 + tile.cols; ++j) {
          const auto [want, magnitude] = Want(before, i, j);
          error += (c.Get(i, j) - want) * (c.Get(i, j) - want);
          norm += want * want;
          magnitudes += magnitude * magnitude;
        }
      }
      // The norm of a handful of elements can vanish by cancellation: there, what was added up is
      // the measure.
      const double scale = tile.rows * tile.cols >= 64 ? norm : magnitudes;
      ASSERT_LE(std::sqrt(error), tolerance * std::sqrt(scale))
          << "tile " << tile.row0 << ", " << tile.col0 << ": " << std::sqrt(error / scale);
    }
  }
  void RunAndCheck(int64_t bm, int64_t bn) { RunAndCheck(Tiles(problem.m, problem.n, bm, bn), bm); }

  // All tiles, without checking them.
  void Run(const std::vector<TileRect>& tiles, int64_t tile_rows) {
    auto gemm = TileGemm::Create(problem, tile_rows, memory);
    ASSERT_TRUE(gemm.ok()) << gemm.status();
    std::optional<TileScratch> scratch = TileScratch::Create();
    for (const TileRect& tile : tiles) (*gemm)->Run(tile, *scratch);
  }

  std::mt19937 random;
  std::normal_distribution<float> normal;
  TestMatrix a;
  TestMatrix w;
  TestMatrix c;
  std::vector<float> bias;
  bool transposed;
  GemmProblem problem;
  AlignedBuffer memory;
};

class TileGemmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveKernels()) GTEST_SKIP() << "this CPU has no AVX2";
  }
};

TEST_F(TileGemmTest, SmallestProblem) { Case(1, 1, 1).RunAndCheck(1, 1); }

TEST_F(TileGemmTest, TilesOfEveryKind) {
  Case(2, 2, 2).RunAndCheck(128, 128);  // Smaller than a tile.
  Case(4, 4, 4).RunAndCheck(2, 2);      // Many tiles in a panel.
  Case(128, 128, 64).RunAndCheck(128, 128);
  Case(200, 200, 40).RunAndCheck(128, 96);  // Tiles that begin in the middle of a panel; tails.
  Case(65, 130, 24).RunAndCheck(64, 64);
  Case(300, 70, 16).RunAndCheck(256, 128);  // More rows than a block.
  Case(20, 600, 16).RunAndCheck(16, 400);   // More panels than a block.
  Case(150, 330, 9).RunAndCheck(1000, 1000);
  Case(7, 129, 33).RunAndCheck(3, 65);
  Case(100, 3, 5).RunAndCheck(100, 1);
}

TEST_F(TileGemmTest, ChunksOfK) {
  for (const int64_t k : {8, 504, 511, 512, 513, 520, 1024, 1025, 1540}) Case(10, 70, k).RunAndCheck(8, 64);
}

TEST_F(TileGemmTest, ErrorDoesNotGrowWithK) { Case(8, 64, 20000).RunAndCheck(8, 64); }

TEST_F(TileGemmTest, EveryTypeAndOrientation) {
  uint32_t seed = 10;
  for (const DType in : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool transposed : {false, true}) {
        Case test(70, 90, 45, in, out, transposed, ++seed);
        test.UseBeta(0.5f);
        test.RunAndCheck(64, 48);
      }
    }
  }
}

TEST_F(TileGemmTest, EightBits) {
  uint32_t seed = 30;
  for (const DType in : {DType::kF8E4M3, DType::kF8E5M2}) {
    for (const DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool transposed : {false, true}) {
        Case test(70, 90, 45, in, out, transposed, ++seed);
        test.UseBeta(0.5f);
        test.RunAndCheck(64, 48);
      }
    }
  }
}

TEST_F(TileGemmTest, EveryEpilogue) {
  uint32_t seed = 40;
  for (const Activation activation :
       {Activation::kIdentity, Activation::kRelu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kSilu}) {
    for (const float beta : {0.0f, 1.0f, -0.75f}) {
      for (const bool with_bias : {false, true}) {
        Case test(40, 100, 20, DType::kF32, DType::kF32, false, ++seed);
        if (beta != 0) test.UseBeta(beta);
        test.problem.alpha = seed % 2 == 0 ? 1.0f : -1.5f;
        test.problem.activation = activation;
        if (with_bias) test.problem.bias = test.bias;
        test.RunAndCheck(32, 96);
      }
    }
  }
}

TEST_F(TileGemmTest, ZeroAlphaLeavesBetaAndBias) {
  Case test(5, 6, 7);
  test.UseBeta(2.0f);
  test.problem.alpha = 0;
  test.problem.bias = test.bias;
  test.RunAndCheck(4, 4);
}

TEST_F(TileGemmTest, RandomProblems) {
  std::mt19937 random(99);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
  for (int i = 0; i < 40; ++i) {
    Case test(pick(1, 300), pick(1, 300), pick(1, 100), kTypes[pick(0, 2)], kTypes[pick(0, 2)], pick(0, 1) == 1,
              static_cast<uint32_t>(pick(1, 1000)));
    if (pick(0, 1) == 1) test.UseBeta(static_cast<float>(pick(-2, 2)));
    if (pick(0, 1) == 1) test.problem.bias = test.bias;
    test.problem.alpha = static_cast<float>(pick(1, 3));
    test.problem.activation = static_cast<Activation>(pick(0, 4));
    const int64_t bm = pick(20, 300);
    const int64_t bn = pick(20, 300);
    std::vector<TileRect> tiles = Tiles(test.problem.m, test.problem.n, bm, bn);
    std::shuffle(tiles.begin(), tiles.end(), random);
    test.RunAndCheck(tiles, bm);
  }
}

// Parts of tiles: whole blocks of rows or what is left of them, any columns.
TEST_F(TileGemmTest, PartsOfTiles) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    Case test(430, 150, 32, dtype, dtype);
    const std::vector<TileRect> parts = {{0, 0, 64, 150},   {64, 0, 128, 30},  {64, 30, 136, 120}, {192, 0, 8, 30},
                                         {200, 0, 200, 64}, {328, 64, 72, 86}, {400, 149, 30, 1},  {200, 64, 128, 86}};
    test.RunAndCheck(parts, 200);
  }
}

TEST_F(TileGemmTest, RowsInAnyOrder) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Case plain(150, 70, 48, dtype);
    plain.UseBeta(2.0f);
    Case mapped(150, 70, 48, dtype);
    mapped.UseBeta(2.0f);
    std::vector<int64_t> rows(150);
    std::iota(rows.begin(), rows.end(), 0);
    std::shuffle(rows.begin(), rows.end(), mapped.random);
    mapped.problem.rows = rows;
    plain.Run(Tiles(150, 70, 64, 64), 64);
    // Of the second tile row only: the rows that the map names for it become what they are in the whole product.
    const TestMatrix before = mapped.c;
    mapped.Run({{64, 0, 64, 70}}, 64);
    for (int64_t i = 0; i < 150; ++i) {
      const bool computed = i >= 64 && i < 128;
      for (int64_t j = 0; j < 70; ++j) {
        const int64_t row = rows[static_cast<std::size_t>(i)];
        ASSERT_EQ(mapped.c.Get(row, j), (computed ? plain.c : before).Get(row, j)) << i << ", " << j;
      }
    }
  }
}

// To read A where it lies gives bit for bit what packing it gives.
TEST_F(TileGemmTest, ThePlaceOfADoesNotMatter) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Case in_place(150, 70, 1056, dtype, DType::kF32, false, 7);  // Rows of A lie 1058 elements apart.
    Case packed(150, 70, 1056, dtype, DType::kF32, false, 7);
    std::vector<int64_t> rows(150);
    std::iota(rows.begin(), rows.end(), 0);
    packed.problem.rows = rows;
    in_place.Run(Tiles(150, 70, 100, 64), 100);
    packed.Run(Tiles(150, 70, 100, 64), 100);
    EXPECT_EQ(in_place.c.bytes(), packed.c.bytes());
    EXPECT_GT(packed.memory.size(), 0);
    EXPECT_EQ(in_place.memory.size() == 0, KernelDType(dtype) == dtype);
  }
}

TEST_F(TileGemmTest, SaysWhatMemoryRowsTake) {
  EXPECT_EQ(TileGemm::RowMemory(10, 64, DType::kF32, false), 0);
  EXPECT_EQ(TileGemm::RowMemory(10, 64, DType::kF32, true), 10 * 80 * 4);
  EXPECT_EQ(TileGemm::RowMemory(10, 65, DType::kF32, false), 10 * 72 * 4);
  EXPECT_EQ(TileGemm::RowMemory(10, 72, DType::kF16, false), 10 * 72 * 4);
  EXPECT_EQ(TileGemm::RowMemory(10, 80, DType::kBF16, false),
            KernelDType(DType::kBF16) == DType::kBF16 ? 0 : 10 * 80 * 4);
  EXPECT_EQ(TileGemm::RowMemory(int64_t{1} << 40, int64_t{1} << 40, DType::kF16, false),
            std::numeric_limits<int64_t>::max());
}

TEST_F(TileGemmTest, NaNInCDoesNotLeakWithBetaZero) {
  Case test(10, 10, 10);
  test.c.Fill([] { return std::nanf(""); });
  test.RunAndCheck(4, 4);
}

TEST_F(TileGemmTest, NaNInOneRowOfAStaysInThatRow) {
  for (const int64_t k : {13, 16}) {  // Packed and in place.
    Case test(70, 20, k);
    test.a.Set(69, 12, std::nanf(""));
    test.Run({{0, 0, 70, 20}, {64, 0, 6, 20}}, 70);
    for (int64_t i = 0; i < 70; ++i) ASSERT_EQ(std::isnan(test.c.Get(i, 7)), i == 69) << i;
  }
}

TEST_F(TileGemmTest, TheOrderOfTilesDoesNotMatter) {
  Case forwards(150, 200, 600, DType::kBF16);
  Case shuffled(150, 200, 600, DType::kBF16);
  std::vector<TileRect> tiles = Tiles(150, 200, 48, 80);
  forwards.Run(tiles, 48);
  std::shuffle(tiles.begin(), tiles.end(), std::mt19937(8));
  shuffled.Run(tiles, 48);
  EXPECT_EQ(forwards.c.bytes(), shuffled.c.bytes());
}

TEST_F(TileGemmTest, ThreadsShareAWave) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    Case alone(180, 210, 1000, dtype);
    Case shared(180, 210, 1000, dtype);
    const std::vector<TileRect> tiles = Tiles(180, 210, 44, 52);
    alone.Run(tiles, 44);

    auto gemm = TileGemm::Create(shared.problem, 44, shared.memory);
    ASSERT_TRUE(gemm.ok());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      std::optional<TileScratch> scratch = TileScratch::Create();
      for (std::size_t i = next++; i < tiles.size(); i = next++) (*gemm)->Run(tiles[i], *scratch);
    };
    std::thread other(work);
    work();
    other.join();
    EXPECT_EQ(alone.c.bytes(), shared.c.bytes()) << Name(dtype);
  }
}

// A process that makes a kernel for the first time does so safely from several threads.
TEST_F(TileGemmTest, ThreadsMakeKernelsAtTheSameTime) {
  std::vector<std::thread> threads;
  std::atomic<int> made{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&made] {
      for (int64_t k = 8; k <= 128; k += 8) {
        for (int64_t rows = 1; rows <= 16; ++rows) {
          if (MicroKernels::Create(KChunks(k, DType::kF32), {rows}).ok() &&
              MicroKernels::CreateInPlace(KChunks(k, DType::kF32), {rows}, 128))
            ++made;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 4 * 16 * 16);
}

TEST_F(TileGemmTest, KernelTimeGrows) {
  Case test(64, 64, 512);
  auto gemm = TileGemm::Create(test.problem, 64, test.memory);
  ASSERT_TRUE(gemm.ok());
  std::optional<TileScratch> scratch = TileScratch::Create();
  EXPECT_EQ(scratch->kernel_time().count(), 0);
  (*gemm)->Run({0, 0, 64, 64}, *scratch);
  EXPECT_GT(scratch->kernel_time().count(), 0);
}

TEST_F(TileGemmTest, RefusesWhatIsNotAProblem) {
  Case test(4, 4, 4);
  EXPECT_EQ(TileGemm::Create(test.problem, 0, test.memory).status().code(), absl::StatusCode::kInvalidArgument);
  test.problem.k = 5;
  EXPECT_EQ(TileGemm::Create(test.problem, 4, test.memory).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TileGemmTest, WhatIsNoPartOfATileEndsTheProcess) {
  Case test(200, 10, 4);
  auto gemm = TileGemm::Create(test.problem, 100, test.memory);
  ASSERT_TRUE(gemm.ok());
  std::optional<TileScratch> scratch = TileScratch::Create();
  for (const TileRect& bad : std::vector<TileRect>{{-100, 0, 100, 4},
                                                   {0, -1, 100, 4},
                                                   {0, 0, 0, 4},
                                                   {0, 0, 100, 0},
                                                   {200, 0, 100, 4},
                                                   {100, 0, 101, 4},
                                                   {0, 7, 100, 4},
                                                   {0, 0, 164, 4},    // Into the next tile row.
                                                   {0, 0, 63, 4},     // Neither whole blocks nor down to the end.
                                                   {1, 0, 64, 4}}) {  // Not from the start of a block.
    EXPECT_DEATH((*gemm)->Run(bad, *scratch), "not a part of a tile") << bad.row0 << " " << bad.col0;
  }
}

TEST_F(TileGemmTest, KStep) {
  EXPECT_EQ(TileGemm::k_step(1, DType::kF32), 8);
  EXPECT_EQ(TileGemm::k_step(64, DType::kF32), 64);
  EXPECT_EQ(TileGemm::k_step(65, DType::kF16), 72);
  EXPECT_EQ(TileGemm::k_step(511, DType::kF32), 512);
  EXPECT_EQ(TileGemm::k_step(4096, DType::kF32), 512);
  EXPECT_EQ(TileGemm::k_step(4096, DType::kBF16), KernelDType(DType::kBF16) == DType::kBF16 ? 1024 : 512);
}

}  // namespace
}  // namespace bwrt::kernels
