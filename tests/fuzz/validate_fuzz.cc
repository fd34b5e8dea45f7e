// Whatever a client sends: the validator answers, with a bounded error or with a wave of which every number holds, and
// the CPU device runs such a wave without touching memory that is not its own.
//
// The input is a bwrt.v1.SubmitWaveRequest in wire format, decoded as the daemon decodes it. It is tried as it is and
// once more with operands of just the right size, which random bytes hardly ever have.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bwrt/v1/wave.pb.h"
#include "runtime/cpu_device.h"
#include "runtime/error.h"
#include "runtime/violations.h"
#include "runtime/wave_validator.h"
#include "server/services/wave_codec.h"
#include "tests/fuzz/check.h"
#include "tests/support/blank_version.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using Mode = WaveValidator::Mode;

constexpr Time kNow{std::chrono::hours(1000)};

const Limits kLimits;

// Grids of a million tiles cost time and find nothing that smaller ones don't. Without operands nothing else bounds
// them.
Limits DryLimits() {
  Limits limits;
  limits.max_dim = 1 << 14;
  limits.max_tiles = 1 << 12;
  return limits;
}
const Limits kDryLimits = DryLimits();

// A few tensors for waves to name.
const WeightVersion& Weights() {
  static const auto& version = *new WeightVersion::Ptr([] {
    const auto tensor = [](ElementType dtype, std::vector<int64_t> shape) {
      return std::make_shared<BlankTensor>(TensorType{dtype, std::move(shape)});
    };
    return BlankVersion(*WeightVersion::Empty(), "v",
                        {{"w", tensor(kernels::DType::kF32, {8, 4})},
                         {"t", tensor(kernels::DType::kF32, {4, 8})},
                         {"h", tensor(kernels::DType::kBF16, {16, 4})},
                         {"q", tensor(*ElementType::FromWire(ElementType::kU8), {8, 4})},
                         {"flat", tensor(kernels::DType::kF16, {64})}});
  }());
  return *version;
}

int64_t MatrixBytes(int64_t rows, int64_t cols, int64_t stride, kernels::DType dtype) {
  return ((rows - 1) * stride + cols) * kernels::SizeOf(dtype);
}

void CheckError(const absl::Status& status) {
  const auto details = GetDetails(status);
  BWRT_FUZZ_CHECK(details.has_value() && !details->reason.empty());
  BWRT_FUZZ_CHECK(absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status));
  // However long the request, the answer is short.
  BWRT_FUZZ_CHECK(details->fields.size() <= Violations::kKept + 1);
  size_t size = status.message().size();
  for (const FieldViolation& v : details->fields) {
    BWRT_FUZZ_CHECK(!v.reason.empty() && !v.description.empty());
    size += v.field.size() + v.description.size();
  }
  BWRT_FUZZ_CHECK(size < (64 << 10));
}

void CheckTraversal(const Wave& wave, Coverage coverage) {
  const TileGrid& grid = wave.grid;
  const Traversal& t = wave.traversal;
  const auto tiles = static_cast<int64_t>(t.order.size());
  BWRT_FUZZ_CHECK(t.listed >= 1 && t.listed <= tiles && tiles <= grid.tiles());
  std::vector<bool> seen(static_cast<size_t>(grid.tiles()));
  int64_t partial = 0;
  for (const TileCoord& tile : t.order) {
    BWRT_FUZZ_CHECK(tile.m >= 0 && tile.n >= 0);
    BWRT_FUZZ_CHECK(tile.m * grid.bm < grid.m && tile.n * grid.bn < grid.n);
    auto at = seen[static_cast<size_t>(tile.m * grid.cols() + tile.n)];
    BWRT_FUZZ_CHECK(!at);
    at = true;
    partial += grid.Partial(tile) ? 1 : 0;
  }
  BWRT_FUZZ_CHECK(coverage == Coverage::kPartial || tiles == grid.tiles());
  BWRT_FUZZ_CHECK(coverage == Coverage::kComplete || t.appended() == 0);
  BWRT_FUZZ_CHECK(t.omitted == grid.tiles() - tiles);
  BWRT_FUZZ_CHECK(t.dropped == (wave.tails == TailPolicy::kDrop ? partial : 0));
  BWRT_FUZZ_CHECK(wave.tokens.tiles == t.listed);
  BWRT_FUZZ_CHECK(wave.tokens.prefetch == static_cast<int64_t>(wave.io_extents.size()));

  if (wave.packed_rows.empty()) return;
  std::vector<int64_t> rows = wave.packed_rows;
  std::sort(rows.begin(), rows.end());
  BWRT_FUZZ_CHECK(static_cast<int64_t>(rows.size()) == grid.m);
  for (size_t i = 0; i < rows.size(); ++i) BWRT_FUZZ_CHECK(rows[i] == static_cast<int64_t>(i));
}

void CheckOperand(const kernels::ConstMatrix& matrix, int64_t rows, int64_t cols, kernels::DType dtype,
                  const OperandRequest& from) {
  BWRT_FUZZ_CHECK(matrix.rows == rows && matrix.cols == cols && matrix.row_stride >= cols && matrix.dtype == dtype);
  if (from.source != OperandRequest::Source::kInline) return;
  BWRT_FUZZ_CHECK(reinterpret_cast<const char*>(matrix.data) == from.bytes.data());
  BWRT_FUZZ_CHECK(MatrixBytes(rows, cols, matrix.row_stride, dtype) == static_cast<int64_t>(from.bytes.size()));
}

void CheckWave(const Wave& wave, const WaveRequest& request, const TileWhitelist& whitelist, bool lenient,
               const Limits& limits) {
  BWRT_FUZZ_CHECK(IsModelName(wave.model));
  for (const int64_t dim : {wave.grid.m, wave.grid.n, wave.k, wave.grid.bm, wave.grid.bn, int64_t{wave.tile.bk}}) {
    BWRT_FUZZ_CHECK(dim >= 1 && dim <= limits.max_dim);
  }
  BWRT_FUZZ_CHECK(wave.grid.m == request.m && wave.grid.n == request.n && wave.k == request.k);
  BWRT_FUZZ_CHECK(wave.grid.tiles() <= limits.max_tiles);
  const int64_t size = kernels::SizeOf(wave.dtype);
  const bool granular = wave.k * size % 32 == 0 && wave.tile.bk * size % 32 == 0;
  BWRT_FUZZ_CHECK(wave.tolerated == (!whitelist.Contains(wave.tile) || !granular));
  BWRT_FUZZ_CHECK(wave.stages >= 1 && wave.stages <= kMaxStages);
  BWRT_FUZZ_CHECK(lenient || !wave.tolerated);
  CheckTraversal(wave, request.coverage);
  BWRT_FUZZ_CHECK(wave.window.begin >= 0 && wave.window.begin < wave.window.end);

  CheckOperand(wave.a, wave.grid.m, wave.k, wave.dtype, request.a);
  BWRT_FUZZ_CHECK(CheckWeight(wave, Weights()).ok());
  BWRT_FUZZ_CHECK(wave.w.has_value() == (request.w.source == OperandRequest::Source::kInline));
  BWRT_FUZZ_CHECK(!wave.w.has_value() || wave.w_tensor.empty());
  if (wave.w) {
    CheckOperand(*wave.w, wave.w_transposed ? wave.grid.n : wave.k, wave.w_transposed ? wave.k : wave.grid.n,
                 wave.dtype, request.w);
  }
  BWRT_FUZZ_CHECK(wave.c_dtype == kernels::DType::kF32 || wave.c_dtype == wave.dtype);
  BWRT_FUZZ_CHECK(wave.c_stride >= wave.grid.n);
  BWRT_FUZZ_CHECK(wave.c_bytes.value() == MatrixBytes(wave.grid.m, wave.grid.n, wave.c_stride, wave.c_dtype));
  BWRT_FUZZ_CHECK(wave.c_bytes.value() <= limits.max_message_bytes);
  BWRT_FUZZ_CHECK(wave.c.empty() || static_cast<int64_t>(wave.c.size()) == wave.c_bytes.value());
  BWRT_FUZZ_CHECK(wave.held_bytes.value() >= wave.c_bytes.value());

  BWRT_FUZZ_CHECK(std::isfinite(wave.alpha) && std::isfinite(wave.beta));
  BWRT_FUZZ_CHECK(wave.bias.empty() || static_cast<int64_t>(wave.bias.size()) == wave.grid.n);
  BWRT_FUZZ_CHECK(static_cast<int>(wave.activation) <= static_cast<int>(kernels::Activation::kSilu));
  BWRT_FUZZ_CHECK(wave.priority >= -kMaxPriority && wave.priority <= kMaxPriority);
  BWRT_FUZZ_CHECK(!wave.deadline || *wave.deadline > kNow);
  BWRT_FUZZ_CHECK(wave.wave_id.empty() || !wave.client_id.empty());
}

class NeverStop final : public WaveProgress {
 public:
  absl::Status Step(std::optional<int64_t>, std::optional<int64_t>) override { return absl::OkStatus(); }
};

// Only waves small enough to keep the fuzzer fast, that bring their own W.
void RunOnCpu(const Wave& wave) {
  static ManualClock& clock = *new ManualClock;
  static CpuDevice* const device = [] {
    auto created = CpuDevice::Create(kernels::CpuInfo{}, &clock);
    return created.ok() ? created->release() : nullptr;
  }();
  constexpr int64_t kSmall = 1 << 10;
  if (device == nullptr || !wave.w || wave.grid.m * wave.grid.n > kSmall || wave.k > kSmall) return;
  if (wave.c_bytes.value() > (1 << 20)) return;
  NeverStop progress;
  std::string c;
  const auto report = device->Run(wave, nullptr, progress, c);
  BWRT_FUZZ_CHECK(report.ok());
  BWRT_FUZZ_CHECK(static_cast<int64_t>(c.size()) == wave.c_bytes.value());
}

// Validates in every mode.
void Try(const WaveRequest& request) {
  bool strict_accepts = false;
  bool complete_accepts = false;
  for (const bool lenient : {false, true}) {
    const WaveValidator validator(TileWhitelist::Default(), lenient, kLimits);
    const WaveValidator paged(TileWhitelist::Default(), lenient, kLimits, /*paged=*/true);
    const auto with_pages = paged.Validate(request, Mode::kComplete, Weights(), kNow);
    const auto wave = validator.Validate(request, Mode::kComplete, Weights(), kNow);
    if (wave.ok()) {
      CheckWave(*wave, request, validator.whitelist(), lenient, kLimits);
      if (lenient) RunOnCpu(*wave);
    } else {
      CheckError(wave.status());
    }
    if (!with_pages.ok()) CheckError(with_pages.status());
    BWRT_FUZZ_CHECK(wave.ok() || !with_pages.ok());  // Reading pages only asks for more.
    BWRT_FUZZ_CHECK(wave.ok() || !strict_accepts);   // Lenient refuses nothing that strict accepts.
    strict_accepts = wave.ok();
    complete_accepts = wave.ok() && wave->grid.m <= kDryLimits.max_dim && wave->grid.n <= kDryLimits.max_dim &&
                       wave->k <= kDryLimits.max_dim && wave->grid.bm <= kDryLimits.max_dim &&
                       wave->grid.bn <= kDryLimits.max_dim && wave->tile.bk <= kDryLimits.max_dim &&
                       wave->grid.tiles() <= kDryLimits.max_tiles;

    const WaveValidator dry(TileWhitelist::Default(), lenient, kDryLimits);
    const auto preview = dry.Validate(request, Mode::kDry, Weights(), kNow);
    if (preview.ok()) {
      CheckWave(*preview, request, dry.whitelist(), lenient, kDryLimits);
    } else {
      CheckError(preview.status());
    }
    BWRT_FUZZ_CHECK(preview.ok() || !complete_accepts);
  }
}

// Gives an inline operand the size that the request's shape asks for, while that is small.
void Resize(OperandRequest& operand, int64_t rows, int64_t cols, int64_t element, std::string& bytes) {
  const int64_t stride = operand.row_stride == 0 ? cols : operand.row_stride;
  constexpr int64_t kMax = 1 << 12;
  if (operand.source != OperandRequest::Source::kInline || rows < 1 || cols < 1 || rows > kMax || stride > kMax ||
      stride < cols) {
    return;
  }
  bytes.assign(operand.bytes.data(), operand.bytes.size());
  bytes.resize(static_cast<size_t>(((rows - 1) * stride + cols) * element), 'x');
  operand.bytes = bytes;
}

int64_t ElementSize(DTypeWish dtype) { return dtype == DTypeWish::kF16 || dtype == DTypeWish::kBF16 ? 2 : 4; }

}  // namespace
}  // namespace bwrt::runtime

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bwrt::runtime;
  // Invalid UTF-8 is told of on stderr otherwise, thousands of times a second.
  [[maybe_unused]] static google::protobuf::LogHandler* const old_handler = google::protobuf::SetLogHandler(nullptr);
  if (size > size_t{1} << 20) return 0;
  const auto message = std::make_shared<bwrt::v1::SubmitWaveRequest>();
  if (!message->ParseFromArray(data, static_cast<int>(size))) return 0;
  WaveRequest request = bwrt::server::DecodeWave(*message, message);
  Try(request);

  std::string a, w, c;
  const int64_t element = ElementSize(request.spec.dtype);
  Resize(request.a, request.m, request.k, element, a);
  Resize(request.w, request.w_transposed ? request.n : request.k, request.w_transposed ? request.k : request.n, element,
         w);
  Resize(request.c, request.m, request.n, ElementSize(request.c_dtype), c);
  Try(request);
  return 0;
}
