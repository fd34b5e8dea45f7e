#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/cuda/cublaslt_library.h"
#include "tests/bench/gpu/bare_gpu.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;
constexpr int kCandidates = 64;
constexpr int kWarmUps = 3;
constexpr int kRepeats = 9;

// Texts are made only where something failed: this stands between events that are timed.
void Check(cudaError_t error, const char* call) {
  if (error != cudaSuccess) Require(false, std::string(call) + ": " + cudaGetErrorString(error));
}

void Check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) Require(false, std::string(call) + ": status " + std::to_string(status));
}

#define BWRT_BARE(call) Check(call, #call)

struct FreeDevice {
  void operator()(void* memory) const { (void)cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const { (void)cudaFreeHost(memory); }
};
using DeviceMemory = std::unique_ptr<void, FreeDevice>;

DeviceMemory Allocate(size_t bytes) {
  void* memory = nullptr;
  BWRT_BARE(cudaMalloc(&memory, bytes));
  return DeviceMemory(memory);
}

DeviceMemory OnDevice(const std::vector<uint16_t>& values) {
  DeviceMemory memory = Allocate(values.size() * sizeof(uint16_t));
  BWRT_BARE(cudaMemcpy(memory.get(), values.data(), values.size() * sizeof(uint16_t), cudaMemcpyHostToDevice));
  return memory;
}

class Watch {
 public:
  explicit Watch(cudaStream_t stream) : stream_(stream) {
    BWRT_BARE(cudaEventCreate(&begin_));
    BWRT_BARE(cudaEventCreate(&end_));
  }
  ~Watch() {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  template <typename Work>
  double Seconds(const Work& work) {
    BWRT_BARE(cudaEventRecord(begin_, stream_));
    work();
    BWRT_BARE(cudaEventRecord(end_, stream_));
    BWRT_BARE(cudaEventSynchronize(end_));
    float milliseconds = 0;
    BWRT_BARE(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return static_cast<double>(milliseconds) / 1e3;
  }

 private:
  const cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

template <typename Work>
double MedianSeconds(Watch* watch, const Work& work) {
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUps; ++i) watch->Seconds(work);
  for (int i = 0; i < kRepeats; ++i) seconds.push_back(watch->Seconds(work));
  return Median(std::move(seconds));
}

// Row-major C = A @ W with W [n, k] is column-major C^T [n, m] = W^T^T [n, k] @ A^T [k, m]: cuBLASLt's A is W,
// transposed.
class LtMatmulOfShape final : public BareMatmul {
 public:
  LtMatmulOfShape(const cuda::CublasLtLibrary* lib, cublasLtHandle_t handle, cudaStream_t stream, int64_t m, int64_t n,
                  int64_t k, const std::vector<uint16_t>& a, const std::vector<uint16_t>& w)
      : lib_(*lib),
        handle_(handle),
        stream_(stream),
        watch_(stream),
        a_(OnDevice(a)),
        w_(OnDevice(w)),
        c_(Allocate(static_cast<size_t>(m * n) * sizeof(uint16_t))),
        workspace_(Allocate(kWorkspace)) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    BWRT_BARE(lib_.desc_init(&operation_, sizeof(operation_), CUBLAS_COMPUTE_32F, CUDA_R_32F));
    BWRT_BARE(lib_.desc_set(&operation_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)));
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t* to, int64_t rows, int64_t cols) {
      BWRT_BARE(lib_.layout_init(to, sizeof(*to), CUDA_R_16BF, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols),
                                 rows));
    };
    layout(&w_layout_, k, n);
    layout(&a_layout_, k, m);
    layout(&c_layout_, n, m);
    Choose();
  }

  double Run() override {
    return watch_.Seconds([this] { Launch(algorithm_); });
  }
  int candidates() const override { return candidates_; }

 private:
  void Launch(const cublasLtMatmulAlgo_t& algorithm) {
    const float one = 1;
    const float zero = 0;
    BWRT_BARE(lib_.matmul(handle_, &operation_, &one, w_.get(), &w_layout_, a_.get(), &a_layout_, &zero, c_.get(),
                          &c_layout_, c_.get(), &c_layout_, &algorithm, workspace_.get(), kWorkspace, stream_));
  }

  void Choose() {
    cublasLtMatmulPreferenceOpaque_t preference;
    BWRT_BARE(lib_.preference_init(&preference, sizeof(preference)));
    const uint64_t most = kWorkspace;
    BWRT_BARE(lib_.preference_set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof(most)));
    std::vector<cublasLtMatmulHeuristicResult_t> results(kCandidates);
    BWRT_BARE(lib_.get_heuristic(handle_, &operation_, &w_layout_, &a_layout_, &c_layout_, &c_layout_, &preference,
                                 kCandidates, results.data(), &candidates_));
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < candidates_; ++i) {
      const auto& result = results[static_cast<size_t>(i)];
      if (result.state != CUBLAS_STATUS_SUCCESS) continue;
      const double seconds = MedianSeconds(&watch_, [&] { Launch(result.algo); });
      if (seconds >= best) continue;
      best = seconds;
      algorithm_ = result.algo;
    }
    Require(best < std::numeric_limits<double>::infinity(), "cuBLASLt has nothing for the shape");
  }

  const cuda::CublasLtLibrary& lib_;
  const cublasLtHandle_t handle_;
  const cudaStream_t stream_;
  Watch watch_;
  const DeviceMemory a_;
  const DeviceMemory w_;
  const DeviceMemory c_;
  const DeviceMemory workspace_;
  cublasLtMatmulDescOpaque_t operation_{};
  cublasLtMatrixLayoutOpaque_t w_layout_{};
  cublasLtMatrixLayoutOpaque_t a_layout_{};
  cublasLtMatrixLayoutOpaque_t c_layout_{};
  cublasLtMatmulAlgo_t algorithm_{};
  int candidates_ = 0;
};

class CudaBareGpu final : public BareGpu {
 public:
  explicit CudaBareGpu(int ordinal) {
    BWRT_BARE(cudaSetDevice(ordinal));
    const cuda::CudaStatus loaded = cuda::CublasLtLibrary::Load(&lib_);
    Require(loaded.ok(), loaded.text());
    BWRT_BARE(lib_.create(&handle_));
    BWRT_BARE(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~CudaBareGpu() override {
    (void)cudaStreamDestroy(stream_);
    (void)lib_.destroy(handle_);
  }

  std::unique_ptr<BareMatmul> MakeMatmul(int64_t m, int64_t n, int64_t k, const std::vector<uint16_t>& a,
                                         const std::vector<uint16_t>& w) override {
    return std::make_unique<LtMatmulOfShape>(&lib_, handle_, stream_, m, n, k, a, w);
  }

  double CopyBandwidth(int64_t bytes) override {
    const auto size = static_cast<size_t>(bytes);
    const DeviceMemory from = Allocate(size);
    const DeviceMemory to = Allocate(size);
    BWRT_BARE(cudaMemset(from.get(), 1, size));
    Watch watch(stream_);
    const double seconds = MedianSeconds(
        &watch, [&] { BWRT_BARE(cudaMemcpyAsync(to.get(), from.get(), size, cudaMemcpyDeviceToDevice, stream_)); });
    return 2 * static_cast<double>(bytes) / seconds;
  }

  double PinnedUpload(int64_t bytes) override {
    const auto size = static_cast<size_t>(bytes);
    void* pinned = nullptr;
    BWRT_BARE(cudaMallocHost(&pinned, size));
    const std::unique_ptr<void, FreePinned> from(pinned);
    const DeviceMemory to = Allocate(size);
    Watch watch(stream_);
    const double seconds = MedianSeconds(
        &watch, [&] { BWRT_BARE(cudaMemcpyAsync(to.get(), from.get(), size, cudaMemcpyHostToDevice, stream_)); });
    return static_cast<double>(bytes) / seconds;
  }

 private:
  cuda::CublasLtLibrary lib_;
  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace

std::unique_ptr<BareGpu> BareGpu::Open(int ordinal) { return std::make_unique<CudaBareGpu>(ordinal); }

}  // namespace bwrt::bench
