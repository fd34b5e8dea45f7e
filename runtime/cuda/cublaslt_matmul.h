// LtMatmul: one matrix product as cuBLASLt sees it, with the descriptors that are made once for all waves of its kind.
//
// cuBLASLt counts in columns first: D = epilogue(alpha * op(A) B + beta * C + bias) with D [rows, cols]. A row-major
// matrix is the transposed column-major one, so that our C = A @ W becomes D = C^T = W^T A^T: its A is our W, its B our
// A, its rows our n, its columns our m. Tile and cluster axes swap with them.
#ifndef BWRT_RUNTIME_CUDA_CUBLASLT_MATMUL_H_
#define BWRT_RUNTIME_CUDA_CUBLASLT_MATMUL_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

enum class LtActivation : int32_t { kNone, kRelu, kGelu };  // kGelu is the tanh form.

// In cuBLASLt's orientation.
struct LtProblem {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t k = 0;
  bool a_transposed = false;  // A is [k, rows] and op transposes it; else [rows, k].
  int64_t lda = 0;
  int64_t ldb = 0;  // B is [k, cols].
  int64_t ldc = 0;  // C and D are one matrix.
  int32_t dtype = 0;
  int32_t c_dtype = 0;
  LtActivation activation = LtActivation::kNone;
  bool bias = false;  // `rows` values of C's type.
  friend auto operator<=>(const LtProblem&, const LtProblem&) = default;
};

// The algorithm's configuration in cuBLASLt's numbers (cublasLtMatmulTile_t, ...Stages_t, cublasLtClusterShape_t).
struct LtConfig {
  int32_t id = 0;
  uint32_t tile = 0;
  uint32_t stages = 0;
  uint16_t cluster = 0;
  uint32_t swizzling = 0;
  // What the heuristics may choose besides; these are left alone.
  int32_t split_k = 1;
  uint32_t reduction = 0;
  uint16_t inner_shape = 0;
  uint32_t custom = 0;
  friend auto operator<=>(const LtConfig&, const LtConfig&) = default;
};

struct LtAlgorithm {
  std::array<uint64_t, 8> opaque{};  // cublasLtMatmulAlgo_t
  LtConfig config;
  int64_t workspace = 0;  // Bytes.
};

struct LtArguments {
  float alpha = 1;
  float beta = 0;
  const std::byte* a = nullptr;
  const std::byte* b = nullptr;
  std::byte* c = nullptr;
  const std::byte* bias = nullptr;
  std::byte* workspace = nullptr;
  int64_t workspace_bytes = 0;
};

// Thread-safe: what a call needs of its own it copies.
class LtMatmul {
 public:
  virtual ~LtMatmul() = default;
  // At most `count` algorithms, the one that the library thinks fastest first. None is no error.
  virtual CudaStatus Heuristics(int64_t workspace, int count, std::vector<LtAlgorithm>* to) = 0;
  // The stages (cublasLtMatmulStages_t) that an algorithm can be asked for.
  virtual CudaStatus StagesOf(int32_t id, std::vector<uint32_t>* to) = 0;
  // Whether `config` can run the problem; what it takes then is in *to.
  virtual CudaStatus Check(const LtConfig& config, int64_t workspace, bool* legal, LtAlgorithm* to) = 0;
  // Queues it. `stream` is a Stream of the driver that made this.
  virtual CudaStatus Run(const LtAlgorithm& algorithm, const LtArguments& arguments, struct StreamTag* stream) = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUBLASLT_MATMUL_H_
