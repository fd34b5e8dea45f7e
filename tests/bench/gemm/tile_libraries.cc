#include "tests/bench/gemm/tile_libraries.h"

#include <libxsmm.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/bench/gemm/onednn_gemm.h"
#include "tests/bench/gemm/tile_orders.h"
#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

using kernels::DType;

int64_t TileRows(const GemmShape& shape) { return std::min(kLibraryTile, shape.m); }

TileOrder TilesOf(const GemmShape& shape) {
  Require(shape.m % TileRows(shape) == 0 && shape.n % kLibraryTile == 0, "the shape is not made of whole tiles");
  return RowSnake(shape.m / TileRows(shape), shape.n / kLibraryTile);
}

// W [k, n] as panels of `width` columns: f32 [n / width][k][width], bf16 [n / width][k / 2][width][2].
void PackPanels(const GemmShape& shape, const std::byte* w, int64_t width, std::byte* panels) {
  const int64_t size = kernels::SizeOf(shape.dtype);
  const int64_t pair = shape.dtype == DType::kF32 ? 1 : 2;
  for (int64_t panel = 0; panel < shape.n / width; ++panel) {
    for (int64_t row = 0; row < shape.k; ++row) {
      for (int64_t col = 0; col < width; ++col) {
        const int64_t at = panel * shape.k * width + (row / pair * width + col) * pair + row % pair;
        std::memcpy(panels + at * size, w + (row * shape.n + panel * width + col) * size, static_cast<size_t>(size));
      }
    }
  }
}

}  // namespace

OnednnTiles::OnednnTiles(const GemmShape& shape, const std::byte* a, const std::byte* w)
    : c_(shape.m * shape.n * kernels::SizeOf(shape.dtype)) {
  using dnnl::memory;
  const int64_t size = kernels::SizeOf(shape.dtype);
  const auto type = OnednnType(shape.dtype);
  const int64_t rows = TileRows(shape);
  const memory::desc a_desc({rows, shape.k}, type, memory::dims{shape.k, 1});
  const memory::desc any_desc({shape.k, kLibraryTile}, type, memory::format_tag::any);
  const memory::desc c_desc({rows, kLibraryTile}, type, memory::dims{shape.n, 1});
  const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a_desc, any_desc, c_desc), engine_);
  tile_ = dnnl::matmul(chosen);

  const memory::desc plain_desc({shape.k, kLibraryTile}, type, memory::dims{shape.n, 1});
  std::vector<memory> weights;
  for (int64_t col = 0; col < shape.n; col += kLibraryTile) {
    weights_.emplace_back(static_cast<int64_t>(chosen.weights_desc().get_size()));
    weights.emplace_back(chosen.weights_desc(), engine_, weights_.back().data());
    // oneDNN does not write to what it reads.
    memory plain(plain_desc, engine_, const_cast<std::byte*>(w) + col * size);
    dnnl::reorder(plain, weights.back()).execute(stream_, plain, weights.back());
    stream_.wait();
  }
  for (const runtime::TileCoord& tile : TilesOf(shape)) {
    std::byte* a_tile = const_cast<std::byte*>(a) + tile.m * rows * shape.k * size;
    std::byte* c_tile = c_.data() + (tile.m * rows * shape.n + tile.n * kLibraryTile) * size;
    arguments_.push_back({{DNNL_ARG_SRC, memory(a_desc, engine_, a_tile)},
                          {DNNL_ARG_WEIGHTS, weights[static_cast<size_t>(tile.n)]},
                          {DNNL_ARG_DST, memory(c_desc, engine_, c_tile)}});
  }
}

void OnednnTiles::Multiply(int /*copy*/) {
  for (const auto& arguments : arguments_) tile_.execute(stream_, arguments);
  stream_.wait();
}

std::string XsmmBlocking::name() const { return absl::StrCat("libxsmm_", rows, "x", width, "x", depth); }

XsmmTiles::XsmmTiles(const GemmShape& shape, const std::byte* a, const std::byte* w, const XsmmBlocking& blocking)
    : shape_(shape),
      a_(a),
      tile_rows_(TileRows(shape)),
      rows_(std::min(blocking.rows, tile_rows_)),
      width_(blocking.width),
      depth_(std::min(blocking.depth, shape.k)),
      c_(shape.m * shape.n * kernels::SizeOf(shape.dtype)),
      panels_(shape.weight_bytes()),
      sums_(tile_rows_ * kLibraryTile * int64_t{sizeof(float)}) {
  Require(tile_rows_ % rows_ == 0 && kLibraryTile % width_ == 0, "blocks that do not divide the tile");
  PackPanels(shape, w, width_, panels_.data());
  first_ = Dispatch(depth_, /*accumulates=*/false);
  next_ = Dispatch(depth_, /*accumulates=*/true);
  last_ = shape.k % depth_ == 0 ? next_ : Dispatch(shape.k % depth_, /*accumulates=*/true);
}

XsmmTiles::Kernel XsmmTiles::Dispatch(int64_t depth, bool accumulates) const {
  // libxsmm is column-major: to it our row-major product is W^T (width x depth) times A^T (depth x rows).
  const auto m = static_cast<libxsmm_blasint>(width_);
  const auto n = static_cast<libxsmm_blasint>(rows_);
  const auto k = static_cast<libxsmm_blasint>(depth);
  const auto lda = static_cast<libxsmm_blasint>(width_);
  const auto ldb = static_cast<libxsmm_blasint>(shape_.k);
  const float alpha = 1;
  const float beta = accumulates ? 1 : 0;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  constexpr const char* kMissing = "libxsmm has no kernel for this processor";
  if (shape_.dtype == DType::kF32) {
    const auto ldc = static_cast<libxsmm_blasint>(shape_.n);
    const int flags = LIBXSMM_GEMM_FLAG_NONE;
    const libxsmm_smmfunction kernel = libxsmm_smmdispatch(m, n, k, &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch);
    Require(kernel != nullptr, kMissing);
    return [kernel](const std::byte* w, const std::byte* a, float* sums) {
      kernel(reinterpret_cast<const float*>(w), reinterpret_cast<const float*>(a), sums);
    };
  }
  const auto ldc = static_cast<libxsmm_blasint>(kLibraryTile);
  const int flags = LIBXSMM_GEMM_FLAG_VNNI_A;
  const libxsmm_bsmmfunction kernel = libxsmm_bsmmdispatch(m, n, k, &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch);
  Require(kernel != nullptr, kMissing);
  return [kernel](const std::byte* w, const std::byte* a, float* sums) {
    kernel(reinterpret_cast<const libxsmm_bfloat16*>(w), reinterpret_cast<const libxsmm_bfloat16*>(a), sums);
  };
}

void XsmmTiles::Multiply(int /*copy*/) {
  for (const runtime::TileCoord& tile : TilesOf(shape_)) Tile(tile.m * tile_rows_, tile.n * kLibraryTile);
}

void XsmmTiles::Tile(int64_t row0, int64_t col0) {
  const int64_t size = kernels::SizeOf(shape_.dtype);
  const bool direct = shape_.dtype == DType::kF32;
  float* const sums = reinterpret_cast<float*>(direct ? c_.data() + (row0 * shape_.n + col0) * size : sums_.data());
  const int64_t stride = direct ? shape_.n : kLibraryTile;
  for (int64_t from = 0; from < shape_.k; from += depth_) {
    const Kernel& kernel = from == 0 ? first_ : from + depth_ <= shape_.k ? next_ : last_;
    for (int64_t col = 0; col < kLibraryTile; col += width_) {
      const std::byte* w = panels_.data() + ((col0 + col) * shape_.k + from * width_) * size;
      for (int64_t row = 0; row < tile_rows_; row += rows_) {
        kernel(w, a_ + ((row0 + row) * shape_.k + from) * size, sums + row * stride + col);
      }
    }
  }
  if (direct) return;
  for (int64_t row = 0; row < tile_rows_; ++row) {
    kernels::FromF32(shape_.dtype, sums + row * stride, kLibraryTile,
                     c_.data() + ((row0 + row) * shape_.n + col0) * size);
  }
}

}  // namespace bwrt::bench
