// The plugin's table of functions over CudaEngine: the only place where C++ meets the border.
//
// No exception leaves it: what runs out of memory is OUT_OF_HOST_MEMORY.
#ifndef BWRT_RUNTIME_CUDA_CUDA_TABLE_H_
#define BWRT_RUNTIME_CUDA_CUDA_TABLE_H_

#include <functional>
#include <memory>

#include "runtime/cuda/cuda_counters.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_engine.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

// The sources of hardware counters for a BwrtCudaCounterMode.
using CounterSourceFactory = std::function<CudaCounters::Sources(int32_t mode)>;

// Opens a device with this driver: what the table's `open` does once it has one.
int32_t OpenEngine(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options, CounterSourceFactory counters,
                   BwrtCudaDevice** device, BwrtCudaError* error);

// The table with everything but `open`.
BwrtCudaTable TableWith(const char* build, int32_t (*open)(const BwrtCudaOptions*, BwrtCudaDevice**, BwrtCudaError*));

// Writes *error and returns the code.
int32_t Answer(const CudaStatus& status, BwrtCudaError* error);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_TABLE_H_
