#include "runtime/cuda/cublaslt_driver.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/cuda/cublaslt_numbers.h"

namespace bwrt::cuda {
namespace {

// What cublaslt_numbers.cc believes.
static_assert(CUBLASLT_MATMUL_TILE_128x128 == 20 && CUBLASLT_MATMUL_TILE_128x256 == 23);
static_assert(CUBLASLT_MATMUL_TILE_256x128 == 24 && CUBLASLT_MATMUL_TILE_64x256 == 19);
static_assert(CUBLASLT_MATMUL_TILE_8x8 == 1 && CUBLASLT_MATMUL_TILE_256x32 == 35);
static_assert(CUBLASLT_MATMUL_STAGES_64xAUTO == 35 && CUBLASLT_MATMUL_STAGES_128xAUTO == 36);
static_assert(CUBLASLT_MATMUL_STAGES_16x1 == 1 && CUBLASLT_MATMUL_STAGES_64x4 == 16);
static_assert(CUBLASLT_MATMUL_STAGES_8x3 == 31 && CUBLASLT_MATMUL_STAGES_128x6 == 24);
static_assert(CUBLASLT_CLUSTER_SHAPE_1x1x1 == 2 && CUBLASLT_CLUSTER_SHAPE_2x1x1 == 3);
static_assert(CUBLASLT_CLUSTER_SHAPE_1x2x1 == 5 && CUBLASLT_CLUSTER_SHAPE_2x8x1 == 14);
static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(LtAlgorithm::opaque));

// A buffer from the driver, and every row that was padded, begins at 16 bytes; a stored W lies as published.
uint32_t AlignmentOf(int64_t ld, int64_t element) {
  for (uint32_t bytes = 256; bytes > 1; bytes /= 2) {
    if (ld * element % bytes == 0) return bytes;
  }
  return 1;
}

cudaDataType_t TypeOf(int32_t dtype) {
  switch (dtype) {
    case BWRT_CUDA_F16:
      return CUDA_R_16F;
    case BWRT_CUDA_BF16:
      return CUDA_R_16BF;
    case BWRT_CUDA_F8_E4M3:
      return CUDA_R_8F_E4M3;
    case BWRT_CUDA_F8_E5M2:
      return CUDA_R_8F_E5M2;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t EpilogueOf(const LtProblem& problem) {
  switch (problem.activation) {
    case LtActivation::kRelu:
      return problem.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case LtActivation::kGelu:
      return problem.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case LtActivation::kNone:
      break;
  }
  return problem.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

int64_t BytesOf(int32_t dtype) {
  switch (dtype) {
    case BWRT_CUDA_F32:
      return 4;
    case BWRT_CUDA_F8_E4M3:
    case BWRT_CUDA_F8_E5M2:
      return 1;
    default:
      return 2;
  }
}

// f32 is multiplied as f32: no TF32. Nor is fp8 accumulated fast, which is the descriptor's default.
constexpr cublasComputeType_t kCompute = CUBLAS_COMPUTE_32F;
constexpr cudaDataType_t kScale = CUDA_R_32F;

}  // namespace

class CublasLtDriver::Matmul final : public LtMatmul {
 public:
  Matmul(const CublasLtDriver* driver, const LtProblem& problem) : driver_(*driver), problem_(problem) {}

  CudaStatus Init() {
    const auto& lib = driver_.library_;
    const cudaDataType_t type = TypeOf(problem_.dtype);
    const cublasOperation_t op_a = problem_.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = EpilogueOf(problem_);
    cublasStatus_t status = lib.desc_init(&operation_, sizeof(operation_), kCompute, kScale);
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const void* value, size_t size) {
      if (status == CUBLAS_STATUS_SUCCESS) status = lib.desc_set(&operation_, attribute, value, size);
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof(op_a));
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t* to, cudaDataType_t of, int64_t rows, int64_t cols,
                            int64_t ld) {
      if (status != CUBLAS_STATUS_SUCCESS) return;
      status = lib.layout_init(to, sizeof(*to), of, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), ld);
    };
    if (problem_.a_transposed) {
      layout(&a_, type, problem_.k, problem_.rows, problem_.lda);
    } else {
      layout(&a_, type, problem_.rows, problem_.k, problem_.lda);
    }
    layout(&b_, type, problem_.k, problem_.cols, problem_.ldb);
    layout(&c_, TypeOf(problem_.c_dtype), problem_.rows, problem_.cols, problem_.ldc);
    return status == CUBLAS_STATUS_SUCCESS ? CudaStatus() : driver_.failed_("making a cuBLASLt descriptor", status);
  }

  CudaStatus Heuristics(int64_t workspace, int count, std::vector<LtAlgorithm>* to) override {
    const auto& lib = driver_.library_;
    to->clear();
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasStatus_t status = lib.preference_init(&preference, sizeof(preference));
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const void* value, size_t size) {
      if (status == CUBLAS_STATUS_SUCCESS) status = lib.preference_set(&preference, attribute, value, size);
    };
    const auto bytes = static_cast<uint64_t>(workspace);
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes));
    const int64_t in = BytesOf(problem_.dtype);
    const int64_t out = BytesOf(problem_.c_dtype);
    const uint32_t a = AlignmentOf(problem_.lda, in);
    const uint32_t b = AlignmentOf(problem_.ldb, in);
    const uint32_t c = AlignmentOf(problem_.ldc, out);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof(a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof(b));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof(c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof(c));
    if (status != CUBLAS_STATUS_SUCCESS) return driver_.failed_("making a cuBLASLt preference", status);
    std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(count));
    int found = 0;
    auto operation = operation_;
    auto a_layout = a_, b_layout = b_, c_layout = c_, d_layout = c_;
    status = lib.get_heuristic(driver_.handle_, &operation, &a_layout, &b_layout, &c_layout, &d_layout, &preference,
                               count, results.data(), &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    if (status != CUBLAS_STATUS_SUCCESS) return driver_.failed_("cublasLtMatmulAlgoGetHeuristic", status);
    for (int i = 0; i < found; ++i) {
      const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
      if (result.state != CUBLAS_STATUS_SUCCESS) continue;
      LtAlgorithm& algorithm = to->emplace_back();
      if (CudaStatus got = Describe(result, &algorithm); !got.ok()) return got;
    }
    return {};
  }

  CudaStatus StagesOf(int32_t id, std::vector<uint32_t>* to) override {
    const auto& lib = driver_.library_;
    to->clear();
    cublasLtMatmulAlgo_t algo;
    if (CudaStatus status = InitAlgo(id, &algo); !status.ok()) return status;
    size_t bytes = 0;
    cublasStatus_t status = lib.algo_cap_get(&algo, CUBLASLT_ALGO_CAP_STAGES_IDS, nullptr, 0, &bytes);
    if (status == CUBLAS_STATUS_SUCCESS && bytes > 0) {
      to->resize(bytes / sizeof(uint32_t));
      status = lib.algo_cap_get(&algo, CUBLASLT_ALGO_CAP_STAGES_IDS, to->data(), bytes, &bytes);
    }
    return status == CUBLAS_STATUS_SUCCESS ? CudaStatus()
                                           : driver_.failed_("cublasLtMatmulAlgoCapGetAttribute", status);
  }

  CudaStatus Check(const LtConfig& config, int64_t workspace, bool* legal, LtAlgorithm* to) override {
    const auto& lib = driver_.library_;
    *legal = false;
    cublasLtMatmulAlgo_t algo;
    if (CudaStatus status = InitAlgo(config.id, &algo); !status.ok()) return status;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    const auto set = [&](cublasLtMatmulAlgoConfigAttributes_t attribute, const void* value, size_t size) {
      if (status == CUBLAS_STATUS_SUCCESS) status = lib.algo_config_set(&algo, attribute, value, size);
    };
    set(CUBLASLT_ALGO_CONFIG_TILE_ID, &config.tile, sizeof(config.tile));
    set(CUBLASLT_ALGO_CONFIG_STAGES_ID, &config.stages, sizeof(config.stages));
    set(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &config.swizzling, sizeof(config.swizzling));
    if (config.cluster != 0) set(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &config.cluster, sizeof(config.cluster));
    if (config.split_k != 1) set(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &config.split_k, sizeof(config.split_k));
    if (config.reduction != 0) set(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &config.reduction, sizeof(config.reduction));
    if (config.inner_shape != 0) {
      set(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, &config.inner_shape, sizeof(config.inner_shape));
    }
    if (config.custom != 0) set(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, &config.custom, sizeof(config.custom));
    if (status != CUBLAS_STATUS_SUCCESS) return {};  // Not an attribute of this algorithm.
    cublasLtMatmulHeuristicResult_t result{};
    auto operation = operation_;
    auto a_layout = a_, b_layout = b_, c_layout = c_, d_layout = c_;
    status = lib.algo_check(driver_.handle_, &operation, &a_layout, &b_layout, &c_layout, &d_layout, &algo, &result);
    if (status != CUBLAS_STATUS_SUCCESS || static_cast<int64_t>(result.workspaceSize) > workspace) return {};
    result.algo = algo;
    if (CudaStatus got = Describe(result, to); !got.ok()) return got;
    *legal = true;
    return {};
  }

  CudaStatus Run(const LtAlgorithm& algorithm, const LtArguments& arguments, StreamTag* stream) override {
    const auto& lib = driver_.library_;
    // The pointer to the bias is part of the descriptor, which is shared: each call has its own.
    auto operation = operation_;
    if (problem_.bias) {
      const void* const bias = arguments.bias;
      const cublasStatus_t status = lib.desc_set(&operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
      if (status != CUBLAS_STATUS_SUCCESS) return driver_.failed_("cublasLtMatmulDescSetAttribute", status);
    }
    cublasLtMatmulAlgo_t algo;
    std::memcpy(&algo, algorithm.opaque.data(), sizeof(algo));
    auto a_layout = a_, b_layout = b_, c_layout = c_, d_layout = c_;
    const cublasStatus_t status =
        lib.matmul(driver_.handle_, &operation, &arguments.alpha, arguments.a, &a_layout, arguments.b, &b_layout,
                   &arguments.beta, arguments.c, &c_layout, arguments.c, &d_layout, &algo, arguments.workspace,
                   static_cast<size_t>(arguments.workspace_bytes), reinterpret_cast<cudaStream_t>(stream));
    return status == CUBLAS_STATUS_SUCCESS ? CudaStatus() : driver_.failed_("cublasLtMatmul", status);
  }

 private:
  CudaStatus InitAlgo(int32_t id, cublasLtMatmulAlgo_t* algo) const {
    const cudaDataType_t type = TypeOf(problem_.dtype);
    const cudaDataType_t c_type = TypeOf(problem_.c_dtype);
    const cublasStatus_t status =
        driver_.library_.algo_init(driver_.handle_, kCompute, kScale, type, type, c_type, c_type, id, algo);
    return status == CUBLAS_STATUS_SUCCESS ? CudaStatus() : driver_.failed_("cublasLtMatmulAlgoInit", status);
  }

  CudaStatus Describe(const cublasLtMatmulHeuristicResult_t& result, LtAlgorithm* to) const {
    std::memcpy(to->opaque.data(), &result.algo, sizeof(result.algo));
    to->workspace = static_cast<int64_t>(result.workspaceSize);
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    const auto get = [&](cublasLtMatmulAlgoConfigAttributes_t attribute, void* value, size_t size) {
      size_t written = 0;
      if (status != CUBLAS_STATUS_SUCCESS) return;
      status = driver_.library_.algo_config_get(&result.algo, attribute, value, size, &written);
    };
    get(CUBLASLT_ALGO_CONFIG_ID, &to->config.id, sizeof(to->config.id));
    get(CUBLASLT_ALGO_CONFIG_TILE_ID, &to->config.tile, sizeof(to->config.tile));
    get(CUBLASLT_ALGO_CONFIG_STAGES_ID, &to->config.stages, sizeof(to->config.stages));
    get(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &to->config.cluster, sizeof(to->config.cluster));
    get(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &to->config.swizzling, sizeof(to->config.swizzling));
    get(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &to->config.split_k, sizeof(to->config.split_k));
    get(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &to->config.reduction, sizeof(to->config.reduction));
    get(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, &to->config.inner_shape, sizeof(to->config.inner_shape));
    get(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, &to->config.custom, sizeof(to->config.custom));
    return status == CUBLAS_STATUS_SUCCESS ? CudaStatus()
                                           : driver_.failed_("cublasLtMatmulAlgoConfigGetAttribute", status);
  }

  const CublasLtDriver& driver_;
  const LtProblem problem_;
  // As made by Init; calls get copies, since they take them without const.
  cublasLtMatmulDescOpaque_t operation_{};
  cublasLtMatrixLayoutOpaque_t a_{};
  cublasLtMatrixLayoutOpaque_t b_{};
  cublasLtMatrixLayoutOpaque_t c_{};
};

CublasLtDriver::~CublasLtDriver() { Close(); }

CudaStatus CublasLtDriver::Open() {
  const cublasStatus_t status = library_.create(&handle_);
  return status == CUBLAS_STATUS_SUCCESS ? CudaStatus() : failed_("cublasLtCreate", status);
}

void CublasLtDriver::Close() {
  if (handle_ != nullptr) library_.destroy(std::exchange(handle_, nullptr));
}

CudaStatus CublasLtDriver::CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to) {
  auto made = std::make_unique<Matmul>(this, problem);
  if (CudaStatus status = made->Init(); !status.ok()) return status;
  *to = std::move(made);
  return {};
}

}  // namespace bwrt::cuda
