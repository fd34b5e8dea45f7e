#include "runtime/cuda/cuda_tuner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/dtype.h"
#include "runtime/cuda/cublaslt_numbers.h"
#include "runtime/cuda/cuda_wave_run.h"

namespace bwrt::cuda {
namespace {

constexpr int64_t kAlign = 256;
// Short kernels are timed many at a time: events tell half a microsecond apart at best.
constexpr int64_t kLongEnoughNs = 200'000;
constexpr int64_t kMostLaunches = 50;

int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

kernels::DType TypeOf(int32_t dtype) {
  // The plugin's numbers are in the kernels' order.
  static_assert(BWRT_CUDA_F32 == static_cast<int>(kernels::DType::kF32));
  static_assert(BWRT_CUDA_F16 == static_cast<int>(kernels::DType::kF16));
  static_assert(BWRT_CUDA_BF16 == static_cast<int>(kernels::DType::kBF16));
  static_assert(BWRT_CUDA_F8_E4M3 == static_cast<int>(kernels::DType::kF8E4M3));
  static_assert(BWRT_CUDA_F8_E5M2 == static_cast<int>(kernels::DType::kF8E5M2));
  return static_cast<kernels::DType>(dtype);
}

// Sums of products in another order, in f32; else what 16 bits make of the result.
double Tolerance(const CudaPlanKey& key) {
  return key.dtype == BWRT_CUDA_F32 && key.c_dtype == BWRT_CUDA_F32 ? 1e-5 : 1e-2;
}

template <size_t N>
void Put(char (&to)[N], const std::string& text) {
  const size_t size = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), size);
  to[size] = '\0';
}

}  // namespace

void CudaTuneResult::Describe(BwrtCudaTuneReport* report) const {
  report->found = tuning ? 1 : 0;
  report->candidates = candidates;
  report->timed = timed;
  report->rejected = static_cast<int32_t>(rejected.size());
  for (size_t i = 0; i < std::min(rejected.size(), std::size(report->wrong)); ++i) Put(report->wrong[i], rejected[i]);
  if (tuning) Put(report->kernel, LtKernelName(tuning->config));
}

CudaTuner::CudaTuner(CudaDriver* driver, CudaLane* lane, const CudaPlanKey& key, const BwrtCudaTuneOptions& options,
                     const BwrtCudaProgress* progress, std::function<int64_t()> now_ns, int multiprocessors)
    : driver_(driver),
      lane_(lane),
      key_(key),
      options_(options),
      progress_(progress),
      now_ns_(std::move(now_ns)),
      multiprocessors_(multiprocessors) {}

CudaStatus CudaTuner::Ask() const {
  if (progress_->step(progress_->context, 0, 0) == 0) return {};
  return {BWRT_CUDA_STOPPED, "the tuning was stopped"};
}

CudaStatus CudaTuner::FindCandidates(std::vector<Candidate>* to) {
  const LtWish wish = ToLtWish(key_);
  std::optional<LtAlgorithm> first;
  if (CudaStatus status = ChooseAlgorithm(*matmul_, wish, &first); !status.ok()) return status;
  if (!first) return {};
  const bool keeps_tile = LtTileOf(first->config.tile) == wish.tile;
  const bool keeps_cluster = keeps_tile && LtClusterOf(first->config.cluster) == wish.cluster;
  const bool keeps_stages = keeps_cluster && LtStagesOf(first->config.stages) == wish.stages;
  const auto add = [&](const LtConfig& config) -> CudaStatus {
    if (static_cast<int>(to->size()) >= options_.candidates) return {};
    if (keeps_tile && config.tile != first->config.tile) return {};
    if (keeps_cluster && config.cluster != first->config.cluster) return {};
    if (keeps_stages && config.stages != first->config.stages) return {};
    const auto same = [&](const Candidate& candidate) { return candidate.algorithm.config == config; };
    if (std::any_of(to->begin(), to->end(), same)) return {};
    bool legal = false;
    Candidate candidate;
    CudaStatus status = matmul_->Check(config, kLtWorkspace, &legal, &candidate.algorithm);
    if (!status.ok() || !legal) return status;
    // As it was asked for, which is what a stored choice is found by.
    candidate.algorithm.config = config;
    to->push_back(candidate);
    return {};
  };
  // What runs untuned has to be among them, to compare with.
  if (CudaStatus status = add(first->config); !status.ok()) return status;
  std::vector<LtAlgorithm> recommended;
  CudaStatus status = matmul_->Heuristics(kLtWorkspace, options_.candidates, &recommended);
  for (size_t i = 0; status.ok() && i < recommended.size(); ++i) status = add(recommended[i].config);
  std::vector<int32_t> ids;
  for (const LtAlgorithm& algorithm : recommended) {
    const int32_t id = algorithm.config.id;
    if (!status.ok() || std::find(ids.begin(), ids.end(), id) != ids.end()) continue;
    ids.push_back(id);
    std::vector<uint32_t> stages;
    status = matmul_->StagesOf(id, &stages);
    for (size_t i = 0; status.ok() && i < stages.size(); ++i) {
      for (const uint32_t swizzling : {0u, 1u}) {
        LtConfig config = first->config;
        config.id = id;
        config.stages = stages[i];
        config.swizzling = swizzling;
        if (status.ok()) status = add(config);
      }
    }
  }
  return status;
}

CudaStatus CudaTuner::Lay(const std::vector<Candidate>& candidates) {
  int64_t workspace = 0;
  for (const Candidate& candidate : candidates) workspace = std::max(workspace, candidate.algorithm.workspace);
  int64_t next = 0;
  const auto place = [&](int64_t bytes) {
    const int64_t begin = next;
    next += Aligned(bytes);
    return begin;
  };
  const int64_t in = ElementBytes(key_.dtype);
  const int64_t c_bytes = key_.m * key_.ldc * ElementBytes(key_.c_dtype);
  layout_.ticket = place(sizeof(unsigned long long));
  layout_.a = place(key_.m * key_.lda * in);
  layout_.w = place((key_.w_transposed ? key_.n : key_.k) * key_.ldw * in);
  layout_.c = place(c_bytes);
  layout_.reference = place(c_bytes);
  layout_.workspace = place(workspace);
  layout_.end = next;
  return lane_->Reserve(layout_.end, &base_);
}

// Uniform in [-1, 1): what is easy to multiply draws less power and runs at a higher clock.
CudaStatus CudaTuner::FillOperand(int64_t at, int64_t bytes, uint64_t seed) {
  const kernels::DType dtype = TypeOf(key_.dtype);
  const int64_t size = ElementBytes(key_.dtype);
  uint64_t state = seed;
  const auto fill = [&](int64_t /*offset*/, int64_t count, std::byte* to) {
    std::array<float, 256> piece;
    for (int64_t done = 0; done < count;) {
      const int64_t elements = std::min<int64_t>(piece.size(), (count - done) / size);
      for (int64_t i = 0; i < elements; ++i) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece[static_cast<size_t>(i)] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
      }
      kernels::FromF32(dtype, piece.data(), elements, to + done);
      done += elements * size;
      if (elements == 0) break;
    }
  };
  return lane_->transfer().ToDevice(base_ + at, bytes, fill, lane_->stream());
}

CudaStatus CudaTuner::Queue(const LtAlgorithm& algorithm) {
  LtArguments arguments;
  arguments.a = base_ + layout_.w;
  arguments.b = base_ + layout_.a;
  arguments.c = base_ + layout_.c;
  arguments.workspace = base_ + layout_.workspace;
  arguments.workspace_bytes = algorithm.workspace;
  return matmul_->Run(algorithm, arguments, lane_->stream());
}

CudaStatus CudaTuner::TimeLaunches(const LtAlgorithm& algorithm, int64_t launches, int64_t* ns) {
  CudaStatus status = driver_->Record(lane_->begin(), lane_->stream());
  for (int64_t i = 0; status.ok() && i < launches; ++i) status = Queue(algorithm);
  if (status.ok()) status = driver_->Record(lane_->end(), lane_->stream());
  if (status.ok()) status = driver_->Synchronize(lane_->end());
  if (status.ok()) status = driver_->Elapsed(lane_->begin(), lane_->end(), ns);
  if (status.ok()) *ns /= launches;
  return status;
}

CudaStatus CudaTuner::Time(Candidate* candidate) {
  // The first launch loads the kernel, the second one tells how long it takes.
  int64_t ns = 0;
  CudaStatus status = TimeLaunches(candidate->algorithm, 1, &ns);
  if (status.ok()) status = TimeLaunches(candidate->algorithm, 1, &ns);
  const int64_t launches = std::clamp(kLongEnoughNs / std::max<int64_t>(ns, 1), int64_t{1}, kMostLaunches);
  std::vector<int64_t> times;
  const int repeats = std::max(options_.repeats, 1);
  for (int i = 0; status.ok() && i < repeats; ++i) {
    status = TimeLaunches(candidate->algorithm, launches, &ns);
    times.push_back(ns);
  }
  if (!status.ok()) return status;
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  candidate->median_ns = times[static_cast<size_t>(repeats / 2)];
  return {};
}

CudaStatus CudaTuner::ComputeReference() {
  kernels::PlainGemm gemm;
  gemm.m = key_.m;
  gemm.n = key_.n;
  gemm.k = key_.k;
  gemm.a = base_ + layout_.a;
  gemm.lda = key_.lda;
  gemm.w = base_ + layout_.w;
  gemm.ldw = key_.ldw;
  gemm.w_transposed = key_.w_transposed;
  gemm.c = base_ + layout_.reference;
  gemm.ldc = key_.ldc;
  gemm.dtype = key_.dtype;
  gemm.c_dtype = key_.c_dtype;
  gemm.bm = key_.bm;
  gemm.bn = key_.bn;
  gemm.grid_cols = (key_.n + key_.bn - 1) / key_.bn;
  gemm.ticket = reinterpret_cast<unsigned long long*>(base_ + layout_.ticket);
  BwrtCudaWave wave{};
  wave.bm = key_.bm;
  wave.bn = key_.bn;
  wave.k = key_.k;
  const int64_t tiles = (key_.m + key_.bm - 1) / key_.bm * gemm.grid_cols;
  const int64_t per_launch = CudaWaveRun::TilesPerLaunch(wave, multiprocessors_);
  // One at a time, so that others get their turn and it can be stopped.
  for (gemm.first = 0; gemm.first < tiles; gemm.first += per_launch) {
    gemm.count = std::min(per_launch, tiles - gemm.first);
    CudaStatus status = Ask();
    if (status.ok()) {
      status = driver_->Fill(base_ + layout_.ticket, std::byte{0}, sizeof(unsigned long long), lane_->stream());
    }
    if (status.ok()) status = driver_->LaunchPlain(gemm, lane_->stream());
    if (status.ok()) status = driver_->SynchronizeStream(lane_->stream());
    if (!status.ok()) return status;
  }
  reference_.resize(static_cast<size_t>(key_.m * key_.ldc * ElementBytes(key_.c_dtype)));
  const auto take = [this](int64_t offset, int64_t bytes, const std::byte* from) {
    std::memcpy(reference_.data() + offset, from, static_cast<size_t>(bytes));
  };
  return lane_->transfer().ToHost(base_ + layout_.reference, static_cast<int64_t>(reference_.size()), take,
                                  lane_->stream());
}

CudaStatus CudaTuner::ErrorOf(const LtAlgorithm& algorithm, double* error) {
  const auto bytes = static_cast<int64_t>(reference_.size());
  // A NaN in every type: what is not written shows.
  CudaStatus status = driver_->Fill(base_ + layout_.c, std::byte{0xff}, bytes, lane_->stream());
  if (status.ok()) status = Queue(algorithm);
  if (!status.ok()) return status;
  const kernels::DType dtype = TypeOf(key_.c_dtype);
  const int64_t size = ElementBytes(key_.c_dtype);
  double off = 0, all = 0;
  const auto take = [&](int64_t offset, int64_t count, const std::byte* from) {
    std::array<float, 256> got, want;
    for (int64_t done = 0; done < count;) {
      const int64_t col = (offset + done) / size % key_.ldc;
      // To the end of the row, whose padding nobody writes.
      const int64_t row_left = std::min(key_.ldc - col, (count - done) / size);
      const int64_t elements =
          std::min<int64_t>({static_cast<int64_t>(got.size()), row_left, std::max<int64_t>(key_.n - col, 0)});
      if (elements <= 0) {
        if (row_left <= 0) break;
        done += row_left * size;
        continue;
      }
      kernels::ToF32(dtype, from + done, elements, got.data());
      kernels::ToF32(dtype, reference_.data() + offset + done, elements, want.data());
      for (size_t i = 0; i < static_cast<size_t>(elements); ++i) {
        const double difference = double{got[i]} - double{want[i]};
        off += difference * difference;
        all += double{want[i]} * double{want[i]};
      }
      done += elements * size;
    }
  };
  status = lane_->transfer().ToHost(base_ + layout_.c, bytes, take, lane_->stream());
  *error = std::sqrt(off) / std::sqrt(std::max(all, 1e-30));
  return status;
}

CudaStatus CudaTuner::Run(CudaTuneResult* to) {
  const int64_t begin = now_ns_();
  const LtProblem problem = ToLtProblem(key_);
  if (CudaStatus status = driver_->CreateMatmul(problem, &matmul_); !status.ok()) return status;
  if (matmul_ == nullptr) return {};
  std::vector<Candidate> candidates;
  if (CudaStatus status = FindCandidates(&candidates); !status.ok()) return status;
  to->candidates = static_cast<int>(candidates.size());
  if (candidates.empty()) return {};
  if (CudaStatus status = Lay(candidates); !status.ok()) return status;
  const auto seed = static_cast<uint64_t>(begin) | 1;
  CudaStatus status = FillOperand(layout_.a, layout_.w - layout_.a, seed);
  if (status.ok()) status = FillOperand(layout_.w, layout_.c - layout_.w, seed * 0x9e3779b97f4a7c15u);
  if (!status.ok()) return status;

  std::vector<Candidate> timed;
  for (Candidate& candidate : candidates) {
    if (!timed.empty() && now_ns_() - begin >= options_.budget_ns) break;
    if (status = Ask(); !status.ok()) return status;
    if (status = Time(&candidate); !status.ok()) return status;
    timed.push_back(candidate);
  }
  to->timed = static_cast<int>(timed.size());
  const int64_t first_ns = timed.front().median_ns;

  std::stable_sort(timed.begin(), timed.end(),
                   [](const Candidate& a, const Candidate& b) { return a.median_ns < b.median_ns; });
  if (status = ComputeReference(); !status.ok()) return status;
  for (const Candidate& candidate : timed) {
    if (status = Ask(); !status.ok()) return status;
    double error = 0;
    if (status = ErrorOf(candidate.algorithm, &error); !status.ok()) return status;
    const LtConfig& config = candidate.algorithm.config;
    if (error <= Tolerance(key_)) {
      to->tuning = {problem, ToLtWish(key_), config, candidate.median_ns, first_ns};
      return {};
    }
    char text[32];
    std::snprintf(text, sizeof(text), ": off by %.2g", error);
    to->rejected.push_back(LtKernelName(config) + text);
  }
  return {};
}

}  // namespace bwrt::cuda
