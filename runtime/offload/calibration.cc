#include "runtime/offload/calibration.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/limits.h"
#include "runtime/tile_whitelist.h"
#include "runtime/wave_validator.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kTinySide = 16;

class NoProgress final : public WaveProgress {
 public:
  absl::Status Step(std::optional<int64_t> /*finished*/, std::optional<int64_t> /*started*/) override {
    return absl::OkStatus();
  }
};

DTypeWish Wish(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return DTypeWish::kF32;
    case kernels::DType::kF16:
      return DTypeWish::kF16;
    case kernels::DType::kBF16:
      return DTypeWish::kBF16;
    case kernels::DType::kF8E4M3:
      return DTypeWish::kF8E4M3;
    case kernels::DType::kF8E5M2:
      return DTypeWish::kF8E5M2;
  }
  return DTypeWish::kF32;
}

// Ones, so that no product is slow for being subnormal or not a number.
std::string Ones(int64_t elements, kernels::DType dtype) {
  constexpr float kOne = 1;
  std::array<char, sizeof(float)> one{};
  kernels::FromF32(dtype, &kOne, 1, one.data());
  const auto size = static_cast<size_t>(kernels::SizeOf(dtype));
  std::string bytes(static_cast<size_t>(elements) * size, '\0');
  for (size_t at = 0; at < bytes.size(); at += size) std::copy_n(one.data(), size, bytes.data() + at);
  return bytes;
}

// The fastest of several runs of one wave.
struct Timed {
  double wall = 0;     // Seconds.
  double compute = 0;  // Of these, in the kernels.
};

class Bench {
 public:
  Bench(Device& device, const Clock& clock, const CalibrationOptions& options)
      : device_(device),
        clock_(clock),
        repeats_(options.repeats),
        long_enough_(Seconds(options.long_enough)),
        validator_(TileWhitelist::Default(), /*lenient=*/true, Limits{}) {}

  // C[m, side] = A[m, side] W[side, side], with W resident or along with the wave.
  absl::StatusOr<Timed> Time(int64_t m, int64_t side, kernels::DType dtype, bool resident) {
    const std::string a = Ones(m * side, dtype);
    std::string w = Ones(side * side, dtype);
    WaveRequest request;
    request.m = m;
    request.n = request.k = side;
    request.spec.bm = request.spec.bn = 128;
    request.spec.bk = 64;
    request.spec.stage_n = 2;
    request.spec.swap_end = 1;
    request.spec.dtype = Wish(dtype);
    request.a = {OperandRequest::Source::kInline, a, "", 0};
    request.w = {OperandRequest::Source::kInline, w, "", 0};
    auto wave =
        validator_.Validate(std::move(request), WaveValidator::Mode::kComplete, *WeightVersion::Empty(), clock_.Now());
    if (!wave.ok()) return wave.status();
    WeightBudget budget(Bytes(int64_t{1} << 40));
    std::shared_ptr<const DeviceTensor> tensor;
    if (resident) {
      wave->w.reset();
      auto uploaded = device_.Upload({"calibration", {dtype, {side, side}}, WeightBuffer(std::move(w))}, budget);
      if (!uploaded.ok()) return uploaded.status();
      tensor = *std::move(uploaded);
      if (absl::Status status = device_.Prepare(*tensor, nullptr, {}); !status.ok()) return status;
    }
    std::optional<Timed> best;
    // The first run pays for what is made once: plans, memory, threads.
    for (int i = 0; i <= repeats_; ++i) {
      NoProgress progress;
      std::string c;
      const runtime::Time begin = clock_.Now();
      const auto report = device_.Run(*wave, tensor.get(), progress, c);
      if (!report.ok()) return report.status();
      const Timed timed{Seconds(clock_.Now() - begin), Seconds(report->timings.compute)};
      if (i > 0 && (!best || timed.wall < best->wall)) best = timed;
      // What takes that long is measured well enough.
      if (i > 0 && timed.wall >= long_enough_) break;
    }
    return *best;
  }

 private:
  Device& device_;
  const Clock& clock_;
  const int repeats_;
  const double long_enough_;
  const WaveValidator validator_;
};

double NotNegative(double x) { return std::max(x, 0.0); }

}  // namespace

absl::StatusOr<DeviceCosts> Calibrate(Device& device, const Clock& clock, const CalibrationOptions& options) {
  Bench bench(device, clock, options);
  DeviceCosts costs;
  const auto tiny = bench.Time(kTinySide, kTinySide, kernels::DType::kF32, /*resident=*/true);
  if (!tiny.ok()) return tiny.status();
  costs.fixed = tiny->wall;

  for (const kernels::DType dtype : device.info().dtypes) {
    int64_t side = options.first_side;
    absl::StatusOr<Timed> square;
    while (true) {
      square = bench.Time(side, side, dtype, /*resident=*/true);
      if (!square.ok()) return square.status();
      if (side * 2 > options.last_side || square->wall >= Seconds(options.long_enough)) break;
      side *= 2;
    }
    const auto s = static_cast<double>(side);
    costs.per_flop[static_cast<size_t>(dtype)] = square->compute / (2 * s * s * s);
    if (dtype != kernels::DType::kF32) continue;

    // Bytes cost the same in every type.
    const double matrix = s * s * static_cast<double>(kernels::SizeOf(dtype));
    costs.per_operand_byte = NotNegative(square->wall - square->compute - costs.fixed) / (2 * matrix);
    const auto brought = bench.Time(side, side, dtype, /*resident=*/false);
    if (!brought.ok()) return brought.status();
    costs.per_load_byte = NotNegative(brought->wall - square->wall) / matrix;
    const auto thin = bench.Time(1, side, dtype, /*resident=*/true);
    if (!thin.ok()) return thin.status();
    costs.per_weight_byte = thin->compute / matrix;
  }
  return costs;
}

}  // namespace bwrt::runtime
