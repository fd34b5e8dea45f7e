// The choice of a cuBLASLt algorithm for a wave: as the planner wished as far as the library goes along.
#ifndef BWRT_RUNTIME_CUDA_CUBLASLT_CHOICE_H_
#define BWRT_RUNTIME_CUDA_CUBLASLT_CHOICE_H_

#include <cstdint>
#include <optional>

#include "runtime/cuda/cublaslt_matmul.h"
#include "runtime/cuda/cublaslt_numbers.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

// cuBLASLt's default is none, which excludes its best kernels; 32 MiB is what NVIDIA recommends for Hopper.
inline constexpr int64_t kLtWorkspace = int64_t{32} << 20;

// In cuBLASLt's orientation: rows are n, columns m.
struct LtWish {
  LtExtent tile;
  LtExtent cluster;
  LtStages stages;
};

// Picks among the algorithms that the library recommends for the problem, since others may run on paths of older GPUs:
// first one that takes tile, cluster and stages as wished; then tile and cluster; then the tile; else the library's own
// first choice. Among equals the library's order counts. *to is nullopt where it recommends none.
CudaStatus ChooseAlgorithm(LtMatmul& matmul, const LtWish& wish, std::optional<LtAlgorithm>* to);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUBLASLT_CHOICE_H_
