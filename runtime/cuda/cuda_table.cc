#include "runtime/cuda/cuda_table.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

struct BwrtCudaDevice {
  std::unique_ptr<bwrt::cuda::CudaEngine> engine;
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
  return Guarded(error, [&] { return device->engine->Recreate(); });
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

int32_t OpenEngine(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options, BwrtCudaDevice** device,
                   BwrtCudaError* error) {
  return Guarded(error, [&]() -> CudaStatus {
    auto made = std::make_unique<BwrtCudaDevice>();
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
  return table;
}

}  // namespace bwrt::cuda
