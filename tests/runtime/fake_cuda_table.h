// The plugin's table over a fake GPU: everything of the CUDA device but CUDA.
//
// One at a time in a process, since a table of plain functions carries no context.
#ifndef BWRT_TESTS_RUNTIME_FAKE_CUDA_TABLE_H_
#define BWRT_TESTS_RUNTIME_FAKE_CUDA_TABLE_H_

#include <memory>
#include <utility>

#include "runtime/cuda/cuda_table.h"
#include "runtime/cuda_plugin_abi.h"
#include "tests/runtime/cuda/fake_counter_source.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::runtime {

class FakeCudaTable {
 public:
  FakeCudaTable() { current_ = this; }
  ~FakeCudaTable() { current_ = nullptr; }
  FakeCudaTable(const FakeCudaTable&) = delete;
  FakeCudaTable& operator=(const FakeCudaTable&) = delete;

  cuda::FakeGpu& gpu() { return gpu_; }
  const BwrtCudaTable* table() const { return &table_; }
  // What opening a device answers, unless OK.
  void FailOpen(cuda::CudaStatus status) { open_status_ = std::move(status); }
  // Hardware counters: GPM's, and PM sampling's, which are asked for with BWRT_CUDA_COUNTERS_PM alone.
  cuda::CounterScript& gpm() { return gpm_; }
  cuda::CounterScript& pm() { return pm_; }

 private:
  static int32_t Open(const BwrtCudaOptions* options, BwrtCudaDevice** device, BwrtCudaError* error) {
    if (!current_->open_status_.ok()) return cuda::Answer(current_->open_status_, error);
    cuda::CudaEngineOptions engine;
    engine.memory_limit = options->memory_limit;
    engine.graphs = static_cast<size_t>(options->graphs);
    // Unless it is asked for: the Hopper kernel is checked when a device is opened, and has tests of its own.
    engine.kernel = options->kernel == BWRT_CUDA_KERNEL_AUTO ? BWRT_CUDA_KERNEL_CUBLASLT : options->kernel;
    engine.counters = options->counters != 0;
    engine.poison = options->poison != 0;
    engine.lane_piece = 1024;  // Small, so that copies take several.
    engine.upload_piece = 4096;
    engine.read_piece = 512;
    return cuda::OpenEngine(
        std::make_unique<cuda::FakeCudaDriver>(&current_->gpu_), engine,
        [](int32_t mode) { return current_->MakeSources(mode); }, device, error);
  }

  cuda::CudaCounters::Sources MakeSources(int32_t mode) {
    cuda::CudaCounters::Sources sources;
    if (mode == BWRT_CUDA_COUNTERS_PM) {
      sources.push_back(std::make_unique<cuda::FakeCounterSource>(BWRT_CUDA_SOURCE_PM, "fake PM", &pm_));
    }
    sources.push_back(std::make_unique<cuda::FakeCounterSource>(BWRT_CUDA_SOURCE_GPM, "fake GPM", &gpm_));
    return sources;
  }

  static inline FakeCudaTable* current_ = nullptr;
  cuda::FakeGpu gpu_;
  cuda::CudaStatus open_status_;
  cuda::CounterScript gpm_;
  cuda::CounterScript pm_;
  const BwrtCudaTable table_ = cuda::TableWith("fake", &Open);
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_FAKE_CUDA_TABLE_H_
