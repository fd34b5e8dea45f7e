#include "tests/bench/gemm/cpu_gemm.h"

#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "runtime/limits.h"
#include "runtime/tile_whitelist.h"
#include "runtime/wave_validator.h"
#include "runtime/weight_version.h"
#include "tests/bench/require.h"
#include "tests/support/blank_version.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kUnlimited = int64_t{1} << 45;

// A wave that nobody watches.
class Unwatched final : public runtime::WaveProgress {
 public:
  absl::Status Step(std::optional<int64_t> /*finished*/, std::optional<int64_t> /*started*/) override {
    return absl::OkStatus();
  }
};

runtime::Wave MakeWave(const GemmShape& shape, const std::byte* a,
                       const std::shared_ptr<const runtime::DeviceTensor>& w, TileOrder order) {
  const auto dtype = shape.dtype == kernels::DType::kF32 ? runtime::DTypeWish::kF32 : runtime::DTypeWish::kBF16;
  const auto a_bytes = static_cast<size_t>(shape.m * shape.k * kernels::SizeOf(shape.dtype));
  const runtime::WaveRequest request = runtime::WaveRequestBuilder()
                                           .Tile({CpuGemm::kTile, CpuGemm::kTile, 64, 2, 2, 1})
                                           .Dims(shape.m, shape.n, shape.k)
                                           .DType(dtype)
                                           .CDType(dtype)
                                           .A({})
                                           .WTensor("w")
                                           .Order(std::move(order))
                                           .Covers(runtime::Coverage::kExact)
                                           .Edit([&](runtime::WaveRequest& r) {
                                             r.a.bytes = {reinterpret_cast<const char*>(a), a_bytes};
                                           })
                                           .Build();
  // Some results are larger than a daemon sends in one message unless it is told otherwise.
  runtime::Limits limits;
  limits.max_message_bytes = kUnlimited;
  const runtime::WaveValidator validator(runtime::TileWhitelist::Default(), /*lenient=*/false, limits);
  const auto version = runtime::BlankVersion(*runtime::WeightVersion::Empty(), "", {{"w", w}});
  return Require(validator.Validate(request, runtime::WaveValidator::Mode::kComplete, *version, runtime::Time()));
}

}  // namespace

// The one place that knows how the device is made: as the daemon does.
CpuEngine::CpuEngine(const kernels::CpuInfo& cpu, int threads)
    : budget_(runtime::Bytes(kUnlimited)),
      memory_(/*kept_limit=*/0),
      device_(Require(runtime::CpuDevice::Create(
          cpu, &clock_, {.threads = threads, .worth_sharing = runtime::CpuOptions().worth_sharing}))) {}

CpuEngine::Tensors CpuEngine::Upload(const GemmShape& shape, const std::byte* w, int copies) {
  Tensors tensors;
  for (int i = 0; i < copies; ++i) {
    runtime::HostTensor tensor;
    tensor.name = "w";
    tensor.type = {shape.dtype, {shape.k, shape.n}};
    tensor.data = Require(memory_.Allocate(static_cast<size_t>(shape.weight_bytes())));
    std::memcpy(tensor.data.data(), w, tensor.data.size());
    tensors.push_back(Require(device_->Upload(std::move(tensor), budget_)));
    Require(device_->Prepare(*tensors.back(), /*predecessor=*/nullptr, {}));
  }
  return tensors;
}

CpuGemm::CpuGemm(CpuEngine* engine, const GemmShape& shape, const std::byte* a, CpuEngine::Tensors w, TileOrder order,
                 std::shared_ptr<std::string> c)
    : engine_(engine), w_(std::move(w)), wave_(MakeWave(shape, a, w_.front(), std::move(order))), c_(std::move(c)) {}

void CpuGemm::Multiply(int copy) {
  Unwatched progress;
  Require(engine_->device().Run(wave_, w_[static_cast<size_t>(copy)].get(), progress, *c_).status());
}

}  // namespace bwrt::bench
