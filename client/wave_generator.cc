#include "client/wave_generator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/wave_operand_draw.h"
#include "client/wave_traversal_draw.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMaxDim = 700;
constexpr int64_t kMaxTiles = 4096;

WaveSpace WithWhitelist(WaveSpace space) {
  if (space.whitelist.empty()) space.whitelist = SpaceOf({}).whitelist;
  return space;
}

// One wave, drawn part by part.
class Drawing {
 public:
  Drawing(uint64_t seed, uint64_t index, const WaveSpace& space) : space_(space), draws_(seed, index) {
    DrawTypes();
    DrawTile();
    DrawSizes();
    DrawTraversal(&draws_, &request());
    DrawPacking(&draws_, &request());
    DrawTokens(&draws_, space.io_extents, &request());
    DrawOperands(&draws_, dtype_, &request());
    DrawNames(index);
  }

  GeneratedWave Take() { return std::move(wave_); }

 private:
  v1::SubmitWaveRequest& request() { return wave_.request; }
  WaveSpec* spec() { return request().mutable_spec(); }

  // Which operand types, and whose W.
  void DrawTypes() {
    dtype_ = draws_.PickFrom(space_.dtypes);
    request().set_w_transposed(draws_.Percent(50));
    if (!space_.models.empty()) {
      const PublishedModel& model = draws_.PickFrom(space_.models);
      // Even with its own W, a wave belongs to a model.
      request().set_model(model.name == "default" && draws_.Percent(50) ? "" : model.name);
      if (draws_.Percent(10)) request().set_required_version(model.version);
      if (draws_.Percent(30)) PickStored(model);
    }
    // Unspecified, it is the stored W's, else f32.
    if ((wave_.stored_w == nullptr && dtype_ != F32) || draws_.Percent(70)) spec()->set_dtype(dtype_);
    request().set_c_dtype(IsF8(dtype_) ? draws_.Pick({DTYPE_UNSPECIFIED, F32, F16, BF16})
                                       : draws_.Pick({DTYPE_UNSPECIFIED, F32, dtype_, dtype_}));
  }

  void PickStored(const PublishedModel& model) {
    if (model.tensors.empty()) return;
    const v1::Tensor& tensor = draws_.PickFrom(model.tensors);
    if (tensor.shape_size() != 2 || !IsComputed(space_, tensor.dtype())) return;
    const int64_t k = tensor.shape(request().w_transposed() ? 1 : 0);
    if (!space_.lenient && k % GranuleOf(tensor.dtype()) != 0) return;
    wave_.stored_w = &tensor;
    dtype_ = tensor.dtype();
    request().mutable_w()->set_tensor(tensor.name());
  }

  void DrawTile() {
    v1::TileShape shape = draws_.PickFrom(space_.whitelist);
    if (space_.lenient && draws_.Percent(75)) shape = DrawSmallShape();
    spec()->set_bm(shape.bm());
    spec()->set_bn(shape.bn());
    spec()->set_bk(shape.bk());
    // 0 means 1, of a cluster and of stages.
    const auto or_zero = [&](int32_t value) { return value == 1 && draws_.Percent(40) ? 0 : value; };
    if (const int32_t stages = or_zero(shape.stage_n()); stages != 0) {
      spec()->mutable_tmem_layout()->set_stage_n(stages);
    }
    const int32_t x = or_zero(shape.cluster_shape().x()), y = or_zero(shape.cluster_shape().y());
    if (x == 0 && y == 0) return;
    spec()->mutable_cluster_shape()->set_x(x);
    spec()->mutable_cluster_shape()->set_y(y);
  }

  v1::TileShape DrawSmallShape() {
    struct Dims {
      int64_t bm, bn, bk;
    };
    const Dims dims = draws_.Pick<Dims>({{2, 2, 2},
                                         {3, 5, 8},
                                         {96, 40, 16},
                                         {1, 64, 1},
                                         {draws_.Between(1, 16), draws_.Between(1, 16), draws_.Between(1, 64)},
                                         {draws_.Between(1, 160), draws_.Between(1, 160), draws_.Between(1, 200)}});
    v1::TileShape shape;
    shape.set_bm(static_cast<int32_t>(dims.bm));
    shape.set_bn(static_cast<int32_t>(dims.bn));
    shape.set_bk(static_cast<int32_t>(dims.bk));
    shape.set_stage_n(static_cast<int32_t>(draws_.Between(1, 8)));
    shape.mutable_cluster_shape()->set_x(static_cast<int32_t>(draws_.Between(1, 4)));
    shape.mutable_cluster_shape()->set_y(static_cast<int32_t>(draws_.Between(1, 2)));
    return shape;
  }

  // A dimension of C: tiny, around the edges of tiles, or anything.
  int64_t DrawDim(int64_t tile) {
    const int64_t whole = tile * draws_.Between(1, 3);
    const int64_t dim = draws_.Pick<int64_t>({draws_.Between(1, 8), draws_.Between(1, 70), draws_.Between(1, 2 * tile),
                                              whole, whole, whole + 1, whole - 1, tile * 2 + draws_.Between(1, tile)});
    return std::clamp<int64_t>(dim, 1, std::min(kMaxDim, tile * 64));
  }

  void DrawSizes() {
    // Mostly small: many waves are worth more than large ones.
    const int64_t budget = int64_t{1} << (draws_.Percent(85) ? 17 : draws_.Percent(85) ? 20 : 22);
    const int64_t bm = spec()->bm(), bn = spec()->bn();
    const int64_t granule = space_.lenient ? 1 : GranuleOf(dtype_);
    int64_t m = DrawDim(bm), n = DrawDim(bn), k = 0;
    if (wave_.stored_w != nullptr) {
      k = wave_.stored_w->shape(request().w_transposed() ? 1 : 0);
      n = wave_.stored_w->shape(request().w_transposed() ? 0 : 1);
      m = std::clamp<int64_t>(4 * budget / (n * k), 1, m);
    } else {
      k = draws_.Pick<int64_t>({draws_.Between(1, 32), draws_.Between(1, 130), spec()->bk() * draws_.Between(1, 4),
                                draws_.Between(1, 1100)});
      k = std::min(k, std::max(budget / (m * n), draws_.Between(1, 40)));
      k = TilesAlong(k, granule) * granule;
    }
    while (TilesAlong(m, bm) * TilesAlong(n, bn) > kMaxTiles) m = TilesAlong(m, 2);
    request().set_m(m);
    request().set_n(n);
    request().set_k(k);
  }

  void DrawNames(uint64_t index) {
    if (!space_.client_id.empty() && draws_.Percent(40)) {
      request().set_client_id(space_.client_id);
      if (draws_.Percent(70)) request().set_wave_id(absl::StrCat("wave-", index));
    }
    if (draws_.Percent(30)) request().set_priority(static_cast<int32_t>(draws_.Between(-100, 100)));
    // Far beyond what the wave needs, even on a busy machine.
    if (draws_.Percent(20)) request().mutable_timeout()->set_seconds(draws_.Between(600, 100'000));
    if (draws_.Percent(10)) request().set_whitelist_digest(space_.whitelist_digest);
  }

  const WaveSpace& space_;
  Draws draws_;
  DType dtype_ = F32;
  GeneratedWave wave_;
};

}  // namespace

WaveGenerator::WaveGenerator(uint64_t seed, WaveSpace space) : seed_(seed), space_(WithWhitelist(std::move(space))) {}

GeneratedWave WaveGenerator::Generate(uint64_t index) const { return Drawing(seed_, index, space_).Take(); }

std::string WaveGenerator::Reproduce(uint64_t index) const {
  return absl::StrCat("BWRT_SEED=", seed_, ", ", space_.lenient ? "lenient" : "strict", " wave ", index);
}

}  // namespace bwrt::client
