#include "runtime/cuda/cuda_table.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

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
  return table;
}

}  // namespace bwrt::cuda
