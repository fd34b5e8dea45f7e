#include "tests/bench/wave_case.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/operands.h"
#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

constexpr int32_t kTile = 128;
constexpr uint64_t kSeed = 1;

using client::OperandStream;

int32_t Tiles(int64_t size) { return static_cast<int32_t>((size + kTile - 1) / kTile); }

}  // namespace

std::string WaveCase::name() const { return absl::StrCat(client::DTypeName(dtype), "/", m, "x", n, "x", k); }

v1::SubmitWaveRequest MakeWave(const WaveCase& wave_case) {
  v1::SubmitWaveRequest wave;
  wave.set_m(wave_case.m);
  wave.set_n(wave_case.n);
  wave.set_k(wave_case.k);
  wave.mutable_a()->set_inline_(
      Require(client::RandomMatrix({kSeed, 0, OperandStream::kA}, wave_case.dtype, wave_case.m, wave_case.k)));
  wave.mutable_w()->set_tensor("w");
  wave.set_c_dtype(wave_case.dtype);
  WaveSpec* spec = wave.mutable_spec();
  spec->set_dtype(wave_case.dtype);
  spec->set_bm(kTile);
  spec->set_bn(kTile);
  spec->set_bk(64);
  spec->mutable_cluster_shape()->set_x(2);
  spec->mutable_cluster_shape()->set_y(1);
  spec->mutable_tmem_layout()->set_stage_n(2);
  const int32_t rows = Tiles(wave_case.m);
  const int32_t cols = Tiles(wave_case.n);
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t i = 0; i < cols; ++i) {
      TileCoord* tile = spec->add_tile_order();
      tile->set_m(row);
      tile->set_n(row % 2 == 0 ? i : cols - 1 - i);
    }
  }
  spec->set_swap_end(rows * cols);
  return wave;
}

v1::SetWeightsRequest MakeWeights(const WaveCase& wave_case) {
  v1::SetWeightsRequest request;
  request.set_policy(v1::WAIT_FOR_WINDOW);
  v1::Tensor* tensor = request.add_tensors();
  tensor->set_name("w");
  tensor->set_dtype(wave_case.dtype);
  tensor->add_shape(wave_case.k);
  tensor->add_shape(wave_case.n);
  tensor->set_data(
      Require(client::RandomMatrix({kSeed, 0, OperandStream::kW}, wave_case.dtype, wave_case.k, wave_case.n)));
  return request;
}

double RelativeDifference(DType dtype, const std::string& a, const std::string& b) {
  Require(a.size() == b.size(), absl::StrCat("results of ", a.size(), " and ", b.size(), " bytes can't be compared"));
  const std::vector<double> got = Require(client::DecodeElements(dtype, a));
  const std::vector<double> want = Require(client::DecodeElements(dtype, b));
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

}  // namespace bwrt::bench
