#include "kernels/tile_gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/k_chunks.h"
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
    problem = {
        .m = m, .n = n, .k = k, .a = a.view(), .w = *PackedWeights::Pack(w.view(), transposed), .c = c.mutable_view()};
  }

  void UseBeta(float beta) {
    c.Fill([this] { return normal(random); });
    problem.beta = beta;
  }

  // What rows [row0, row0 + rows) x columns [col0, col0 + cols) of C become, from C's content in
  // `before`; beside it the sum of the terms' magnitudes.
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
  void RunAndCheck(const std::vector<TileRect>& tiles, int64_t max_rows, int64_t max_cols) {
    SCOPED_TRACE(testing::Message() << "m=" << problem.m << " n=" << problem.n << " k=" << problem.k << " in "
                                    << Name(a.dtype()) << " out " << Name(c.dtype()) << " tile " << max_rows << "x"
                                    << max_cols << " alpha " << problem.alpha << " beta " << problem.beta << " "
                                    << Name(problem.activation) << (problem.bias.empty() ? "" : " bias"));
    auto gemm = TileGemm::Create(problem, max_rows, max_cols);
    ASSERT_TRUE(gemm.ok()) << gemm.status();
    const double tolerance = c.dtype() == DType::kF32 ? 1e-6 : c.dtype() == DType::kF16 ? 1e-3 : 8e-3;
    for (const TileRect& tile : tiles) {
      const TestMatrix before = c;
      (*gemm)->Run(tile);
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
  void RunAndCheck(int64_t bm, int64_t bn) { RunAndCheck(Tiles(problem.m, problem.n, bm, bn), bm, bn); }

  std::mt19937 random;
  std::normal_distribution<float> normal;
  TestMatrix a;
  TestMatrix w;
  TestMatrix c;
  std::vector<float> bias;
  bool transposed;
  GemmProblem problem;
};

class TileGemmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (TileGemm::kernel_name() == "none") GTEST_SKIP() << "this CPU has no AVX2";
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
    test.RunAndCheck(tiles, bm, bn);
  }
}

// Rectangles that no tiling gives: their block heights have no kernel of their own.
TEST_F(TileGemmTest, AnyRectangleWithinTheLimits) {
  std::mt19937 random(5);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  Case test(230, 150, 30);
  std::vector<TileRect> tiles;
  for (int i = 0; i < 40; ++i) {
    const int64_t rows = pick(1, 100);
    const int64_t cols = pick(1, 90);
    tiles.push_back({pick(0, 230 - rows), pick(0, 150 - cols), rows, cols});
  }
  test.RunAndCheck(tiles, 100, 90);
}

TEST_F(TileGemmTest, NaNInCDoesNotLeakWithBetaZero) {
  Case test(10, 10, 10);
  test.c.Fill([] { return std::nanf(""); });
  test.RunAndCheck(4, 4);
}

TEST_F(TileGemmTest, NaNInOneRowOfAStaysInThatRow) {
  Case test(70, 20, 13);
  test.a.Set(69, 12, std::nanf(""));
  auto gemm = TileGemm::Create(test.problem, 70, 20);
  ASSERT_TRUE(gemm.ok());
  (*gemm)->Run({0, 0, 70, 20});
  (*gemm)->Run({0, 0, 3, 20});  // Padding rows are not what the tile before has left there.
  for (int64_t i = 0; i < 70; ++i) ASSERT_EQ(std::isnan(test.c.Get(i, 7)), i == 69) << i;
}

TEST_F(TileGemmTest, TheOrderOfTilesDoesNotMatter) {
  Case forwards(150, 200, 600, DType::kBF16);
  Case shuffled(150, 200, 600, DType::kBF16);
  std::vector<TileRect> tiles = Tiles(150, 200, 48, 80);
  auto gemm = TileGemm::Create(forwards.problem, 48, 80);
  for (const TileRect& tile : tiles) (*gemm)->Run(tile);
  std::shuffle(tiles.begin(), tiles.end(), std::mt19937(8));
  gemm = TileGemm::Create(shuffled.problem, 48, 80);
  for (const TileRect& tile : tiles) (*gemm)->Run(tile);
  EXPECT_EQ(forwards.c.bytes(), shuffled.c.bytes());
}

// Each with its own TileGemm, sharing the packed weights and writing to the same C; they make the
// same kernels at the same time.
TEST_F(TileGemmTest, TwoThreadsShareAWave) {
  Case alone(180, 210, 1000);
  Case shared(180, 210, 1000);
  const std::vector<TileRect> tiles = Tiles(180, 210, 44, 52);
  auto gemm = TileGemm::Create(alone.problem, 44, 52);
  ASSERT_TRUE(gemm.ok());
  for (const TileRect& tile : tiles) (*gemm)->Run(tile);

  const auto work = [&](std::size_t first) {
    auto mine = TileGemm::Create(shared.problem, 44, 52);
    if (!mine.ok()) return;
    for (std::size_t i = first; i < tiles.size(); i += 2) (*mine)->Run(tiles[i]);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_EQ(alone.c.bytes(), shared.c.bytes());
}

// A process that makes a kernel for the first time does so safely from several threads.
TEST_F(TileGemmTest, ThreadsMakeKernelsAtTheSameTime) {
  std::vector<std::thread> threads;
  std::atomic<int> made{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&made] {
      for (int64_t k = 8; k <= 128; k += 8) {
        for (int64_t rows = 1; rows <= 16; ++rows) {
          if (MicroKernels::Create(KChunks(k), {rows}).ok()) ++made;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 4 * 16 * 16);
}

TEST_F(TileGemmTest, KernelTimeGrows) {
  Case test(64, 64, 512);
  auto gemm = TileGemm::Create(test.problem, 64, 64);
  ASSERT_TRUE(gemm.ok());
  EXPECT_EQ((*gemm)->kernel_time().count(), 0);
  (*gemm)->Run({0, 0, 64, 64});
  EXPECT_GT((*gemm)->kernel_time().count(), 0);
}

TEST_F(TileGemmTest, RefusesWhatIsNotAProblem) {
  Case test(4, 4, 4);
  EXPECT_EQ(TileGemm::Create(test.problem, 0, 4).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TileGemm::Create(test.problem, 4, -1).status().code(), absl::StatusCode::kInvalidArgument);
  test.problem.k = 5;
  EXPECT_EQ(TileGemm::Create(test.problem, 4, 4).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TileGemmTest, ATileOutsideCEndsTheProcess) {
  Case test(10, 10, 4);
  auto gemm = TileGemm::Create(test.problem, 4, 4);
  ASSERT_TRUE(gemm.ok());
  EXPECT_DEATH((*gemm)->Run({8, 0, 4, 4}), "not inside C");
  EXPECT_DEATH((*gemm)->Run({0, 0, 4, 5}), "not inside C");
  EXPECT_DEATH((*gemm)->Run({-1, 0, 4, 4}), "not inside C");
  EXPECT_DEATH((*gemm)->Run({0, 0, 0, 4}), "not inside C");
}

TEST(TileGemmNamesTest, NamesWhatLibxsmmMayUse) {
  const char* target = std::getenv("LIBXSMM_TARGET");
  const std::string_view name = TileGemm::kernel_name();
  if (target != nullptr && std::string_view(target) == "hsw") {
    EXPECT_TRUE(name == "libxsmm_f32_avx2" || name == "none") << name;
  } else {
    EXPECT_TRUE(name == "libxsmm_f32_avx512" || name == "libxsmm_f32_avx2" || name == "none") << name;
  }
}

TEST(TileGemmNamesTest, KStep) {
  EXPECT_EQ(TileGemm::k_step(1), 8);
  EXPECT_EQ(TileGemm::k_step(64), 64);
  EXPECT_EQ(TileGemm::k_step(65), 72);
  EXPECT_EQ(TileGemm::k_step(511), 512);
  EXPECT_EQ(TileGemm::k_step(4096), KChunks::kMaxLength);
}

}  // namespace
}  // namespace bwrt::kernels
