#include "tests/bench/gpu/daemon_waves.h"

#include <atomic>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/gpu/gpu_device.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kSmall = 512;
constexpr int64_t kSmallRows = 64;

std::vector<std::string> Flags(const std::string& plugin, int ordinal) {
  std::vector<std::string> flags = {absl::StrCat("--device=cuda:", ordinal), "--cuda-kernel=cublaslt",
                                    "--max-message-bytes=512M", "--log-level=warning"};
  if (!plugin.empty()) flags.push_back(absl::StrCat("--cuda-plugin=", plugin));
  return flags;
}

std::string Bytes(const std::vector<uint16_t>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(uint16_t)};
}

v1::SetWeightsRequest Weights(const std::string& name, int64_t n, int64_t k, uint64_t seed) {
  v1::SetWeightsRequest request;
  request.set_policy(v1::WAIT_FOR_WINDOW);
  v1::Tensor* tensor = request.add_tensors();
  tensor->set_name(name);
  tensor->set_dtype(BF16);
  tensor->add_shape(n);
  tensor->add_shape(k);
  tensor->set_data(Bytes(RandomBf16(n * k, seed)));
  return request;
}

v1::SubmitWaveRequest WaveOf(const std::string& tensor, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kTile = 128;
  v1::SubmitWaveRequest wave;
  wave.set_m(m);
  wave.set_n(n);
  wave.set_k(k);
  wave.mutable_a()->set_inline_(Bytes(RandomBf16(m * k, 1)));
  wave.mutable_w()->set_tensor(tensor);
  wave.set_w_transposed(true);
  wave.set_c_dtype(BF16);
  WaveSpec* spec = wave.mutable_spec();
  spec->set_bm(static_cast<int32_t>(kTile));
  spec->set_bn(static_cast<int32_t>(kTile));
  spec->set_bk(64);
  spec->mutable_cluster_shape()->set_x(2);
  spec->mutable_cluster_shape()->set_y(1);
  spec->mutable_tmem_layout()->set_stage_n(2);
  spec->set_dtype(BF16);
  spec->set_swap_end(static_cast<int32_t>(((m + kTile - 1) / kTile) * ((n + kTile - 1) / kTile)));
  return wave;
}

}  // namespace

DaemonWaves::DaemonWaves(const std::string& bwrtd, const std::string& plugin, int ordinal, int64_t side)
    : daemon_(bwrtd, Flags(plugin, ordinal)),
      execution_(v1::Execution::NewStub(daemon_.Connect())),
      weights_(v1::Weights::NewStub(daemon_.Connect())),
      wave_(WaveOf("w", side, side, side)) {
  grpc::ClientContext context;
  v1::SetWeightsResponse response;
  Require(weights_->SetWeights(&context, Weights("w", side, side, 2), &response));
  Run();
  const std::string& kernel = result_.effective().kernel();
  Require(kernel.find("cublaslt") != std::string::npos, absl::StrCat("asked for cuBLASLt, but ", kernel, " ran"));
}

double DaemonWaves::Run() {
  grpc::ClientContext context;
  Require(execution_->SubmitWave(&context, wave_, &result_));
  return result_.timings().compute_seconds();
}

double DaemonWaves::SwapRatio(int swaps, int waves) {
  const auto publish = [this](uint64_t seed) {
    grpc::ClientContext context;
    v1::SetWeightsResponse response;
    Require(weights_->SetWeights(&context, Weights("small", kSmall, kSmall, seed), &response));
  };
  const v1::SubmitWaveRequest wave = WaveOf("small", kSmallRows, kSmall, kSmall);
  v1::WaveResult result;
  const auto run = [&] {
    grpc::ClientContext context;
    const Stopwatch watch;
    Require(execution_->SubmitWave(&context, wave, &result));
    return watch.seconds();
  };
  publish(3);
  std::vector<double> alone;
  for (int i = 0; i < waves; ++i) alone.push_back(run());
  std::atomic<bool> done{false};
  std::exception_ptr failure;
  std::thread publisher([&] {
    try {
      for (int i = 0; i < swaps; ++i) publish(static_cast<uint64_t>(i) + 4);
    } catch (...) {
      failure = std::current_exception();
    }
    done.store(true);
  });
  std::vector<double> beside;
  try {
    while (!done.load()) beside.push_back(run());
  } catch (...) {
    publisher.join();
    throw;
  }
  publisher.join();
  if (failure) std::rethrow_exception(failure);
  Require(!beside.empty(), "the swaps were over before the first wave");
  return Percentile(std::move(beside), 99) / Percentile(std::move(alone), 99);
}

}  // namespace bwrt::bench
