// The very loops of the Hopper kernel on a simulated cluster, whatever its timing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/wgmma_loops_cuda.h"
#include "kernels/dtype.h"
#include "tests/kernels/cuda/sim_cluster.h"

namespace bwrt::kernels {
namespace {

// A wave of small whole numbers, whose sums are exact, and the C that comes of it.
class LoopsWave {
 public:
  LoopsWave(int64_t m, int64_t n, int64_t k, const WgmmaKernel& kernel, uint32_t seed) {
    const int64_t bytes = kernel.dtype == kWgmmaE4M3 || kernel.dtype == kWgmmaE5M2 ? 1 : 2;
    const auto padded = [&](int64_t cols) { return (cols * bytes + 15) / 16 * 16 / bytes; };
    gemm.m = m;
    gemm.n = n;
    gemm.k = k;
    gemm.kernel = kernel;
    gemm.lda = padded(k);
    gemm.ldw = padded(kernel.w_transposed ? k : n);
    std::mt19937 random(seed);
    const auto fill = [&](std::vector<std::byte>& to, std::vector<float>& values, int64_t rows, int64_t cols,
                          int64_t ld) {
      // What lies between rows must not be read: a NaN.
      to.assign(static_cast<size_t>(rows * ld * bytes), std::byte{0x7f});
      values.resize(static_cast<size_t>(rows * cols));
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t col = 0; col < cols; ++col) {
          const auto value = static_cast<float>(static_cast<int>(random() % 9) - 4);
          values[static_cast<size_t>(row * cols + col)] = value;
          std::byte* const at = to.data() + (row * ld + col) * bytes;
          if (bytes == 1) {
            *at = std::byte{kernel.dtype == kWgmmaE4M3 ? ToF8E4M3(value) : ToF8E5M2(value)};
          } else {
            const uint16_t bits = kernel.dtype == kWgmmaF16 ? ToF16(value) : ToBF16(value);
            std::memcpy(at, &bits, sizeof(bits));
          }
        }
      }
    };
    fill(a_bytes_, a_, m, k, gemm.lda);
    if (kernel.w_transposed) {
      fill(w_bytes_, w_, n, k, gemm.ldw);
    } else {
      fill(w_bytes_, w_, k, n, gemm.ldw);
    }
    gemm.a = a_bytes_.data();
    gemm.w = w_bytes_.data();
    gemm.bm = kernel.swapped ? 128 : kernel.rows;
    gemm.bn = kernel.swapped ? 128 : kernel.cols;
    c.assign(static_cast<size_t>(m * n), 0.0f);
    stored.assign(c.size(), 0);
  }

  int64_t grid_rows() const { return (gemm.m + gemm.bm - 1) / gemm.bm; }
  int64_t grid_cols() const { return (gemm.n + gemm.bn - 1) / gemm.bn; }
  void UseTable(std::vector<uint32_t> tiles) {
    tiles_ = std::move(tiles);
    gemm.tiles = tiles_.data();
    gemm.count = static_cast<int64_t>(tiles_.size());
  }
  void UseGrid() {
    gemm.grid_cols = grid_cols();
    gemm.count = grid_rows() * grid_cols();
  }
  std::vector<uint32_t> AllTiles() const {
    std::vector<uint32_t> all;
    for (int64_t row = 0; row < grid_rows(); ++row) {
      for (int64_t col = 0; col < grid_cols(); ++col) all.push_back(static_cast<uint32_t>(row << 16 | col));
    }
    return all;
  }

  // "" when C is right where tiles are listed, and untouched elsewhere.
  std::string Check() const {
    std::vector<bool> listed(static_cast<size_t>(grid_rows() * grid_cols()), gemm.tiles == nullptr);
    for (const uint32_t tile : tiles_) {
      listed[size_t{tile >> 16} * static_cast<size_t>(grid_cols()) + (tile & 0xffff)] = true;
    }
    std::vector<float> row_sums(static_cast<size_t>(gemm.n));
    for (int64_t row = 0; row < gemm.m; ++row) {
      std::fill(row_sums.begin(), row_sums.end(), 0.0f);
      for (int64_t k = 0; k < gemm.k; ++k) {
        const float a = a_[static_cast<size_t>(row * gemm.k + k)];
        for (int64_t col = 0; col < gemm.n; ++col) {
          const int64_t at = gemm.kernel.w_transposed ? col * gemm.k + k : k * gemm.n + col;
          row_sums[static_cast<size_t>(col)] += a * w_[static_cast<size_t>(at)];
        }
      }
      for (int64_t col = 0; col < gemm.n; ++col) {
        const auto at = static_cast<size_t>(row * gemm.n + col);
        const bool is_listed = listed[static_cast<size_t>(row / gemm.bm * grid_cols() + col / gemm.bn)];
        const std::string where = " at " + std::to_string(row) + "," + std::to_string(col);
        if (stored[at] != (is_listed ? gemm.splits : 0)) return "stored " + std::to_string(stored[at]) + where;
        if (is_listed && c[at] != row_sums[static_cast<size_t>(col)]) {
          return std::to_string(c[at]) + " instead of " + std::to_string(row_sums[static_cast<size_t>(col)]) + where;
        }
      }
    }
    return "";
  }

  WgmmaGemm gemm;
  std::vector<float> c;
  std::vector<int> stored;  // How often.

 private:
  std::vector<std::byte> a_bytes_, w_bytes_;
  std::vector<float> a_, w_;
  std::vector<uint32_t> tiles_;
};

template <typename Shape>
class SimConsumer final : public SimConsumerBase {
 public:
  SimConsumer(SimCluster* cluster, int rank, int group, LoopsWave* wave, SimBug bug)
      : SimConsumerBase(cluster, rank, bug), group_(group), wave_(*wave) {}
  template <int kBlock>
  void Multiply(uint64_t x, uint64_t y, bool add) {
    Queue({kBlock, x, y, add});
  }
  template <int kLeft>
  void WaitGroups() {
    SimConsumerBase::WaitGroups(kLeft);
  }
  // Register by register, as the kernel's threads do.
  void Store(const WgmmaWork& work) {
    if (!work.stores) return;
    constexpr int kPerBlock = Shape::kAccumulators / Shape::kPieceRegisters;
    for (int thread = 0; thread < 128; ++thread) {
      for (int piece = 0; piece < Shape::kPieces; ++piece) {
        const TilePosition origin = PieceOrigin<Shape>(group_, thread / 32, piece);
        for (int i = 0; i < Shape::kPieceRegisters; ++i) {
          const TilePosition held = FragmentPosition(thread, piece % kPerBlock * Shape::kPieceRegisters + i);
          const TilePosition at = PiecePosition<Shape>(thread % 32, i);
          const int64_t row = (Shape::kSwapped ? work.y : work.x) + origin.row + at.row;
          const int64_t col = (Shape::kSwapped ? work.x : work.y) + origin.col + at.col;
          if (row >= wave_.gemm.m || col >= wave_.gemm.n) continue;
          const auto to = static_cast<size_t>(row * wave_.gemm.n + col);
          wave_.c[to] += sums_[piece / kPerBlock][held.row][held.col];
          ++wave_.stored[to];
        }
      }
    }
  }

 private:
  void ComputeProduct(const SimProduct& product) override {
    const SimBlock& block = cluster_.block(rank_);
    const std::vector<float> x = cluster_.Read(block, product.x, kWgmmaRows, Shape::kXMn);
    const std::vector<float> y = cluster_.Read(block, product.y, Shape::kCols, Shape::kYMn);
    constexpr int kDepth = kWgmmaKBytes / Shape::kElementBytes;
    const auto at = [](const std::vector<float>& values, int line, int k) {
      return values[static_cast<size_t>(line) * kDepth + static_cast<size_t>(k)];
    };
    float turned[kDepth][Shape::kCols];
    for (int k = 0; k < kDepth; ++k) {
      for (int col = 0; col < Shape::kCols; ++col) turned[k][col] = at(y, col, k);
    }
    for (int row = 0; row < kWgmmaRows; ++row) {
      float* const sums = sums_[product.block][row];
      if (!product.add) std::fill(sums, sums + Shape::kCols, 0.0f);
      for (int k = 0; k < kDepth; ++k) {
        const float value = at(x, row, k);
        for (int col = 0; col < Shape::kCols; ++col) sums[col] += value * turned[k][col];
      }
    }
  }

  const int group_;
  LoopsWave& wave_;
  float sums_[Shape::kBlocks][kWgmmaRows][Shape::kCols];
};

// All of a wave on `clusters` clusters, one after another. "" or what went wrong.
template <typename Shape>
std::string RunLoops(LoopsWave& wave, SimTimings timings, uint32_t seed, int clusters = 1, SimBug bug = SimBug::kNone) {
  const WgmmaGemm& gemm = wave.gemm;
  const WgmmaOrder order = OrderOf(gemm);
  for (int number = 0; number < clusters; ++number) {
    SimCluster cluster(gemm, timings, seed + static_cast<uint32_t>(number) * 7919);
    std::vector<std::unique_ptr<SimProducer>> producers;
    std::vector<std::unique_ptr<SimConsumer<Shape>>> consumers;
    for (int rank = 0; rank < gemm.cluster; ++rank) {
      const ClusterPlace place{number, clusters, rank};
      producers.push_back(std::make_unique<SimProducer>(&cluster, rank, bug));
      cluster.scheduler().AddAgent(
          "producer " + std::to_string(rank),
          [&order, place, p = producers.back().get(), &gemm] { Produce<Shape>(*p, order, place, gemm.stages); });
      for (int group = 0; group < kWgmmaConsumers; ++group) {
        consumers.push_back(std::make_unique<SimConsumer<Shape>>(&cluster, rank, group, &wave, bug));
        cluster.scheduler().AddAgent("consumer " + std::to_string(rank) + "." + std::to_string(group),
                                     [&order, place, group, c = consumers.back().get(), &gemm] {
                                       Consume<Shape>(*c, order, place, group, gemm.stages);
                                     });
      }
    }
    if (std::string failure = cluster.scheduler().Run(); !failure.empty()) return failure;
  }
  return wave.Check();
}

template <typename Shape>
WgmmaKernel KernelOf() {
  return {Shape::kDType, Shape::kDType, Shape::kSwapped ? !Shape::kXMn : !Shape::kYMn, Shape::kSwapped, Shape::kRows,
          Shape::kCols,  Shape::kSlabs};
}

SimTimings Draw(std::mt19937& random) {
  const auto draw = [&] { return static_cast<Timing>(random() % 3); };
  return {draw(), draw(), draw()};
}

template <typename Shape>
class WgmmaTileLoopsTest : public ::testing::Test {};

using TileShapes = ::testing::Types<
    WgmmaShape<kWgmmaBF16, 128, 128, 1, false, false, false>, WgmmaShape<kWgmmaBF16, 128, 128, 1, false, true, false>,
    WgmmaShape<kWgmmaBF16, 128, 256, 1, false, false, false>, WgmmaShape<kWgmmaBF16, 128, 256, 1, false, true, false>,
    WgmmaShape<kWgmmaBF16, 256, 128, 1, false, false, false>, WgmmaShape<kWgmmaBF16, 256, 128, 1, false, true, false>,
    WgmmaShape<kWgmmaBF16, 128, 128, 2, false, false, false>, WgmmaShape<kWgmmaF16, 128, 128, 2, false, true, false>,
    WgmmaShape<kWgmmaE4M3, 128, 256, 1, false, false, false>, WgmmaShape<kWgmmaE5M2, 256, 128, 1, false, false, false>>;
TYPED_TEST_SUITE(WgmmaTileLoopsTest, TileShapes);

// Every number of stages, both kinds of clusters, ragged shapes, tables in any order.
TYPED_TEST(WgmmaTileLoopsTest, RightWhateverTheTiming) {
  using Shape = TypeParam;
  const WgmmaKernel kernel = KernelOf<Shape>();
  std::mt19937 random(static_cast<uint32_t>(Shape::kRows * 3 + Shape::kCols + Shape::kSlabs + Shape::kYMn));
  for (int stages = 2; stages <= MostStagesOf(kernel); ++stages) {
    for (const int cluster : {1, 2}) {
      const int64_t m = Shape::kRows + 1 + static_cast<int64_t>(random() % 60);
      const int64_t n = Shape::kCols + 1 + static_cast<int64_t>(random() % 100);
      // Up to more steps than stages, the last one ragged; now and then one alone.
      const int64_t k =
          random() % 8 == 0 ? 5 : Shape::kStep * (1 + random() % (static_cast<uint32_t>(stages) + 2)) + 24;
      LoopsWave wave(m, n, k, kernel, random());
      wave.gemm.stages = stages;
      wave.gemm.cluster = cluster;
      std::vector<uint32_t> tiles = wave.AllTiles();
      std::shuffle(tiles.begin(), tiles.end(), random);
      if (random() % 3 == 0) tiles.pop_back();
      wave.UseTable(tiles);
      SCOPED_TRACE(::testing::Message() << stages << " stages, cluster " << cluster << ", " << m << "x" << n << "x"
                                        << k);
      ASSERT_EQ(RunLoops<Shape>(wave, Draw(random), random(), 1 + static_cast<int>(random() % 2)), "");
    }
  }
}

template <typename Shape>
class WgmmaSkinnyLoopsTest : public ::testing::Test {};

using SkinnyShapes = ::testing::Types<
    WgmmaShape<kWgmmaBF16, 128, 16, 2, false, false, true>, WgmmaShape<kWgmmaBF16, 128, 16, 2, true, false, true>,
    WgmmaShape<kWgmmaF16, 128, 64, 2, false, false, true>, WgmmaShape<kWgmmaF16, 128, 64, 2, true, false, true>,
    WgmmaShape<kWgmmaE4M3, 128, 16, 2, false, false, true>, WgmmaShape<kWgmmaE5M2, 128, 64, 2, false, false, true>>;
TYPED_TEST_SUITE(WgmmaSkinnyLoopsTest, SkinnyShapes);

TYPED_TEST(WgmmaSkinnyLoopsTest, RightWhateverTheTiming) {
  using Shape = TypeParam;
  const WgmmaKernel kernel = KernelOf<Shape>();
  std::mt19937 random(static_cast<uint32_t>(Shape::kCols + Shape::kXMn));
  for (int i = 0; i < 12; ++i) {
    const int64_t m = 1 + static_cast<int64_t>(random() % Shape::kCols);
    const int64_t n = 1 + static_cast<int64_t>(random() % 700);
    const int64_t k = Shape::kStep * (2 + random() % 6) + 8 * static_cast<int64_t>(random() % 9);
    LoopsWave wave(m, n, k, kernel, random());
    wave.gemm.stages = 2 + static_cast<int>(random() % static_cast<uint32_t>(MostStagesOf(kernel) - 1));
    wave.gemm.splits = 1 + static_cast<int>(random() % 3);
    if (i % 2 == 0) wave.gemm.bn = 256;
    if (i % 3 == 0) {
      wave.UseGrid();
    } else {
      std::vector<uint32_t> tiles = wave.AllTiles();
      std::shuffle(tiles.begin(), tiles.end(), random);
      if (tiles.size() > 1 && i % 3 == 1) tiles.pop_back();
      wave.UseTable(tiles);
    }
    SCOPED_TRACE(::testing::Message() << m << "x" << n << "x" << k << " in " << wave.gemm.splits);
    ASSERT_EQ(RunLoops<Shape>(wave, Draw(random), random(), 1 + static_cast<int>(random() % 3)), "");
  }
}

// ---- the simulation sees what is wrong

using BugShape = WgmmaShape<kWgmmaBF16, 128, 128, 1, false, true, false>;

// Of 24 schedules, how many show it.
int Shown(SimBug bug, int cluster) {
  int shown = 0;
  std::mt19937 random(11);
  for (int i = 0; i < 24; ++i) {
    LoopsWave wave(256, 256, 448, KernelOf<BugShape>(), random());
    wave.gemm.stages = 2 + i % 3;
    wave.gemm.cluster = cluster;
    wave.UseGrid();
    if (!RunLoops<BugShape>(wave, Draw(random), random(), 1, bug).empty()) ++shown;
  }
  return shown;
}

TEST(WgmmaLoopsBugTest, NoneShowsNothing) {
  EXPECT_EQ(Shown(SimBug::kNone, 1), 0);
  EXPECT_EQ(Shown(SimBug::kNone, 2), 0);
}
TEST(WgmmaLoopsBugTest, AReleaseOneGroupTooEarlyIsSeen) {
  EXPECT_GE(Shown(SimBug::kReleasesOneGroupEarly, 1), 6);
  EXPECT_GE(Shown(SimBug::kReleasesOneGroupEarly, 2), 6);
}
TEST(WgmmaLoopsBugTest, AReleaseThatForgetsTheOtherBlockIsSeen) {
  EXPECT_EQ(Shown(SimBug::kReleasesOwnBlockAlone, 2), 24) << "the other block waits for ever";
}
TEST(WgmmaLoopsBugTest, BytesThatAreNotExpectedAreSeen) { EXPECT_GE(Shown(SimBug::kExpectsTooFewBytes, 1), 12); }
TEST(WgmmaLoopsBugTest, AWaitThatIsLeftOutIsSeen) { EXPECT_GE(Shown(SimBug::kIgnoresFull, 1), 12); }

}  // namespace
}  // namespace bwrt::kernels
