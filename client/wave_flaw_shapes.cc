// Flaws of sizes and types: dimensions, tile shapes, granules, dtypes.
#include <limits>

#include "client/dtype.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

DType AnyDType(Breaking* b) { return b->draws.Pick({F32, BF16, F16}); }

// A small wave that is valid but for what follows. Its K is granular for any dtype.
void Plain(Breaking* b, DType dtype) { Simplify(b, dtype, b->draws.Between(2, 40), b->draws.Between(2, 40), 32); }

int64_t BadDim(Breaking* b) { return b->draws.Pick<int64_t>({0, -1, kMaxDim + 1, kMaxInt64, kMinInt64}); }

bool M(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_m(BadDim(b));
  b->Expect("m", "DIM_OUT_OF_RANGE");
  return true;
}

bool N(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_n(BadDim(b));
  b->Expect("n", "DIM_OUT_OF_RANGE");
  return true;
}

bool K(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_k(BadDim(b));
  b->Expect("k", "DIM_OUT_OF_RANGE");
  return true;
}

bool AllDims(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_m(BadDim(b));
  b->request().set_n(BadDim(b));
  b->request().set_k(BadDim(b));
  b->Expect("m", "DIM_OUT_OF_RANGE");
  b->Expect("n", "DIM_OUT_OF_RANGE");
  b->Expect("k", "DIM_OUT_OF_RANGE");
  return true;
}

int32_t BadTile(Breaking* b) {
  return b->draws.Pick({0, -1, static_cast<int32_t>(kMaxDim + 1), std::numeric_limits<int32_t>::max(),
                        std::numeric_limits<int32_t>::min()});
}

bool Bm(Breaking* b) {
  Plain(b, AnyDType(b));
  b->spec()->set_bm(BadTile(b));
  b->Expect("spec.bm", "DIM_OUT_OF_RANGE");
  return true;
}

bool Bn(Breaking* b) {
  Plain(b, AnyDType(b));
  b->spec()->set_bn(BadTile(b));
  b->Expect("spec.bn", "DIM_OUT_OF_RANGE");
  return true;
}

bool Bk(Breaking* b) {
  Plain(b, AnyDType(b));
  b->spec()->set_bk(BadTile(b));
  b->Expect("spec.bk", "DIM_OUT_OF_RANGE");
  return true;
}

bool StageN(Breaking* b) {
  b->spec()->mutable_tmem_layout()->set_stage_n(b->draws.Pick({9, -1, std::numeric_limits<int32_t>::max()}));
  b->Expect("spec.tmem_layout.stage_n", "STAGES");
  return true;
}

bool Cluster(Breaking* b) {
  const bool x = b->draws.Percent(50);
  const int32_t value = b->draws.Pick({-1, std::numeric_limits<int32_t>::min()});
  x ? b->spec()->mutable_cluster_shape()->set_x(value) : b->spec()->mutable_cluster_shape()->set_y(value);
  b->Expect(x ? "spec.cluster_shape.x" : "spec.cluster_shape.y", "NEGATIVE");
  return true;
}

bool Unlisted(Breaking* b) {
  if (b->space.lenient) return false;
  Plain(b, InputDType(*b));
  switch (b->draws.Below(5)) {
    case 0:
      b->spec()->set_bm(b->draws.Pick({64, 127, 512, 2, static_cast<int32_t>(kMaxDim)}));
      break;
    case 1:
      b->spec()->set_bn(b->draws.Pick({64, 129, 512, 2}));
      break;
    case 2:
      b->spec()->set_bk(b->draws.Pick({32, 96, 256}));  // All granular.
      break;
    case 3:
      b->spec()->mutable_tmem_layout()->set_stage_n(b->draws.Pick({4, 7, 8}));
      break;
    default:
      b->spec()->mutable_cluster_shape()->set_x(b->draws.Pick({4, 7}));
  }
  b->Expect("spec.bm", "TILE_SHAPE_UNLISTED");
  return true;
}

bool KGranule(Breaking* b) {
  if (b->space.lenient) return false;
  const DType dtype = AnyDType(b);
  const int64_t granule = GranuleOf(dtype);
  // 8 is whole for f32 and half a granule of the others.
  Simplify(b, dtype, b->draws.Between(2, 40), b->draws.Between(2, 40),
           granule * b->draws.Between(0, 5) + b->draws.Pick<int64_t>({1, granule / 2, granule - 1}));
  b->Expect("k", "K_GRANULARITY");
  return true;
}

bool BkGranule(Breaking* b) {
  if (b->space.lenient) return false;
  const DType dtype = AnyDType(b);
  Plain(b, dtype);
  const int64_t granule = GranuleOf(dtype);
  b->spec()->set_bk(
      static_cast<int32_t>(granule * b->draws.Between(0, 5) + b->draws.Pick<int64_t>({1, granule / 2, granule - 1})));
  b->Expect("spec.bk", "K_GRANULARITY");
  b->Expect("spec.bm", "TILE_SHAPE_UNLISTED");
  return true;
}

bool TooManyRowsOfTiles(Breaking* b) {
  if (!b->space.lenient) return false;
  Simplify(b, F32, 65'537, 1, 1);
  b->spec()->set_bm(1);
  b->Expect("spec.bm", "TOO_MANY_TILES");
  return true;
}

bool TooManyTilesInAll(Breaking* b) {
  if (!b->space.lenient) return false;
  Simplify(b, F32, 1025, 1024, 1);
  b->spec()->set_bm(1);
  b->spec()->set_bn(1);
  b->Expect("spec.bm", "TOO_MANY_TILES");
  return true;
}

// As many tile rows as a strict daemon's shapes allow, and more; no message can hold such an A.
bool HugeGrid(Breaking* b) {
  if (b->space.lenient) return false;
  Plain(b, F32);
  b->request().set_m(kMaxDim);
  b->request().set_n(1);
  b->request().mutable_w()->set_inline_(std::string(32 * 4, '\0'));
  if (kMaxDim / b->spec()->bm() > 65'536) b->Expect("spec.bm", "TOO_MANY_TILES");
  b->Expect("a.inline", "OPERAND_SIZE");
  return true;
}

bool Dtype(Breaking* b) {
  Plain(b, F32);
  // Types that tensors may have, but no device computes with, and numbers that mean no type.
  b->spec()->set_dtype(static_cast<DType>(b->draws.Pick<int>({F64, I8, U8, DType_MAX + 1, 99, -1})));
  b->Expect("spec.dtype", "UNKNOWN_DTYPE");
  return true;
}

bool CDtype(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_c_dtype(static_cast<DType>(b->draws.Pick<int>({F64, I32, DType_MAX + 1, 99, -1})));
  b->Expect("c_dtype", "UNKNOWN_DTYPE");
  return true;
}

bool CDtypeF8(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_c_dtype(b->draws.Pick({F8_E4M3, F8_E5M2}));
  b->Expect("c_dtype", "UNKNOWN_DTYPE");
  return true;
}

bool CDtypeOther(Breaking* b) {
  const DType dtype = AnyDType(b);
  Plain(b, dtype);
  b->request().set_c_dtype(dtype == BF16 ? F16 : dtype == F16 ? BF16 : b->draws.Pick({BF16, F16}));
  b->Expect("c_dtype", "C_DTYPE");
  return true;
}

bool ScaleWithoutF8(Breaking* b) {
  Plain(b, AnyDType(b));
  b->request().set_a_scale(b->draws.Pick<float>({1, 0.5, -1}));
  b->Expect("a_scale", "SCALE_WITHOUT_F8");
  return true;
}

bool Scale(Breaking* b) {
  if (!IsComputed(b->space, F8_E4M3)) return false;
  Plain(b, F8_E4M3);
  b->request().set_w_scale(
      b->draws.Pick<float>({0, -1, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}));
  b->Expect("w_scale", "SCALE");
  return true;
}

}  // namespace

std::vector<Flaw> ShapeFlaws() {
  return {
      {"m out of range", WavePart::kAlone, M},
      {"n out of range", WavePart::kAlone, N},
      {"k out of range", WavePart::kAlone, K},
      {"m, n and k out of range", WavePart::kAlone, AllDims},
      {"bm out of range", WavePart::kAlone, Bm},
      {"bn out of range", WavePart::kAlone, Bn},
      {"bk out of range", WavePart::kAlone, Bk},
      {"stage_n out of range", WavePart::kAlone, StageN},
      {"negative cluster", WavePart::kAlone, Cluster},
      {"tile shape unlisted", WavePart::kAlone, Unlisted},
      {"k not granular", WavePart::kAlone, KGranule},
      {"bk not granular", WavePart::kAlone, BkGranule},
      {"grid too tall", WavePart::kAlone, TooManyRowsOfTiles},
      {"grid too large", WavePart::kAlone, TooManyTilesInAll},
      {"grid beyond any message", WavePart::kAlone, HugeGrid},
      {"unknown dtype", WavePart::kAlone, Dtype},
      {"unknown c_dtype", WavePart::kAlone, CDtype},
      {"c_dtype of another input", WavePart::kAlone, CDtypeOther},
      {"c_dtype of 8 bits", WavePart::kAlone, CDtypeF8},
      {"a_scale without f8", WavePart::kAlone, ScaleWithoutF8},
      {"scale not positive", WavePart::kAlone, Scale},
  };
}

}  // namespace bwrt::client
