#include "tests/bench/wave_client.h"

#include <vector>

#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kTile = 128;

std::string Constant(int64_t count, float value) {
  const std::vector<float> values(static_cast<size_t>(count), value);
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

int64_t Tiles(int64_t size) { return (size + kTile - 1) / kTile; }

}  // namespace

v1::SetWeightsRequest ConstantWeights(const WaveShape& shape, float value) {
  v1::SetWeightsRequest request;
  request.set_policy(v1::WAIT_FOR_WINDOW);
  v1::Tensor* tensor = request.add_tensors();
  tensor->set_name("w");
  tensor->set_dtype(F32);
  tensor->add_shape(shape.k);
  tensor->add_shape(shape.n);
  tensor->set_data(Constant(shape.k * shape.n, value));
  return request;
}

WaveClient::WaveClient(const std::shared_ptr<grpc::Channel>& channel, const WaveShape& shape, Source w)
    : execution_(v1::Execution::NewStub(channel)) {
  wave_.set_m(shape.m);
  wave_.set_n(shape.n);
  wave_.set_k(shape.k);
  wave_.mutable_a()->set_inline_(Constant(shape.m * shape.k, 1));
  if (w == Source::kStored) {
    wave_.mutable_w()->set_tensor("w");
  } else {
    wave_.mutable_w()->set_inline_(Constant(shape.k * shape.n, 1));
  }
  WaveSpec* spec = wave_.mutable_spec();
  spec->set_bm(kTile);
  spec->set_bn(kTile);
  spec->set_bk(64);
  spec->mutable_cluster_shape()->set_x(2);
  spec->mutable_cluster_shape()->set_y(1);
  spec->mutable_tmem_layout()->set_stage_n(2);
  spec->set_dtype(F32);
  spec->set_swap_end(static_cast<int32_t>(Tiles(shape.m) * Tiles(shape.n)));
}

double WaveClient::Run() {
  grpc::ClientContext context;
  const Stopwatch watch;
  status_ = execution_->SubmitWave(&context, wave_, &result_);
  return watch.seconds();
}

}  // namespace bwrt::bench
