#include "runtime/cuda/cuda_wave_run.h"

#include <algorithm>
#include <cstring>

#include "kernels/dtype.h"

namespace bwrt::cuda {
namespace {

constexpr int64_t kAlign = 256;
constexpr int64_t kWorkOfLaunch = int64_t{1} << 37;  // Multiplications and additions: some 10 ms of the plain kernel.
constexpr int64_t kWorkOfTensorLaunch = int64_t{1} << 42;  // The same of the Hopper kernel.
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

// Everything that the product is multiplied by.
float AlphaOf(const BwrtCudaWave& wave) {
  if (ElementBytes(wave.dtype) != 1) return wave.alpha;
  const auto scale = [](float value) { return value == 0 ? 1.0f : value; };
  return wave.alpha * scale(wave.a_scale) * scale(wave.w_scale);
}

}  // namespace

int64_t CudaWaveRun::TilesPerLaunch(const BwrtCudaWave& wave, int multiprocessors, bool tensor_cores) {
  const double tile = 2.0 * wave.bm * wave.bn * static_cast<double>(wave.k);
  const int64_t work = tensor_cores ? kWorkOfTensorLaunch : kWorkOfLaunch;
  const auto by_work = static_cast<int64_t>(static_cast<double>(work) / tile);
  const int64_t tiles = std::max<int64_t>({by_work, int64_t{4} * multiprocessors, 1});
  // Clusters pair tiles: no pair is torn apart.
  return tensor_cores ? CeilDiv(tiles, 2) * 2 : tiles;
}

CudaWaveRun::Layout CudaWaveRun::Lay(const CudaPlan& plan, const BwrtCudaWave& wave, int64_t launches, int64_t blocks) {
  const CudaPlanKey key = CudaPlanKey::Of(wave);
  Layout at;
  int64_t next = 0;
  const auto place = [&](int64_t bytes) {
    const int64_t begin = next;
    next += Aligned(bytes);
    return begin;
  };
  const bool plain = plan.matmul == nullptr && !plan.wgmma;
  at.tickets = place(plain ? launches * kTicketBytes : 0);
  at.bias = place(wave.bias == nullptr ? 0 : wave.n * int64_t{sizeof(float)});
  at.tiles = place(plan.matmul == nullptr && wave.tiles != nullptr ? wave.tile_count * int64_t{sizeof(uint32_t)} : 0);
  at.a = place(wave.m * key.lda * ElementBytes(wave.dtype));
  const int64_t w_rows = key.w_transposed ? wave.n : wave.k;
  at.w = place(wave.w == nullptr ? 0 : w_rows * key.ldw * ElementBytes(wave.dtype));
  at.c = place(wave.m * key.ldc * ElementBytes(wave.c_dtype));
  at.counts = place(launches * blocks * int64_t{sizeof(kernels::WgmmaCounts)});
  const bool splits = plan.wgmma && plan.choice.splits > 1;
  at.slots = place(splits ? wave.tile_count * (wave.bn / plan.choice.kernel.rows) * int64_t{sizeof(uint32_t)} : 0);
  at.cleared_end = next;
  at.workspace = place(plan.matmul != nullptr ? plan.algorithm.workspace
                       : splits               ? kernels::PartialBytes(wave.m, wave.n, plan.choice.splits)
                                              : 0);
  at.end = next;
  return at;
}

CudaWaveRun::CudaWaveRun(CudaDriver* driver, CudaLane* lane, const CudaPlan* plan, const BwrtCudaWave* wave,
                         const std::byte* w, const BwrtCudaProgress* progress, int multiprocessors, bool counts,
                         bool poison)
    : driver_(driver),
      lane_(lane),
      plan_(plan),
      wave_(wave),
      progress_(progress),
      multiprocessors_(multiprocessors),
      counts_(counts && plan->wgmma && wave->tile_count > 0),
      poison_(poison),
      key_(CudaPlanKey::Of(*wave)),
      a_(RowsOf(Mutable(wave->a), wave->m, wave->k, wave->a_stride, key_.lda, wave->dtype, wave->rows)),
      w_rows_(RowsOf(Mutable(wave->w), key_.w_transposed ? wave->n : wave->k, key_.w_transposed ? wave->k : wave->n,
                     wave->w_stride, key_.ldw, wave->dtype, nullptr)),
      c_(RowsOf(wave->c, wave->m, wave->n, wave->c_stride, key_.ldc, wave->c_dtype, wave->rows)),
      per_launch_(TilesPerLaunch(*wave, multiprocessors, plan->wgmma)),
      launches_(CeilDiv(wave->tile_count, per_launch_)),
      layout_(Lay(*plan, *wave, launches_, counts_ ? multiprocessors : 0)),
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
  if (CudaStatus status = ReceiveResult(); !status.ok()) return status;
  return driver_->Elapsed(lane_->begin(), lane_->end(), &compute_ns_);
}

CudaStatus CudaWaveRun::ReceiveResult() {
  std::vector<kernels::WgmmaCounts> counts(counts_ ? static_cast<size_t>(launches_ * multiprocessors_) : 0);
  const int64_t counts_begin = layout_.counts - layout_.c;
  const int64_t counts_bytes = static_cast<int64_t>(counts.size() * sizeof(kernels::WgmmaCounts));
  const auto take = [&](int64_t offset, int64_t bytes, const std::byte* from) {
    if (offset < c_.bytes()) c_.Scatter(offset, std::min(bytes, c_.bytes() - offset), from);
    const int64_t begin = std::max(offset, counts_begin);
    if (counts_bytes == 0 || begin >= offset + bytes) return;
    std::memcpy(reinterpret_cast<std::byte*>(counts.data()) + (begin - counts_begin), from + (begin - offset),
                static_cast<size_t>(offset + bytes - begin));
  };
  const int64_t bytes = counts_bytes > 0 ? counts_begin + counts_bytes : c_.bytes();
  if (CudaStatus status = lane_->transfer().ToHost(base_ + layout_.c, bytes, take, lane_->stream()); !status.ok()) {
    return status;
  }
  if (counts_) ratios_ = kernels::RatiosOf(counts, multiprocessors_, plan_->choice.kernel, plan_->choice.stages);
  return {};
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
  } else if (poison_) {
    // All ones are a NaN of every type.
    if (CudaStatus status = driver_->Fill(base_ + layout_.c, std::byte{0xff}, c_.bytes(), lane_->stream());
        !status.ok()) {
      return status;
    }
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
  return driver_->Fill(base_ + layout_.tickets, std::byte{0}, launches_ * kTicketBytes, lane_->stream());
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
  if (plan_->wgmma) return RunWgmma();
  return plan_->matmul != nullptr ? RunMatmul() : RunPlain();
}

CudaStatus CudaWaveRun::RunMatmul() {
  if (CudaStatus status = Step(0, wave_->tile_count); !status.ok()) return status;
  LtArguments arguments;
  arguments.alpha = AlphaOf(*wave_);
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

kernels::PlainGemm CudaWaveRun::MakePlain() const {
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
  gemm.alpha = AlphaOf(*wave_);
  gemm.beta = wave_->beta;
  gemm.bias = wave_->bias == nullptr ? nullptr : reinterpret_cast<const float*>(base_ + layout_.bias);
  gemm.bm = wave_->bm;
  gemm.bn = wave_->bn;
  if (wave_->tiles != nullptr) gemm.tiles = reinterpret_cast<const uint32_t*>(base_ + layout_.tiles);
  // Without a table DROP leaves the whole tiles, which are a grid too.
  gemm.grid_cols = wave_->tails == BWRT_CUDA_DROP ? wave_->n / wave_->bn : CeilDiv(wave_->n, wave_->bn);
  return gemm;
}

CudaStatus CudaWaveRun::RunPlain() {
  kernels::PlainGemm gemm = MakePlain();
  if (launches_ == 1) {
    gemm.first = 0;
    gemm.count = wave_->tile_count;
    gemm.ticket = reinterpret_cast<unsigned long long*>(base_ + layout_.tickets);
    return RunPlainAtOnce(gemm);
  }
  if (CudaStatus status = ClearTickets(); !status.ok()) return status;
  return RunLaunches([&](int64_t launch, int64_t first, int64_t count) {
    gemm.first = first;
    gemm.count = count;
    gemm.ticket = reinterpret_cast<unsigned long long*>(base_ + layout_.tickets) + launch;
    return driver_->LaunchPlain(gemm, lane_->stream());
  });
}

CudaStatus CudaWaveRun::RunLaunches(const std::function<CudaStatus(int64_t, int64_t, int64_t)>& queue) {
  int64_t finished = 0;
  for (int64_t launch = 0; launch < launches_; ++launch) {
    const int64_t first = launch * per_launch_;
    const int64_t count = std::min(per_launch_, wave_->tile_count - first);
    if (CudaStatus status = Step(finished, first + count); !status.ok()) return status;
    if (CudaStatus status = queue(launch, first, count); !status.ok()) return status;
    if (CudaStatus status = driver_->Record(lane_->launched(launch), lane_->stream()); !status.ok()) return status;
    if (launch == 0) continue;
    if (CudaStatus status = driver_->Synchronize(lane_->launched(launch - 1)); !status.ok()) return status;
    finished = first;
  }
  return {};
}

kernels::WgmmaGemm CudaWaveRun::MakeWgmma() const {
  const kernels::PlainGemm plain = MakePlain();
  kernels::WgmmaGemm gemm;
  gemm.m = plain.m;
  gemm.n = plain.n;
  gemm.k = plain.k;
  gemm.a = plain.a;
  gemm.lda = plain.lda;
  gemm.w = plain.w;
  gemm.ldw = plain.ldw;
  gemm.c = plain.c;
  gemm.ldc = plain.ldc;
  gemm.activation = plain.activation;
  gemm.alpha = plain.alpha;
  gemm.beta = plain.beta;
  gemm.bias = plain.bias;
  gemm.kernel = plan_->choice.kernel;
  gemm.stages = plan_->choice.stages;
  gemm.cluster = plan_->choice.cluster;
  gemm.splits = plan_->choice.splits;
  gemm.bm = plain.bm;
  gemm.bn = plain.bn;
  gemm.tiles = plain.tiles;
  gemm.grid_cols = plain.grid_cols;
  if (gemm.splits > 1) gemm.partials = reinterpret_cast<float*>(base_ + layout_.workspace);
  return gemm;
}

CudaStatus CudaWaveRun::ClearCounts() {
  const int64_t bytes = layout_.cleared_end - layout_.counts;
  return bytes == 0 ? CudaStatus() : driver_->Fill(base_ + layout_.counts, std::byte{0}, bytes, lane_->stream());
}

CudaStatus CudaWaveRun::RunWgmma() {
  kernels::WgmmaGemm gemm = MakeWgmma();
  const auto place = [&](int64_t launch, int64_t first, int64_t count) {
    gemm.first = first;
    gemm.count = count;
    if (counts_) {
      gemm.counts = reinterpret_cast<kernels::WgmmaCounts*>(base_ + layout_.counts) + launch * multiprocessors_;
    }
    if (gemm.splits > 1) {
      gemm.slots = reinterpret_cast<uint32_t*>(base_ + layout_.slots) + first * (gemm.bn / gemm.kernel.rows);
    }
  };
  if (launches_ == 1) {
    place(0, 0, wave_->tile_count);
    return RunWgmmaAtOnce(gemm);
  }
  if (CudaStatus status = ClearCounts(); !status.ok()) return status;
  return RunLaunches([&](int64_t launch, int64_t first, int64_t count) {
    place(launch, first, count);
    return driver_->LaunchWgmma(gemm, lane_->stream());
  });
}

// The tensor maps that the launch makes depend on what is added here, and on nothing else.
CudaStatus CudaWaveRun::RunWgmmaAtOnce(const kernels::WgmmaGemm& gemm) {
  if (CudaStatus status = Step(0, gemm.count); !status.ok()) return status;
  const kernels::WgmmaKernel& kernel = gemm.kernel;
  GraphArguments all;
  all.Add(gemm.m).Add(gemm.n).Add(gemm.k).Add(gemm.a).Add(gemm.lda).Add(gemm.w).Add(gemm.ldw).Add(gemm.c);
  all.Add(gemm.ldc).Add(gemm.activation).Add(gemm.alpha).Add(gemm.beta).Add(gemm.bias).Add(kernel.dtype);
  all.Add(kernel.c_dtype).Add(kernel.w_transposed).Add(kernel.swapped).Add(kernel.rows).Add(kernel.cols);
  all.Add(kernel.slabs).Add(gemm.stages).Add(gemm.cluster).Add(gemm.splits).Add(gemm.bm).Add(gemm.bn).Add(gemm.tiles);
  all.Add(gemm.grid_cols)
      .Add(gemm.first)
      .Add(gemm.count)
      .Add(gemm.partials)
      .Add(gemm.slots)
      .Add(static_cast<const void*>(gemm.counts));
  all.Add(layout_.counts).Add(layout_.cleared_end);
  return lane_->graphs().Run(lane_->stream(), key_, w_, all, [&] {
    if (CudaStatus status = ClearCounts(); !status.ok()) return status;
    return driver_->LaunchWgmma(gemm, lane_->stream());
  });
}

}  // namespace bwrt::cuda
