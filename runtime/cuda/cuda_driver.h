// CudaDriver: exactly the calls into CUDA and cuBLASLt that the plugin makes, so that all that decides can be tested
// without a GPU. The real one is thin.
//
// Thread-safe, as CUDA is. Calls that take a stream return at once; what they were given must stay until the stream has
// come past them. Errors: DEVICE_LOST for a sticky one; OUT_OF_DEVICE_MEMORY and OUT_OF_HOST_MEMORY; else FAILED.
#ifndef BWRT_RUNTIME_CUDA_CUDA_DRIVER_H_
#define BWRT_RUNTIME_CUDA_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/plain_gemm_cuda.h"
#include "kernels/cuda/wgmma_gemm_cuda.h"
#include "runtime/cuda/cublaslt_matmul.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

using DevicePtr = std::byte*;  // Not to be followed here.
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using Graph = struct GraphTag*;  // Executable.

class CudaDriver {
 public:
  virtual ~CudaDriver() = default;

  // Makes the device current on the calling thread, its context too where there is none yet.
  virtual CudaStatus Enter() = 0;
  virtual CudaStatus Describe(BwrtCudaInfo* info) = 0;
  virtual CudaStatus FreeMemory(int64_t* bytes) = 0;
  // A new context; everything that was made in the old one is gone.
  virtual CudaStatus Reset() = 0;

  virtual CudaStatus Allocate(int64_t bytes, DevicePtr* to) = 0;
  virtual CudaStatus Free(DevicePtr memory) = 0;
  virtual CudaStatus AllocatePinned(int64_t bytes, std::byte** to) = 0;
  virtual CudaStatus FreePinned(std::byte* memory) = 0;

  // `high`: kernels of this stream go before those of others that wait.
  virtual CudaStatus CreateStream(bool high, Stream* to) = 0;
  virtual CudaStatus DestroyStream(Stream stream) = 0;
  virtual CudaStatus CreateEvent(Event* to) = 0;
  virtual CudaStatus DestroyEvent(Event event) = 0;

  virtual CudaStatus CopyToDevice(DevicePtr to, const std::byte* pinned, int64_t bytes, Stream stream) = 0;
  virtual CudaStatus CopyToHost(std::byte* pinned, const std::byte* from, int64_t bytes, Stream stream) = 0;
  virtual CudaStatus Fill(DevicePtr to, std::byte value, int64_t bytes, Stream stream) = 0;
  virtual CudaStatus Record(Event event, Stream stream) = 0;
  // Blocks until the stream has come past the event's last record.
  virtual CudaStatus Synchronize(Event event) = 0;
  virtual CudaStatus SynchronizeStream(Stream stream) = 0;
  // Between two events that have passed.
  virtual CudaStatus Elapsed(Event begin, Event end, int64_t* ns) = 0;

  virtual CudaStatus LaunchPlain(const kernels::PlainGemm& gemm, Stream stream) = 0;
  // The Hopper kernel, skinny waves too; on compute capability 9.0 alone.
  virtual CudaStatus LaunchWgmma(const kernels::WgmmaGemm& gemm, Stream stream) = 0;
  // From here on what this thread queues on the stream is kept for a graph instead of being run.
  virtual CudaStatus BeginCapture(Stream stream) = 0;
  // Ends that, also where it fails. What was queued is then in *graph: put into the one that is there where its shape
  // is the same, else a new one takes its place; null there makes one. On an error *graph may have become null. With
  // `graph` null what was queued is thrown away.
  virtual CudaStatus EndCapture(Stream stream, Graph* graph) = 0;
  virtual CudaStatus LaunchGraph(Graph graph, Stream stream) = 0;
  // Not while it runs.
  virtual CudaStatus DestroyGraph(Graph graph) = 0;

  // Null in *to where cuBLASLt has nothing for the problem.
  virtual CudaStatus CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to) = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_DRIVER_H_
