#include "client/wave_space.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "client/draws.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

v1::TileShape Shape(int32_t bm, int32_t bn, int32_t bk, int32_t stage_n) {
  v1::TileShape shape;
  shape.set_bm(bm);
  shape.set_bn(bn);
  shape.set_bk(bk);
  shape.set_stage_n(stage_n);
  shape.mutable_cluster_shape()->set_x(2);
  shape.mutable_cluster_shape()->set_y(1);
  return shape;
}

v1::Tensor RandomTensor(Draws* draws, const std::string& name, DType dtype, std::initializer_list<int64_t> shape) {
  v1::Tensor tensor;
  tensor.set_name(name);
  tensor.set_dtype(dtype);
  int64_t elements = 1;
  for (const int64_t dim : shape) {
    tensor.add_shape(dim);
    elements *= dim;
  }
  for (int64_t i = 0; i < elements; ++i) AppendElement(dtype, draws->Unit(), tensor.mutable_data());
  return tensor;
}

}  // namespace

WaveSpace SpaceOf(const v1::GetCapabilitiesResponse& capabilities) {
  WaveSpace space;
  space.whitelist.assign(capabilities.tile_whitelist().begin(), capabilities.tile_whitelist().end());
  if (space.whitelist.empty()) {
    space.whitelist = {Shape(128, 128, 64, 2), Shape(128, 256, 64, 2), Shape(256, 128, 64, 2), Shape(128, 128, 128, 3)};
  }
  space.whitelist_digest = capabilities.whitelist_digest();
  space.lenient = capabilities.lenient_shapes();
  for (const DType dtype : {F8_E4M3, F8_E5M2}) {
    const auto computes = [dtype](const v1::Device& device) {
      return std::find(device.dtypes().begin(), device.dtypes().end(), dtype) != device.dtypes().end();
    };
    // The first runs whatever no other one does.
    if (!capabilities.devices().empty() && computes(capabilities.devices(0))) space.dtypes.push_back(dtype);
  }
  return space;
}

PublishedModel RandomModel(uint64_t seed, const std::string& name) {
  Draws draws(seed, 0);
  PublishedModel model{.name = name};
  for (const DType dtype : {F32, BF16, F16}) {
    const std::string prefix = absl::StrCat("layers/0/", DTypeName(dtype), ".");
    const auto add = [&](absl::string_view suffix, std::initializer_list<int64_t> shape) {
      model.tensors.push_back(RandomTensor(&draws, absl::StrCat(prefix, suffix), dtype, shape));
    };
    add("square", {128, 128});
    add("wide", {32, 300});
    add("tall", {272, 48});
    add("row", {1, 160});
    add("odd", {37, 19});
    add("vector", {48});
    add("cube", {4, 4, 16});
  }
  v1::Tensor* opaque = &model.tensors.emplace_back();
  opaque->set_name("layers/0/quantised");
  opaque->set_dtype(I8);
  opaque->add_shape(64);
  opaque->add_shape(64);
  for (int i = 0; i < 64 * 64; ++i) opaque->mutable_data()->push_back(static_cast<char>(draws.Below(256)));
  for (const DType dtype : {F8_E4M3, F8_E5M2}) {
    const std::string prefix = absl::StrCat("layers/0/", DTypeName(dtype), ".");
    model.tensors.push_back(RandomTensor(&draws, absl::StrCat(prefix, "square"), dtype, {128, 128}));
    model.tensors.push_back(RandomTensor(&draws, absl::StrCat(prefix, "wide"), dtype, {32, 300}));
  }
  return model;
}

v1::SetWeightsRequest Publication(const PublishedModel& model) {
  v1::SetWeightsRequest request;
  request.set_model(model.name);
  request.mutable_tensors()->Assign(model.tensors.begin(), model.tensors.end());
  request.set_label("random weights");
  return request;
}

bool NeedsLeniency(const WaveSpace& space, const v1::SubmitWaveRequest& request, DType dtype) {
  const WaveSpec& spec = request.spec();
  if (request.k() % GranuleOf(dtype) != 0 || spec.bk() % GranuleOf(dtype) != 0) return true;
  const auto or_one = [](int32_t value) { return value == 0 ? 1 : value; };
  return std::none_of(space.whitelist.begin(), space.whitelist.end(), [&](const v1::TileShape& shape) {
    return shape.bm() == spec.bm() && shape.bn() == spec.bn() && shape.bk() == spec.bk() &&
           or_one(shape.stage_n()) == or_one(spec.tmem_layout().stage_n()) &&
           or_one(shape.cluster_shape().x()) == or_one(spec.cluster_shape().x()) &&
           or_one(shape.cluster_shape().y()) == or_one(spec.cluster_shape().y());
  });
}

int64_t GranuleOf(DType dtype) {
  constexpr int64_t kGranuleBytes = 32;
  return kGranuleBytes / DTypeBytes(dtype);
}

}  // namespace bwrt::client
