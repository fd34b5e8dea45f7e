#include "runtime/cuda/cuda_runtime_driver.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "runtime/cuda/cublaslt_driver.h"
#include "runtime/cuda/cublaslt_library.h"

namespace bwrt::cuda {
namespace {

// Errors after which "the process must be terminated and relaunched", or its context made anew, as the header says.
bool IsSticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorCudartUnloading:
    case cudaErrorDeviceUninitialized:
      return true;
    default:
      return false;
  }
}

std::string ErrorText(const char* call, cudaError_t error) {
  return std::string(call) + ": " + cudaGetErrorName(error) + " (" + std::to_string(error) +
         "): " + cudaGetErrorString(error);
}

// "13.0" of 13000.
std::string CudaVersion(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// "580.65.06", as NVML tells it; "" where it does not.
std::string NvidiaDriver() {
  void* const nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (nvml == nullptr) return "";
  // 0 is success.
  const auto init = reinterpret_cast<int (*)()>(dlsym(nvml, "nvmlInit_v2"));
  const auto get = reinterpret_cast<int (*)(char*, unsigned)>(dlsym(nvml, "nvmlSystemGetDriverVersion"));
  const auto shutdown = reinterpret_cast<int (*)()>(dlsym(nvml, "nvmlShutdown"));
  char version[80] = "";
  if (init != nullptr && get != nullptr && shutdown != nullptr && init() == 0) {
    if (get(version, sizeof(version)) != 0) version[0] = '\0';
    (void)shutdown();
  }
  dlclose(nvml);
  return version;
}

template <size_t N>
void Put(char (&to)[N], const std::string& text) {
  const size_t size = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), size);
  to[size] = '\0';
}

#define BWRT_CUDA_CALL(call)                                         \
  do {                                                               \
    const cudaError_t bwrt_error = (call);                           \
    if (bwrt_error != cudaSuccess) return Failed(#call, bwrt_error); \
  } while (false)

class RuntimeDriver final : public CudaDriver {
 public:
  RuntimeDriver(int ordinal, CublasLtLibrary library)
      : ordinal_(ordinal),
        lt_(std::move(library), [](const char* call, cublasStatus_t status) { return LtFailed(call, status); }) {}

  CudaStatus Open() {
    if (CudaStatus status = Enter(); !status.ok()) return status;
    BWRT_CUDA_CALL(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, ordinal_));
    return lt_.Open();
  }

  CudaStatus Enter() override {
    BWRT_CUDA_CALL(cudaSetDevice(ordinal_));
    return {};
  }

  CudaStatus Describe(BwrtCudaInfo* info) override {
    cudaDeviceProp properties;
    int driver = 0;
    int runtime = 0;
    BWRT_CUDA_CALL(cudaGetDeviceProperties(&properties, ordinal_));
    BWRT_CUDA_CALL(cudaDriverGetVersion(&driver));
    BWRT_CUDA_CALL(cudaRuntimeGetVersion(&runtime));
    info->compute_major = properties.major;
    info->compute_minor = properties.minor;
    info->multiprocessors = properties.multiProcessorCount;
    info->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    info->l2_bytes = properties.l2CacheSize;
    Put(info->name, properties.name);
    Put(info->nvidia_driver, NvidiaDriver());
    Put(info->driver_version, CudaVersion(driver));
    Put(info->runtime_version, CudaVersion(runtime));
    Put(info->cublaslt_version, lt_.version());
    return {};
  }

  CudaStatus FreeMemory(int64_t* bytes) override {
    size_t free = 0;
    size_t total = 0;
    BWRT_CUDA_CALL(cudaMemGetInfo(&free, &total));
    *bytes = static_cast<int64_t>(free);
    return {};
  }

  CudaStatus Reset() override {
    lt_.Close();
    BWRT_CUDA_CALL(cudaSetDevice(ordinal_));
    BWRT_CUDA_CALL(cudaDeviceReset());
    return Open();
  }

  CudaStatus Allocate(int64_t bytes, DevicePtr* to) override {
    void* memory = nullptr;
    BWRT_CUDA_CALL(cudaMalloc(&memory, static_cast<size_t>(bytes)));
    *to = static_cast<DevicePtr>(memory);
    return {};
  }
  CudaStatus Free(DevicePtr memory) override {
    BWRT_CUDA_CALL(cudaFree(memory));
    return {};
  }
  CudaStatus AllocatePinned(int64_t bytes, std::byte** to) override {
    void* memory = nullptr;
    const cudaError_t error = cudaMallocHost(&memory, static_cast<size_t>(bytes));
    if (error == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return {BWRT_CUDA_OUT_OF_HOST_MEMORY, ErrorText("cudaMallocHost", error), error};
    }
    if (error != cudaSuccess) return Failed("cudaMallocHost", error);
    *to = static_cast<std::byte*>(memory);
    return {};
  }
  CudaStatus FreePinned(std::byte* memory) override {
    BWRT_CUDA_CALL(cudaFreeHost(memory));
    return {};
  }

  CudaStatus CreateStream(bool high, Stream* to) override {
    int least = 0;
    int greatest = 0;
    cudaStream_t stream = nullptr;
    BWRT_CUDA_CALL(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    BWRT_CUDA_CALL(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, high ? greatest : least));
    *to = reinterpret_cast<Stream>(stream);
    return {};
  }
  CudaStatus DestroyStream(Stream stream) override {
    BWRT_CUDA_CALL(cudaStreamDestroy(Of(stream)));
    return {};
  }
  CudaStatus CreateEvent(Event* to) override {
    cudaEvent_t event = nullptr;
    BWRT_CUDA_CALL(cudaEventCreate(&event));
    *to = reinterpret_cast<Event>(event);
    return {};
  }
  CudaStatus DestroyEvent(Event event) override {
    BWRT_CUDA_CALL(cudaEventDestroy(Of(event)));
    return {};
  }

  CudaStatus CopyToDevice(DevicePtr to, const std::byte* pinned, int64_t bytes, Stream stream) override {
    BWRT_CUDA_CALL(cudaMemcpyAsync(to, pinned, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, Of(stream)));
    return {};
  }
  CudaStatus CopyToHost(std::byte* pinned, const std::byte* from, int64_t bytes, Stream stream) override {
    BWRT_CUDA_CALL(cudaMemcpyAsync(pinned, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, Of(stream)));
    return {};
  }
  CudaStatus Fill(DevicePtr to, std::byte value, int64_t bytes, Stream stream) override {
    BWRT_CUDA_CALL(cudaMemsetAsync(to, std::to_integer<int>(value), static_cast<size_t>(bytes), Of(stream)));
    return {};
  }
  CudaStatus Record(Event event, Stream stream) override {
    BWRT_CUDA_CALL(cudaEventRecord(Of(event), Of(stream)));
    return {};
  }
  CudaStatus Synchronize(Event event) override {
    BWRT_CUDA_CALL(cudaEventSynchronize(Of(event)));
    return {};
  }
  CudaStatus SynchronizeStream(Stream stream) override {
    BWRT_CUDA_CALL(cudaStreamSynchronize(Of(stream)));
    return {};
  }
  CudaStatus Elapsed(Event begin, Event end, int64_t* ns) override {
    float ms = 0;
    BWRT_CUDA_CALL(cudaEventElapsedTime(&ms, Of(begin), Of(end)));
    *ns = std::llround(static_cast<double>(ms) * 1e6);
    return {};
  }

  CudaStatus LaunchPlain(const kernels::PlainGemm& gemm, Stream stream) override {
    const int error = kernels::LaunchPlainGemm(gemm, multiprocessors_, stream);
    return error == cudaSuccess ? CudaStatus() : Failed("the plain GEMM kernel", static_cast<cudaError_t>(error));
  }
  CudaStatus LaunchWgmma(const kernels::WgmmaGemm& gemm, Stream stream) override {
    const int error = kernels::LaunchWgmmaGemm(gemm, multiprocessors_, stream);
    return error == cudaSuccess ? CudaStatus() : Failed("the Hopper GEMM kernel", static_cast<cudaError_t>(error));
  }
  CudaStatus BeginCapture(Stream stream) override {
    // What other threads do meanwhile, such as allocating, does not concern it.
    BWRT_CUDA_CALL(cudaStreamBeginCapture(Of(stream), cudaStreamCaptureModeThreadLocal));
    return {};
  }
  CudaStatus EndCapture(Stream stream, Graph* graph) override {
    cudaGraph_t captured = nullptr;
    BWRT_CUDA_CALL(cudaStreamEndCapture(Of(stream), &captured));
    CudaStatus status = graph == nullptr ? CudaStatus() : Instantiate(captured, graph);
    (void)cudaGraphDestroy(captured);
    return status;
  }
  CudaStatus LaunchGraph(Graph graph, Stream stream) override {
    BWRT_CUDA_CALL(cudaGraphLaunch(Of(graph), Of(stream)));
    return {};
  }
  CudaStatus DestroyGraph(Graph graph) override {
    BWRT_CUDA_CALL(cudaGraphExecDestroy(Of(graph)));
    return {};
  }
  CudaStatus CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to) override {
    return lt_.CreateMatmul(problem, to);
  }

 private:
  static cudaStream_t Of(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }
  static cudaEvent_t Of(Event event) { return reinterpret_cast<cudaEvent_t>(event); }
  static cudaGraphExec_t Of(Graph graph) { return reinterpret_cast<cudaGraphExec_t>(graph); }

  static CudaStatus Instantiate(cudaGraph_t captured, Graph* graph) {
    if (*graph != nullptr) {
      cudaGraphExecUpdateResultInfo info;
      const cudaError_t error = cudaGraphExecUpdate(Of(*graph), captured, &info);
      if (error == cudaSuccess) return {};
      if (error != cudaErrorGraphExecUpdateFailure) return Failed("cudaGraphExecUpdate", error);
      // Another kernel, say. That is no error.
      (void)cudaGetLastError();
      (void)cudaGraphExecDestroy(Of(std::exchange(*graph, nullptr)));
    }
    cudaGraphExec_t made = nullptr;
    BWRT_CUDA_CALL(cudaGraphInstantiate(&made, captured, 0));
    *graph = reinterpret_cast<Graph>(made);
    return {};
  }

  static CudaStatus Failed(const char* call, cudaError_t error) {
    // Takes the error away, so that it is not met again by a call that has nothing to do with it; a sticky one stays.
    (void)cudaGetLastError();
    return RuntimeError(call, error);
  }

  static CudaStatus LtFailed(const char* call, cublasStatus_t status) {
    if (const cudaError_t error = cudaGetLastError(); IsSticky(error)) return RuntimeError(call, error);
    const std::string text = std::string(call) + ": cuBLAS status " + std::to_string(status);
    if (status == CUBLAS_STATUS_ALLOC_FAILED) return {BWRT_CUDA_OUT_OF_HOST_MEMORY, text, status};
    return {BWRT_CUDA_FAILED, text, status};
  }

  const int ordinal_;
  CublasLtDriver lt_;
  int multiprocessors_ = 1;
};

#undef BWRT_CUDA_CALL

}  // namespace

CudaStatus RuntimeError(const char* call, int error) {
  const auto cuda = static_cast<cudaError_t>(error);
  // The macro hands in the whole call; its name is enough.
  const std::string text = ErrorText(std::string(call, std::strcspn(call, "(")).c_str(), cuda);
  if (IsSticky(cuda)) return {BWRT_CUDA_DEVICE_LOST, text, error};
  if (cuda == cudaErrorMemoryAllocation) return {BWRT_CUDA_OUT_OF_DEVICE_MEMORY, text, error};
  return {BWRT_CUDA_FAILED, text, error};
}

CudaStatus MakeRuntimeDriver(int ordinal, std::unique_ptr<CudaDriver>* to) {
  // The runtime would say only that the driver is too old.
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) == nullptr) {
    return {BWRT_CUDA_NO_DRIVER, "no libcuda.so.1: install the NVIDIA driver (in a container: run it with the GPU)"};
  }
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    return {BWRT_CUDA_NO_DRIVER,
            "the NVIDIA driver knows CUDA up to " + CudaVersion(driver) + ", this plugin needs " +
                CudaVersion(CUDART_VERSION) + ": install a newer driver",
            error};
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    return {BWRT_CUDA_NO_DEVICE,
            "libcuda.so.1 is there, but it sees no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES", error};
  }
  if (error != cudaSuccess) return {BWRT_CUDA_NO_DEVICE, ErrorText("cudaGetDeviceCount", error), error};
  if (ordinal < 0 || ordinal >= count) {
    return {BWRT_CUDA_NO_DEVICE,
            "no GPU " + std::to_string(ordinal) + ": there are " + std::to_string(count) + ", from 0"};
  }
  CublasLtLibrary library;
  if (CudaStatus status = CublasLtLibrary::Load(&library); !status.ok()) return status;
  auto made = std::make_unique<RuntimeDriver>(ordinal, std::move(library));
  if (CudaStatus status = made->Open(); !status.ok()) return status;
  *to = std::move(made);
  return {};
}

}  // namespace bwrt::cuda
