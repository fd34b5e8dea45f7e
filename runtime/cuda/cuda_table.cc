#include "runtime/cuda/cuda_table.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "runtime/mutex.h"

struct BwrtCudaDevice {
  std::unique_ptr<bwrt::cuda::CudaEngine> engine;
  bwrt::cuda::CounterSourceFactory make_sources;
  // Held by whatever counts, and while the context is made anew: nothing may count meanwhile.
  bwrt::runtime::Mutex counters_mu;
  std::unique_ptr<bwrt::cuda::CudaCounters> counters ABSL_GUARDED_BY(counters_mu);
};

struct BwrtCudaBuffer {
  bwrt::cuda::CudaMemory memory;
};

namespace bwrt::cuda {
namespace {

// Runs what answers a CudaStatus.
template <typename Work>
int32_t Guarded(BwrtCudaError* error, const Work& work) {
  try {
    return Answer(work(), error);
  } catch (const std::exception& e) {
    return Answer({BWRT_CUDA_OUT_OF_HOST_MEMORY, std::string("no memory; retry later (") + e.what() + ")"}, error);
  }
}

void Close(BwrtCudaDevice* device) { delete device; }

void GetInfo(BwrtCudaDevice* device, BwrtCudaInfo* info) { *info = device->engine->info(); }

void GetMemory(BwrtCudaDevice* device, BwrtCudaMemory* memory) {
  const CudaPool& pool = device->engine->pool();
  *memory = {sizeof(*memory), 0, pool.limit(), pool.used(), pool.kept()};
}

int32_t Allocate(BwrtCudaDevice* device, int64_t bytes, BwrtCudaBuffer** buffer, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    auto made = std::make_unique<BwrtCudaBuffer>();
    CudaStatus status = device->engine->Allocate(bytes, &made->memory);
    if (status.ok()) *buffer = made.release();
    return status;
  });
}

void FreeBuffer(BwrtCudaDevice* device, BwrtCudaBuffer* buffer) {
  if (buffer == nullptr) return;
  device->engine->Free(buffer->memory);
  delete buffer;
}

int32_t Upload(BwrtCudaDevice* device, BwrtCudaBuffer* buffer, int64_t offset, const void* from, int64_t bytes,
               BwrtCudaError* error) {
  return Guarded(error, [&] {
    return device->engine->Upload(buffer->memory, offset, static_cast<const std::byte*>(from), bytes);
  });
}

int32_t Read(BwrtCudaDevice* device, BwrtCudaBuffer* buffer, int64_t offset, void* to, int64_t bytes,
             BwrtCudaError* error) {
  return Guarded(error,
                 [&] { return device->engine->Read(buffer->memory, offset, static_cast<std::byte*>(to), bytes); });
}

int32_t Plan(BwrtCudaDevice* device, const BwrtCudaWave* wave, BwrtCudaEffective* effective, BwrtCudaError* error) {
  return Guarded(error, [&] { return device->engine->Plan(*wave, effective); });
}

int32_t Run(BwrtCudaDevice* device, const BwrtCudaWave* wave, const BwrtCudaProgress* progress, BwrtCudaReport* report,
            BwrtCudaError* error) {
  return Guarded(error, [&] {
    const CudaMemory* const w = wave->w_buffer == nullptr ? nullptr : &wave->w_buffer->memory;
    return device->engine->Run(*wave, w, *progress, report);
  });
}

int32_t Recreate(BwrtCudaDevice* device, BwrtCudaError* error) {
  return Guarded(error, [&] {
    runtime::MutexLock lock(device->counters_mu);
    if (device->counters != nullptr) device->counters->Pause();
    return device->engine->Recreate();
  });
}

int32_t StartCounters(BwrtCudaDevice* device, const BwrtCudaCounterOptions* options, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    if (options->size < sizeof(BwrtCudaCounterOptions) || options->interval_ns <= 0 ||
        (options->mode != BWRT_CUDA_COUNTERS_GPM && options->mode != BWRT_CUDA_COUNTERS_PM)) {
      return {BWRT_CUDA_INVALID, "the options of the counters are of another version"};
    }
    runtime::MutexLock lock(device->counters_mu);
    if (device->counters != nullptr) return {BWRT_CUDA_INVALID, "the counters were started before"};
    CudaCounters::Sources sources;
    if (device->make_sources) sources = device->make_sources(options->mode);
    device->counters =
        std::make_unique<CudaCounters>(std::move(sources), std::chrono::nanoseconds(options->interval_ns));
    return {};
  });
}

int32_t SampleCounters(BwrtCudaDevice* device, BwrtCudaCounters* counters, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    runtime::MutexLock lock(device->counters_mu);
    if (device->counters == nullptr) return {BWRT_CUDA_INVALID, "the counters were not started"};
    if (counters->size < sizeof(*counters)) return {BWRT_CUDA_INVALID, "the counters are of another version"};
    device->counters->Sample(std::chrono::steady_clock::now(), counters);
    return {};
  });
}

void StopCounters(BwrtCudaDevice* device) {
  runtime::MutexLock lock(device->counters_mu);
  device->counters.reset();
}

constexpr int64_t kMaxSide = std::numeric_limits<int32_t>::max();

// Numbers from elsewhere: cuBLASLt is to be asked about nothing that no wave could be.
bool InRange(const BwrtCudaTuning& t) {
  const auto within = [](int64_t value, int64_t least, int64_t most) { return value >= least && value <= most; };
  const auto side = [&](int64_t value) { return within(value, 1, kMaxSide); };
  const auto small = [&](int64_t value) { return within(value, 1, 1 << 24); };
  return within(t.dtype, 0, BWRT_CUDA_F8_E5M2) && within(t.c_dtype, 0, BWRT_CUDA_BF16) &&
         within(t.activation, 0, static_cast<int32_t>(LtActivation::kGelu)) && within(t.bias, 0, 1) &&
         within(t.w_transposed, 0, 1) && side(t.m) && side(t.n) && side(t.k) && side(t.lda) && side(t.ldw) &&
         side(t.ldc) && t.lda >= t.k && t.ldw >= (t.w_transposed != 0 ? t.k : t.n) && t.ldc >= t.n && small(t.bm) &&
         small(t.bn) && small(t.bk) && small(t.stages) && small(t.cluster_x) && small(t.cluster_y) &&
         within(t.algorithm, 0, 1 << 16) && t.tile < (1u << 16) && t.tile_stages < (1u << 16) &&
         t.cluster < (1u << 16) && t.swizzling < (1u << 16) && within(t.split_k, 1, 1 << 16) &&
         t.reduction < (1u << 16) && t.inner_shape < (1u << 16) && t.custom < (1u << 16) && t.median_ns >= 0 &&
         t.first_ns >= 0;
}

CudaTuning FromAbi(const BwrtCudaTuning& t) {
  CudaPlanKey key;
  key.dtype = t.dtype;
  key.c_dtype = t.c_dtype;
  key.bias = t.bias != 0;
  key.m = t.m;
  key.n = t.n;
  key.k = t.k;
  key.w_transposed = t.w_transposed != 0;
  key.lda = t.lda;
  key.ldw = t.ldw;
  key.ldc = t.ldc;
  key.bm = t.bm;
  key.bn = t.bn;
  key.bk = t.bk;
  key.stages = t.stages;
  key.cluster_x = t.cluster_x;
  key.cluster_y = t.cluster_y;
  CudaTuning tuning;
  tuning.problem = ToLtProblem(key);
  tuning.problem.activation = static_cast<LtActivation>(t.activation);
  tuning.wish = ToLtWish(key);
  tuning.config.id = t.algorithm;
  tuning.config.tile = t.tile;
  tuning.config.stages = t.tile_stages;
  tuning.config.cluster = static_cast<uint16_t>(t.cluster);
  tuning.config.swizzling = t.swizzling;
  tuning.config.split_k = t.split_k;
  tuning.config.reduction = t.reduction;
  tuning.config.inner_shape = static_cast<uint16_t>(t.inner_shape);
  tuning.config.custom = t.custom;
  tuning.median_ns = t.median_ns;
  tuning.first_ns = t.first_ns;
  return tuning;
}

BwrtCudaTuning ToAbi(const CudaTuning& tuning) {
  const LtProblem& p = tuning.problem;
  BwrtCudaTuning t{};
  t.size = sizeof(t);
  t.dtype = p.dtype;
  t.c_dtype = p.c_dtype;
  t.activation = static_cast<int32_t>(p.activation);
  t.bias = p.bias ? 1 : 0;
  t.w_transposed = p.a_transposed ? 1 : 0;
  t.m = p.cols;
  t.n = p.rows;
  t.k = p.k;
  t.lda = p.ldb;
  t.ldw = p.lda;
  t.ldc = p.ldc;
  t.bm = tuning.wish.tile.cols;
  t.bn = tuning.wish.tile.rows;
  t.bk = tuning.wish.stages.k;
  t.stages = tuning.wish.stages.count;
  t.cluster_x = tuning.wish.cluster.cols;
  t.cluster_y = tuning.wish.cluster.rows;
  t.algorithm = tuning.config.id;
  t.tile = tuning.config.tile;
  t.tile_stages = tuning.config.stages;
  t.cluster = tuning.config.cluster;
  t.swizzling = tuning.config.swizzling;
  t.split_k = tuning.config.split_k;
  t.reduction = tuning.config.reduction;
  t.inner_shape = tuning.config.inner_shape;
  t.custom = tuning.config.custom;
  t.median_ns = tuning.median_ns;
  t.first_ns = tuning.first_ns;
  return t;
}

int32_t Tune(BwrtCudaDevice* device, const BwrtCudaWave* wave, const BwrtCudaTuneOptions* options,
             const BwrtCudaProgress* progress, BwrtCudaTuneReport* report, BwrtCudaError* error) {
  return Guarded(error, [&] {
    CudaTuneResult result;
    CudaStatus status = device->engine->Tune(*wave, *options, *progress, &result);
    if (!status.ok()) return status;
    result.Describe(report);
    if (result.tuning) report->tuning = ToAbi(*result.tuning);
    return status;
  });
}

int32_t GetTunings(BwrtCudaDevice* device, BwrtCudaTuning* to, int64_t capacity, int64_t* count, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    const std::vector<CudaTuning> tunings = device->engine->Tunings();
    *count = static_cast<int64_t>(tunings.size());
    for (int64_t i = 0; i < std::min(capacity, *count); ++i) to[i] = ToAbi(tunings[static_cast<size_t>(i)]);
    return {};
  });
}

int32_t SetTuning(BwrtCudaDevice* device, const BwrtCudaTuning* tuning, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    if (!InRange(*tuning)) return {BWRT_CUDA_INVALID, "a number is out of range"};
    return device->engine->SetTuning(FromAbi(*tuning));
  });
}

}  // namespace

int32_t Answer(const CudaStatus& status, BwrtCudaError* error) {
  error->code = status.code();
  error->cuda_code = status.cuda_code();
  const size_t size = std::min(status.text().size(), sizeof(error->text) - 1);
  std::memcpy(error->text, status.text().data(), size);
  error->text[size] = '\0';
  return status.code();
}

int32_t OpenEngine(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options, CounterSourceFactory counters,
                   BwrtCudaDevice** device, BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    auto made = std::make_unique<BwrtCudaDevice>();
    made->make_sources = std::move(counters);
    CudaStatus status = CudaEngine::Create(std::move(driver), options, &made->engine);
    if (status.ok()) *device = made.release();
    return status;
  });
}

BwrtCudaTable TableWith(const char* build, int32_t (*open)(const BwrtCudaOptions*, BwrtCudaDevice**, BwrtCudaError*)) {
  BwrtCudaTable table{};
  table.abi_version = BWRT_CUDA_ABI_VERSION;
  table.size = sizeof(table);
  table.build = build;
  table.open = open;
  table.close = &Close;
  table.get_info = &GetInfo;
  table.get_memory = &GetMemory;
  table.allocate = &Allocate;
  table.free_buffer = &FreeBuffer;
  table.upload = &Upload;
  table.read = &Read;
  table.plan = &Plan;
  table.run = &Run;
  table.recreate = &Recreate;
  table.start_counters = &StartCounters;
  table.sample_counters = &SampleCounters;
  table.stop_counters = &StopCounters;
  table.tune = &Tune;
  table.get_tunings = &GetTunings;
  table.set_tuning = &SetTuning;
  return table;
}

}  // namespace bwrt::cuda
