// Contenders for the product of one tile: what each library does when a GEMM is cut into tiles that run one by one on
// one thread, as the CPU device cuts it. They are what the choice of the kernels' library rests on.
#ifndef BWRT_TESTS_BENCH_GEMM_TILE_LIBRARIES_H_
#define BWRT_TESTS_BENCH_GEMM_TILE_LIBRARIES_H_

#include <cstdint>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/bench/gemm/contender.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/matrix_buffer.h"

namespace bwrt::bench {

// Tiles of 128 x 128, or of m x 128 where m is smaller. m and n are multiples of the tile. One copy of W.
inline constexpr int64_t kLibraryTile = 128;

// One matmul primitive of a tile's size over all of K; W reordered once, tile column by tile column, into the layout
// that it prefers. On one thread: SetOnednnThreads(1) before it is made and while it is used.
class OnednnTiles final : public Contender {
 public:
  OnednnTiles(const GemmShape& shape, const std::byte* a, const std::byte* w);

  void Multiply(int copy) override;
  const std::byte* c() const override { return c_.data(); }

 private:
  const dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  MatrixBuffer c_;
  std::vector<MatrixBuffer> weights_;  // By tile column.
  dnnl::matmul tile_;
  std::vector<std::unordered_map<int, dnnl::memory>> arguments_;  // By tile, in the order of a row snake.
};

// How a tile is made of libxsmm's kernels: blocks of `rows` x `width` x `depth`, W packed once as panels of `width`
// columns (bf16: pairs of rows of K interleaved, as the dot product of bf16 reads them), A read in place.
struct XsmmBlocking {
  int64_t rows = 64;
  int64_t width = 64;
  int64_t depth = 512;
  // Such as "libxsmm_64x64x512".
  std::string name() const;
};

class XsmmTiles final : public Contender {
 public:
  // Throws when libxsmm has no such kernel on this processor. `width` divides the tile.
  XsmmTiles(const GemmShape& shape, const std::byte* a, const std::byte* w, const XsmmBlocking& blocking);

  void Multiply(int copy) override;
  const std::byte* c() const override { return c_.data(); }

 private:
  // sums = or += a @ w of one block.
  using Kernel = std::function<void(const std::byte* w, const std::byte* a, float* sums)>;

  Kernel Dispatch(int64_t depth, bool accumulates) const;
  void Tile(int64_t row0, int64_t col0);

  const GemmShape shape_;
  const std::byte* const a_;
  const int64_t tile_rows_;
  const int64_t rows_;  // Of a block.
  const int64_t width_;
  const int64_t depth_;
  MatrixBuffer c_;
  MatrixBuffer panels_;
  MatrixBuffer sums_;  // bf16: a tile's, in f32, before they are rounded to C.
  Kernel first_, next_, last_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_TILE_LIBRARIES_H_
