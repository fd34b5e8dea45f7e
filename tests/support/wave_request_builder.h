// WaveRequestBuilder: a valid wave with whatever a test wants different about it.
//
// Without further ado: one tile of the default whitelist's first shape, 128 x 128 with K = 64, f32 zeros, both
// operands inline, window [0, 1), of the model "default". Build() sizes the operands to the dimensions then
// set; the request owns its bytes. Not thread-safe.
#ifndef BWRT_TESTS_SUPPORT_WAVE_REQUEST_BUILDER_H_
#define BWRT_TESTS_SUPPORT_WAVE_REQUEST_BUILDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tile_shape.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

class WaveRequestBuilder {
 public:
  WaveRequestBuilder() {
    r_.m = 128;
    r_.n = 128;
    r_.k = 64;
    Tile({128, 128, 64, 2, 2, 1});
    r_.spec.dtype = DTypeWish::kF32;
    r_.spec.swap_end = 1;
    r_.w.source = OperandRequest::Source::kInline;
  }

  WaveRequestBuilder& Id(std::string wave_id, std::string client_id = "client") {
    r_.wave_id = std::move(wave_id);
    r_.client_id = std::move(client_id);
    return *this;
  }
  WaveRequestBuilder& Model(std::string model) {
    r_.model = std::move(model);
    return *this;
  }
  WaveRequestBuilder& Dims(int64_t m, int64_t n, int64_t k) {
    r_.m = m;
    r_.n = n;
    r_.k = k;
    return *this;
  }
  WaveRequestBuilder& Tile(const TileShape& tile) {
    r_.spec.bm = tile.bm;
    r_.spec.bn = tile.bn;
    r_.spec.bk = tile.bk;
    r_.spec.stage_n = tile.stage;
    r_.spec.cluster_x = tile.cluster_x;
    r_.spec.cluster_y = tile.cluster_y;
    return *this;
  }
  // m and n of so many whole tiles. Set the tile first.
  WaveRequestBuilder& Grid(int64_t rows, int64_t cols) { return Dims(rows * r_.spec.bm, cols * r_.spec.bn, r_.k); }
  // P io_extents and a column of T tiles.
  WaveRequestBuilder& Tokens(int64_t prefetch, int64_t tiles) {
    r_.spec.io_extents.assign(static_cast<size_t>(prefetch), IoExtent{"layer", 0, 1});
    return Grid(tiles, 1);
  }
  WaveRequestBuilder& Window(int32_t begin, int32_t end) {
    r_.spec.swap_begin = begin;
    r_.spec.swap_end = end;
    return *this;
  }
  WaveRequestBuilder& Order(std::vector<TileCoord> order) {
    r_.spec.tile_order = std::move(order);
    return *this;
  }
  WaveRequestBuilder& Flat(std::vector<uint32_t> order) {
    r_.spec.tile_order_flat = std::move(order);
    return *this;
  }
  WaveRequestBuilder& Covers(Coverage coverage) {
    r_.coverage = coverage;
    return *this;
  }
  WaveRequestBuilder& Tails(TailPolicy tails) {
    r_.spec.tail_policy = tails;
    return *this;
  }
  WaveRequestBuilder& DType(DTypeWish dtype) {
    r_.spec.dtype = dtype;
    return *this;
  }
  WaveRequestBuilder& CDType(DTypeWish dtype) {
    r_.c_dtype = dtype;
    return *this;
  }
  WaveRequestBuilder& A(std::string bytes, int64_t row_stride = 0) {
    a_ = std::move(bytes);
    r_.a.row_stride = row_stride;
    return *this;
  }
  WaveRequestBuilder& W(std::string bytes, int64_t row_stride = 0) {
    w_ = std::move(bytes);
    r_.w.row_stride = row_stride;
    return *this;
  }
  WaveRequestBuilder& WTensor(std::string name) {
    r_.w.source = OperandRequest::Source::kTensor;
    r_.w.tensor = std::move(name);
    return *this;
  }
  WaveRequestBuilder& Transposed(bool transposed = true) {
    r_.w_transposed = transposed;
    return *this;
  }
  WaveRequestBuilder& C(std::string bytes, int64_t row_stride = 0) {
    c_ = std::move(bytes);
    r_.c.row_stride = row_stride;
    return *this;
  }
  WaveRequestBuilder& Alpha(float alpha) {
    r_.alpha = alpha;
    return *this;
  }
  WaveRequestBuilder& Beta(float beta) {
    r_.beta = beta;
    return *this;
  }
  WaveRequestBuilder& Bias(std::vector<float> bias) {
    r_.bias = std::move(bias);
    return *this;
  }
  WaveRequestBuilder& Activates(ActivationWish activation) {
    r_.activation = activation;
    return *this;
  }
  WaveRequestBuilder& Priority(int32_t priority) {
    r_.priority = priority;
    return *this;
  }
  WaveRequestBuilder& Timeout(Duration timeout) {
    r_.timeout = timeout;
    return *this;
  }
  WaveRequestBuilder& Deadline(Time deadline) {
    r_.deadline = deadline;
    return *this;
  }
  WaveRequestBuilder& RequiresVersion(uint64_t version) {
    r_.required_version = version;
    return *this;
  }
  // Anything else; runs at the end of Build, in the order given.
  WaveRequestBuilder& Edit(std::function<void(WaveRequest&)> edit) {
    edits_.push_back(std::move(edit));
    return *this;
  }

  // May be called again for an equal request.
  WaveRequest Build() const {
    struct Bytes {
      std::string a, w, c;
    };
    WaveRequest r = r_;
    const auto owned = std::make_shared<Bytes>();
    owned->a = a_ ? *a_ : Zeros(r.m, r.k, r.a.row_stride);
    Inline(owned->a, r.a);
    if (r.w.source == OperandRequest::Source::kInline) {
      const int64_t rows = r.w_transposed ? r.n : r.k;
      const int64_t cols = r.w_transposed ? r.k : r.n;
      owned->w = w_ ? *w_ : Zeros(rows, cols, r.w.row_stride);
      Inline(owned->w, r.w);
    }
    if (c_) {
      owned->c = *c_;
      Inline(owned->c, r.c);
    }
    r.owner = owned;
    for (const auto& edit : edits_) edit(r);
    return r;
  }

 private:
  static void Inline(const std::string& bytes, OperandRequest& operand) {
    operand.source = OperandRequest::Source::kInline;
    operand.bytes = bytes;
  }

  int64_t ElementBytes() const {
    switch (r_.spec.dtype) {
      case DTypeWish::kF16:
      case DTypeWish::kBF16:
        return 2;
      case DTypeWish::kF8E4M3:
      case DTypeWish::kF8E5M2:
        return 1;
      default:
        return 4;
    }
  }

  std::string Zeros(int64_t rows, int64_t cols, int64_t row_stride) const {
    const int64_t stride = row_stride == 0 ? cols : row_stride;
    return std::string(static_cast<size_t>(((rows - 1) * stride + cols) * ElementBytes()), '\0');
  }

  WaveRequest r_;
  std::optional<std::string> a_, w_, c_;
  std::vector<std::function<void(WaveRequest&)>> edits_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_WAVE_REQUEST_BUILDER_H_
