#include "tests/bench/engine.h"

#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "kernels/cpu_info.h"
#include "runtime/limits.h"
#include "runtime/tile_whitelist.h"
#include "runtime/wave_validator.h"
#include "server/services/wave_codec.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr size_t kKept = size_t{256} << 20;

class NoProgress final : public runtime::WaveProgress {
 public:
  absl::Status Step(std::optional<int64_t> /*finished*/, std::optional<int64_t> /*started*/) override {
    return absl::OkStatus();
  }
};

// As the daemon makes its own: this is the one place that has to follow when it changes.
std::unique_ptr<runtime::CpuDevice> MakeDevice(runtime::Clock* clock) {
  const kernels::CpuInfo cpu = kernels::Probe();
  runtime::CpuOptions options;
  options.threads = cpu.cores;
  return Require(runtime::CpuDevice::Create(cpu, clock, options));
}

}  // namespace

Engine::Engine()
    : memory_(kKept), budget_(runtime::Bytes(std::numeric_limits<int64_t>::max())), device_(MakeDevice(&clock_)) {}

void Engine::SetWeights(const v1::SetWeightsRequest& request) {
  runtime::VersionChange change;
  change.number = runtime::Version(1);
  for (const v1::Tensor& tensor : request.tensors()) {
    runtime::HostTensor host;
    host.name = tensor.name();
    const auto dtype = runtime::ElementType::FromWire(tensor.dtype());
    Require(dtype.has_value(), "weights of no type");
    host.type.dtype = *dtype;
    host.type.shape.assign(tensor.shape().begin(), tensor.shape().end());
    host.data = Require(memory_.Allocate(tensor.data().size()));
    std::memcpy(host.data.data(), tensor.data().data(), tensor.data().size());
    auto resident = Require(device_->Upload(std::move(host), budget_));
    Require(device_->Prepare(*resident, /*predecessor=*/nullptr, /*room=*/{}));
    change.put.push_back({.name = tensor.name(), .version = {}, .tensor = std::move(resident), .stored = {}});
  }
  version_ = runtime::WeightVersion::Empty()->With(std::move(change));
}

void Engine::SetWave(const v1::SubmitWaveRequest& request) {
  const auto owned = std::make_shared<const v1::SubmitWaveRequest>(request);
  const runtime::WaveValidator validator(runtime::TileWhitelist::Default(), /*lenient=*/false, runtime::Limits());
  wave_ = Require(validator.Validate(server::DecodeWave(*owned, owned), runtime::WaveValidator::Mode::kComplete,
                                     *version_, clock_.Now()));
}

double Engine::Run() {
  const runtime::NamedTensor* w = Require(runtime::CheckWeight(wave_, *version_));
  NoProgress progress;
  c_ = std::string();
  const Stopwatch watch;
  Require(device_->Run(wave_, w->tensor.get(), progress, c_).status());
  return watch.seconds();
}

}  // namespace bwrt::bench
