#include "runtime/cuda/cuda_wave_run.h"

#include <algorithm>
#include <cstring>

#include "kernels/dtype.h"

namespace bwrt::cuda {
namespace {

constexpr int64_t kAlign = 256;
constexpr int64_t kWorkOfLaunch = int64_t{1} << 37;  // Multiplications and additions: some 10 ms of the plain kernel.
constexpr int64_t kTicketBytes = sizeof(unsigned long long);

int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

CudaRows RowsOf(void* host, int64_t rows, int64_t cols, int64_t stride, int64_t pitch, int32_t dtype,
                const int64_t* order) {
  const int64_t size = ElementBytes(dtype);
  return {static_cast<std::byte*>(host), rows, cols * size, pitch * size, stride * size, order};
}

// Only Gather is called on what is const.
void* Mutable(const void* host) { return const_cast<void*>(host); }

bool NarrowBias(const CudaPlan& plan, const BwrtCudaWave& wave) {
  return plan.matmul != nullptr && wave.c_dtype != BWRT_CUDA_F32;
}

}  // namespace

int64_t CudaWaveRun::TilesPerLaunch(const BwrtCudaWave& wave, int multiprocessors) {
  const double tile = 2.0 * wave.bm * wave.bn * static_cast<double>(wave.k);
  const auto by_work = static_cast<int64_t>(static_cast<double>(kWorkOfLaunch) / tile);
  return std::max<int64_t>({by_work, int64_t{4} * multiprocessors, 1});
}

CudaWaveRun::Layout CudaWaveRun::Lay(const CudaPlan& plan, const BwrtCudaWave& wave, int64_t launches) {
  const CudaPlanKey key = CudaPlanKey::Of(wave);
  Layout at;
  int64_t next = 0;
  const auto place = [&](int64_t bytes) {
    const int64_t begin = next;
    next += Aligned(bytes);
    return begin;
  };
  const bool plain = plan.matmul == nullptr;
  at.tickets = place(plain ? launches * kTicketBytes : 0);
  at.bias = place(wave.bias == nullptr ? 0 : wave.n * int64_t{sizeof(float)});
  at.tiles = place(plain && wave.tiles != nullptr ? wave.tile_count * int64_t{sizeof(uint32_t)} : 0);
  at.a = place(wave.m * key.lda * ElementBytes(wave.dtype));
  const int64_t w_rows = key.w_transposed ? wave.n : wave.k;
  at.w = place(wave.w == nullptr ? 0 : w_rows * key.ldw * ElementBytes(wave.dtype));
  at.c = place(wave.m * key.ldc * ElementBytes(wave.c_dtype));
  at.workspace = place(plain ? 0 : plan.algorithm.workspace);
  at.end = next;
  return at;
}

CudaWaveRun::CudaWaveRun(CudaDriver* driver, CudaLane* lane, const CudaPlan* plan, const BwrtCudaWave* wave,
                         const std::byte* w, const BwrtCudaProgress* progress, int multiprocessors)
    : driver_(driver),
      lane_(lane),
      plan_(plan),
      wave_(wave),
      progress_(progress),
      multiprocessors_(multiprocessors),
      key_(CudaPlanKey::Of(*wave)),
      a_(RowsOf(Mutable(wave->a), wave->m, wave->k, wave->a_stride, key_.lda, wave->dtype, wave->rows)),
      w_rows_(RowsOf(Mutable(wave->w), key_.w_transposed ? wave->n : wave->k, key_.w_transposed ? wave->k : wave->n,
                     wave->w_stride, key_.ldw, wave->dtype, nullptr)),
      c_(RowsOf(wave->c, wave->m, wave->n, wave->c_stride, key_.ldc, wave->c_dtype, wave->rows)),
      per_launch_(TilesPerLaunch(*wave, multiprocessors)),
      launches_(CeilDiv(wave->tile_count, per_launch_)),
      layout_(Lay(*plan, *wave, launches_)),
      w_(w) {}

CudaStatus CudaWaveRun::Step(int64_t finished, int64_t started) const {
  if (progress_->step(progress_->context, finished, started) == 0) return {};
  return {BWRT_CUDA_STOPPED, "the wave was stopped"};
}

CudaStatus CudaWaveRun::Run() {
  if (CudaStatus status = lane_->Reserve(layout_.end, &base_); !status.ok()) return status;
  if (CudaStatus status = SendOperands(); !status.ok()) return status;
  if (CudaStatus status = driver_->Record(lane_->begin(), lane_->stream()); !status.ok()) return status;
  if (CudaStatus status = Compute(); !status.ok()) return status;
  if (CudaStatus status = driver_->Record(lane_->end(), lane_->stream()); !status.ok()) return status;
  const auto take = [this](int64_t offset, int64_t bytes, const std::byte* from) { c_.Scatter(offset, bytes, from); };
  if (CudaStatus status = lane_->transfer().ToHost(base_ + layout_.c, c_.bytes(), take, lane_->stream());
      !status.ok()) {
    return status;
  }
  return driver_->Elapsed(lane_->begin(), lane_->end(), &compute_ns_);
}

CudaStatus CudaWaveRun::SendOperands() {
  CudaTransfer& transfer = lane_->transfer();
  const auto send = [&](const CudaRows& rows, int64_t at) {
    const auto fill = [&rows](int64_t offset, int64_t bytes, std::byte* to) { rows.Gather(offset, bytes, to); };
    return transfer.ToDevice(base_ + at, rows.bytes(), fill, lane_->stream());
  };
  if (CudaStatus status = send(a_, layout_.a); !status.ok()) return status;
  if (w_ == nullptr) {
    if (CudaStatus status = send(w_rows_, layout_.w); !status.ok()) return status;
    w_ = base_ + layout_.w;
  }
  if (wave_->c_read != 0) {
    if (CudaStatus status = send(c_, layout_.c); !status.ok()) return status;
  }
  if (wave_->bias != nullptr) {
    if (CudaStatus status = SendBias(); !status.ok()) return status;
  }
  return plan_->matmul == nullptr && wave_->tile_count > 0 ? SendTiles() : CudaStatus();
}

CudaStatus CudaWaveRun::SendTiles() {
  if (wave_->tiles == nullptr) return {};
  const auto copy = [this](int64_t offset, int64_t bytes, std::byte* to) {
    std::memcpy(to, reinterpret_cast<const std::byte*>(wave_->tiles) + offset, static_cast<size_t>(bytes));
  };
  const int64_t bytes = wave_->tile_count * int64_t{sizeof(uint32_t)};
  return lane_->transfer().ToDevice(base_ + layout_.tiles, bytes, copy, lane_->stream());
}

CudaStatus CudaWaveRun::ClearTickets() {
  return driver_->Clear(base_ + layout_.tickets, launches_ * kTicketBytes, lane_->stream());
}

CudaStatus CudaWaveRun::SendBias() {
  if (NarrowBias(*plan_, *wave_)) {
    const auto narrow = [this](int64_t offset, int64_t bytes, std::byte* to) {
      const auto dtype = wave_->c_dtype == BWRT_CUDA_F16 ? kernels::DType::kF16 : kernels::DType::kBF16;
      kernels::FromF32(dtype, wave_->bias + offset / 2, bytes / 2, to);
    };
    return lane_->transfer().ToDevice(base_ + layout_.bias, wave_->n * 2, narrow, lane_->stream());
  }
  const auto copy = [this](int64_t offset, int64_t bytes, std::byte* to) {
    std::memcpy(to, reinterpret_cast<const std::byte*>(wave_->bias) + offset, static_cast<size_t>(bytes));
  };
  return lane_->transfer().ToDevice(base_ + layout_.bias, wave_->n * int64_t{sizeof(float)}, copy, lane_->stream());
}

CudaStatus CudaWaveRun::Compute() {
  if (wave_->tile_count == 0) return {};
  return plan_->matmul != nullptr ? RunMatmul() : RunPlain();
}

CudaStatus CudaWaveRun::RunMatmul() {
  if (CudaStatus status = Step(0, wave_->tile_count); !status.ok()) return status;
  LtArguments arguments;
  arguments.alpha = wave_->alpha;
  arguments.beta = wave_->beta;
  arguments.a = w_;
  arguments.b = base_ + layout_.a;
  arguments.c = base_ + layout_.c;
  arguments.bias = wave_->bias == nullptr ? nullptr : base_ + layout_.bias;
  arguments.workspace = base_ + layout_.workspace;
  arguments.workspace_bytes = plan_->algorithm.workspace;
  GraphArguments all;
  all.Add(arguments.alpha).Add(arguments.beta).Add(arguments.a).Add(arguments.b).Add(arguments.c).Add(arguments.bias);
  all.Add(arguments.workspace).Add(arguments.workspace_bytes);
  for (const uint64_t word : plan_->algorithm.opaque) all.Add(word);
  return lane_->graphs().Run(lane_->stream(), key_, w_, all,
                             [&] { return plan_->matmul->Run(plan_->algorithm, arguments, lane_->stream()); });
}

CudaStatus CudaWaveRun::RunPlainAtOnce(const kernels::PlainGemm& gemm) {
  if (CudaStatus status = Step(0, gemm.count); !status.ok()) return status;
  GraphArguments all;
  all.Add(gemm.m).Add(gemm.n).Add(gemm.k).Add(gemm.a).Add(gemm.lda).Add(gemm.w).Add(gemm.ldw).Add(gemm.w_transposed);
  all.Add(gemm.c).Add(gemm.ldc).Add(gemm.dtype).Add(gemm.c_dtype).Add(gemm.activation).Add(gemm.alpha).Add(gemm.beta);
  all.Add(gemm.bias).Add(gemm.bm).Add(gemm.bn).Add(gemm.tiles).Add(gemm.grid_cols).Add(gemm.first).Add(gemm.count);
  all.Add(gemm.ticket);
  return lane_->graphs().Run(lane_->stream(), key_, w_, all, [&] {
    if (CudaStatus status = ClearTickets(); !status.ok()) return status;
    return driver_->LaunchPlain(gemm, lane_->stream());
  });
}

CudaStatus CudaWaveRun::RunPlain() {
  kernels::PlainGemm gemm;
  gemm.m = wave_->m;
  gemm.n = wave_->n;
  gemm.k = wave_->k;
  gemm.a = base_ + layout_.a;
  gemm.lda = key_.lda;
  gemm.w = w_;
  gemm.ldw = key_.ldw;
  gemm.w_transposed = key_.w_transposed;
  gemm.c = base_ + layout_.c;
  gemm.ldc = key_.ldc;
  gemm.dtype = wave_->dtype;
  gemm.c_dtype = wave_->c_dtype;
  gemm.activation = wave_->activation;
  gemm.alpha = wave_->alpha;
  gemm.beta = wave_->beta;
  gemm.bias = wave_->bias == nullptr ? nullptr : reinterpret_cast<const float*>(base_ + layout_.bias);
  gemm.bm = wave_->bm;
  gemm.bn = wave_->bn;
  if (wave_->tiles != nullptr) gemm.tiles = reinterpret_cast<const uint32_t*>(base_ + layout_.tiles);
  // Without a table DROP leaves the whole tiles, which are a grid too.
  gemm.grid_cols = wave_->tails == BWRT_CUDA_DROP ? wave_->n / wave_->bn : CeilDiv(wave_->n, wave_->bn);
  if (launches_ == 1) {
    gemm.first = 0;
    gemm.count = wave_->tile_count;
    gemm.ticket = reinterpret_cast<unsigned long long*>(base_ + layout_.tickets);
    return RunPlainAtOnce(gemm);
  }
  if (CudaStatus status = ClearTickets(); !status.ok()) return status;
  int64_t finished = 0;
  // One launch runs while the next is queued behind it.
  for (int64_t launch = 0; launch < launches_; ++launch) {
    gemm.first = launch * per_launch_;
    gemm.count = std::min(per_launch_, wave_->tile_count - gemm.first);
    gemm.ticket = reinterpret_cast<unsigned long long*>(base_ + layout_.tickets) + launch;
    if (CudaStatus status = Step(finished, gemm.first + gemm.count); !status.ok()) return status;
    if (CudaStatus status = driver_->LaunchPlain(gemm, lane_->stream()); !status.ok()) return status;
    if (CudaStatus status = driver_->Record(lane_->launched(launch), lane_->stream()); !status.ok()) return status;
    if (launch == 0) continue;
    if (CudaStatus status = driver_->Synchronize(lane_->launched(launch - 1)); !status.ok()) return status;
    finished = gemm.first;
  }
  return {};
}

}  // namespace bwrt::cuda
