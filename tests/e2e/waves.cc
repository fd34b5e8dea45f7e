#include "tests/e2e/waves.h"

#include <algorithm>
#include <utility>

#include "client/operands.h"
#include "client/reference.h"
#include "tests/e2e/daemon_fixture.h"

namespace bwrt::e2e {
namespace {

using client::OperandStream;

int64_t Tiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

}  // namespace

v1::SubmitWaveRequest MakeWave(int64_t m, int64_t n, int64_t k, DType dtype, uint64_t seed) {
  v1::SubmitWaveRequest wave;
  wave.set_m(m);
  wave.set_n(n);
  wave.set_k(k);
  WaveSpec* spec = wave.mutable_spec();
  spec->set_bm(128);
  spec->set_bn(128);
  spec->set_bk(64);
  spec->mutable_cluster_shape()->set_x(2);
  spec->mutable_cluster_shape()->set_y(1);
  spec->mutable_tmem_layout()->set_stage_n(2);
  spec->set_dtype(dtype);
  SetWindow(&wave, 0, static_cast<int32_t>(Tiles(m, 128) * Tiles(n, 128)));
  wave.mutable_a()->set_inline_(*client::RandomMatrix({seed, 0, OperandStream::kA}, dtype, m, k));
  wave.mutable_w()->set_inline_(*client::RandomMatrix({seed, 0, OperandStream::kW}, dtype, k, n));
  return wave;
}

v1::Tensor WeightOf(const v1::SubmitWaveRequest& wave, const std::string& name) {
  v1::Tensor tensor;
  tensor.set_name(name);
  tensor.set_dtype(wave.spec().dtype());
  tensor.add_shape(wave.w_transposed() ? wave.n() : wave.k());
  tensor.add_shape(wave.w_transposed() ? wave.k() : wave.n());
  tensor.set_data(wave.w().inline_());
  return tensor;
}

v1::SubmitWaveRequest WithStored(v1::SubmitWaveRequest wave, const std::string& tensor) {
  wave.mutable_w()->set_tensor(tensor);
  return wave;
}

void SetWindow(v1::SubmitWaveRequest* wave, int32_t begin, int32_t end) {
  wave->mutable_spec()->set_swap_begin(begin);
  wave->mutable_spec()->set_swap_end(end);
}

v1::SetWeightsRequest Publish(v1::Tensor tensor, const std::string& label) {
  v1::SetWeightsRequest request;
  *request.add_tensors() = std::move(tensor);
  request.set_label(label);
  return request;
}

testing::AssertionResult IsRight(const v1::SubmitWaveRequest& wave, const v1::WaveResult& result) {
  const auto reference = client::ReferenceC(wave);
  if (!reference.ok()) return testing::AssertionFailure() << reference.status();
  const auto comparison = client::CompareTiles(wave, *reference, result.c());
  if (!comparison.ok()) return testing::AssertionFailure() << comparison.status();
  if (comparison->max_rel_error <= client::Tolerance(wave)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "relative error " << comparison->max_rel_error << " in tile ("
                                     << comparison->worst_m << ", " << comparison->worst_n << "), allowed "
                                     << client::Tolerance(wave);
}

v1::SubmitWaveRequest MakeLongWave(const std::string& id, int64_t k) {
  v1::SubmitWaveRequest wave;
  wave.set_wave_id(id);
  wave.set_m(1024);
  wave.set_n(1024);
  wave.set_k(k);
  WaveSpec* spec = wave.mutable_spec();
  spec->set_bm(1);
  spec->set_bn(1);
  spec->set_bk(8);
  spec->set_dtype(F32);
  SetWindow(&wave, 0, 1 << 20);
  const size_t bytes = static_cast<size_t>(1024 * k) * sizeof(float);
  wave.mutable_a()->set_inline_(std::string(bytes, '\0'));
  wave.mutable_w()->set_inline_(std::string(bytes, '\0'));
  return wave;
}

LongWave::LongWave(client::Client* client, v1::SubmitWaveRequest wave) : client_(client), wave_(std::move(wave)) {
  wave_.set_client_id(client->client_id());
  thread_ = std::thread(
      [this] { result_ = client_->SubmitWave(wave_, {.timeout = absl::InfiniteDuration(), .handle = &handle_}); });
  EXPECT_TRUE(WaitUntil([this] { return IsRunning(); })) << wave_.wave_id() << " does not start";
}

LongWave::~LongWave() {
  handle_.Cancel();
  if (thread_.joinable()) thread_.join();
}

bool LongWave::IsRunning() const {
  const auto model = client_->GetModel(wave_.model());
  if (!model.ok()) return false;
  const auto& claims = model->window().claims();
  return std::any_of(claims.begin(), claims.end(), [&](const v1::WindowClaim& claim) {
    return claim.in_flight() && claim.wave_id() == wave_.wave_id();
  });
}

void LongWave::Cancel() {
  const auto cancelled = client_->CancelWave(wave_.wave_id());
  ASSERT_TRUE(cancelled.ok()) << wave_.wave_id() << " was too short: " << cancelled.status();
  EXPECT_TRUE(cancelled->had_started());
  EXPECT_TRUE(absl::IsCancelled(Join().status())) << result_.status();
}

absl::StatusOr<v1::WaveResult> LongWave::Join() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

PendingSwap::PendingSwap(client::Client* client, v1::SetWeightsRequest request)
    : thread_([this, client, request = std::move(request)] {
        result_ = client->SetWeights(request, {.timeout = absl::InfiniteDuration(), .handle = &handle_});
      }) {}

PendingSwap::~PendingSwap() {
  handle_.Cancel();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<v1::SetWeightsResponse> PendingSwap::Join() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

}  // namespace bwrt::e2e
