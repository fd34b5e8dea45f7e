#include "runtime/tuning/runtime_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <random>
#include <utility>

#include "kernels/dtype.h"
#include "runtime/element_type.h"
#include "runtime/error.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {
namespace {

constexpr auto kAskEvery = std::chrono::milliseconds(20);

absl::Status CancelledError() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the tuning was cancelled");
}

// Uniform in [-1, 1).
std::string RandomMatrix(int64_t elements, kernels::DType dtype, uint64_t seed) {
  constexpr int64_t kPiece = 1024;
  const int64_t size = kernels::SizeOf(dtype);
  std::string bytes(static_cast<size_t>(elements * size), '\0');
  std::array<float, kPiece> piece;
  uint64_t state = seed | 1;
  for (int64_t begin = 0; begin < elements; begin += kPiece) {
    const int64_t count = std::min(kPiece, elements - begin);
    for (int64_t i = 0; i < count; ++i) {
      // xorshift64: the upper bits are random enough for what only must not be easy to multiply.
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      piece[static_cast<size_t>(i)] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    }
    kernels::FromF32(dtype, piece.data(), count, bytes.data() + begin * size);
  }
  return bytes;
}

// How one turn ended, told by whatever thread ends it.
struct End {
  Mutex mu;
  CondVar changed;
  std::optional<absl::StatusOr<WaveResult>> result ABSL_GUARDED_BY(mu);
};

}  // namespace

absl::StatusOr<std::unique_ptr<RuntimeBench>> RuntimeBench::Create(Runtime* runtime, size_t member,
                                                                   const TuneProblem& problem, Cancelled cancelled) {
  const int code = static_cast<int>(problem.dtype);
  const auto element = code == 0 ? ElementType(kernels::DType::kF32) : ElementType::FromWire(code);
  const auto dtype = element ? element->computed() : std::nullopt;
  if (!dtype) return absl::InvalidArgumentError("a dtype that nothing computes with");
  std::unique_ptr<RuntimeBench> bench(new RuntimeBench(runtime, member, problem, std::move(cancelled)));
  try {
    std::random_device seed;
    bench->a_ = RandomMatrix(problem.m * problem.k, *dtype, uint64_t{seed()} << 32 | seed());
    bench->w_ = RandomMatrix(problem.n * problem.k, *dtype, uint64_t{seed()} << 32 | seed());
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory for the operands; retry later");
  }
  return bench;
}

absl::StatusOr<WaveResult> RuntimeBench::Turn(const TileShape& shape, LaneWork work) {
  if (cancelled_()) return CancelledError();
  WaveRequest request;
  request.m = problem_.m;
  request.n = problem_.n;
  request.k = problem_.k;
  request.spec.bm = shape.bm;
  request.spec.bn = shape.bn;
  request.spec.bk = shape.bk;
  request.spec.stage_n = shape.stage;
  request.spec.cluster_x = shape.cluster_x;
  request.spec.cluster_y = shape.cluster_y;
  request.spec.swap_end = 1;
  request.spec.dtype = problem_.dtype == DTypeWish::kUnspecified ? DTypeWish::kF32 : problem_.dtype;
  request.c_dtype = problem_.c_dtype;
  request.w_transposed = problem_.w_transposed;
  request.a = {OperandRequest::Source::kInline, a_, "", 0};
  request.w = {OperandRequest::Source::kInline, w_, "", 0};
  const auto end = std::make_shared<End>();
  auto ticket =
      runtime_->SubmitMeasurement(std::move(request), {runtime_->Devices()[member_].info->name, std::move(work)},
                                  [end](const Wave& /*wave*/, absl::StatusOr<WaveResult> result) {
                                    MutexLock lock(end->mu);
                                    end->result = std::move(result);
                                    end->changed.NotifyAll();
                                  });
  if (!ticket.ok()) return ticket.status();
  bool told = false;
  MutexLock lock(end->mu);
  while (!end->result) {
    end->changed.WaitUntil(end->mu, std::chrono::steady_clock::now() + kAskEvery);
    if (end->result || told || !cancelled_()) continue;
    told = true;
    end->mu.Unlock();
    runtime_->Cancel(*ticket);
    end->mu.Lock();
  }
  return *std::move(end->result);
}

absl::StatusOr<TuneBench::Timed> RuntimeBench::Run(const TileShape& shape) {
  auto result =
      Turn(shape, [device = &runtime_->GetDevice(member_)](const Wave& wave, WaveProgress& progress, std::string& c) {
        return device->Run(wave, nullptr, progress, c);
      });
  if (!result.ok()) return result.status();
  return Timed{std::move(result->effective.kernel), result->timings.compute};
}

absl::StatusOr<std::optional<TunedAlgorithm>> RuntimeBench::TuneAlgorithm(const TileShape& shape, Duration budget) {
  // Written by the lane before the turn ends, and read after it.
  const auto tuned = std::make_shared<std::optional<TunedAlgorithm>>();
  const auto result =
      Turn(shape,
           [tuned, budget, device = &runtime_->GetDevice(member_)](const Wave& wave, WaveProgress& progress,
                                                                   std::string& /*c*/) -> absl::StatusOr<WaveReport> {
             auto found = device->Tune(wave, budget, progress);
             if (!found.ok()) return found.status();
             *tuned = *std::move(found);
             return WaveReport{};
           });
  if (!result.ok()) return result.status();
  return std::move(*tuned);
}

}  // namespace bwrt::runtime
