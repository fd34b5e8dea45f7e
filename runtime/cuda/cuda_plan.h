// CudaPlan: how a kind of wave runs: on the Hopper kernel, on cuBLASLt or on the plain kernel, and what of its spec is
// honoured.
//
// Immutable; shared by the waves of its kind.
#ifndef BWRT_RUNTIME_CUDA_CUDA_PLAN_H_
#define BWRT_RUNTIME_CUDA_CUDA_PLAN_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "kernels/cuda/wgmma_gemm_cuda.h"
#include "runtime/cuda/cublaslt_choice.h"
#include "runtime/cuda/cublaslt_matmul.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda/cuda_tuning_table.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

// All of a wave that decides how it runs: shape, types, layout, epilogue, spec. Not its pointers nor its traversal.
struct CudaPlanKey {
  int32_t dtype = 0, c_dtype = 0, activation = 0;
  bool bias = false;
  bool reads_c = false;
  bool whole = true;
  bool single_tile = false;  // Any traversal is honoured.
  bool tmem_hints = false;
  int64_t m = 0, n = 0, k = 0;
  bool w_transposed = false;
  int64_t lda = 0, ldw = 0, ldc = 0;  // On the device.
  int32_t bm = 1, bn = 1, bk = 1, stages = 1, cluster_x = 1, cluster_y = 1;
  friend auto operator<=>(const CudaPlanKey&, const CudaPlanKey&) = default;

  static CudaPlanKey Of(const BwrtCudaWave& wave);
};

// Which kernels there are to choose from.
struct CudaKernels {
  int32_t wish = BWRT_CUDA_KERNEL_AUTO;
  bool hopper = false;  // The device is an sm_90.
  int multiprocessors = 1;
  std::set<kernels::WgmmaKernel> off;  // Did not compute what the plain kernel does.
  std::string all_off;                 // Why all of the Hopper kernels are; empty: they are not.
};

struct CudaPlan {
  bool wgmma = false;  // The Hopper kernel, as `choice` says.
  kernels::WgmmaChoice choice;
  std::unique_ptr<LtMatmul> matmul;  // Null without wgmma: the plain kernel.
  LtAlgorithm algorithm;
  BwrtCudaEffective effective{};
};

// Elements from one row to the next of a matrix that a wave brings along, on the device: rows begin at 16 bytes, as the
// fast kernels need.
int64_t PaddedRow(int64_t cols, int32_t dtype);

// Bytes of an element.
int64_t ElementBytes(int32_t dtype);

// The wave's product in cuBLASLt's orientation.
LtProblem ToLtProblem(const CudaPlanKey& key);

// Whether cuBLASLt can compute it at all: all of C, an activation that it has, and dimensions that it counts.
bool LtCanRun(const CudaPlanKey& key);

// What the planner wishes of cuBLASLt.
LtWish ToLtWish(const CudaPlanKey& key);

// Makes the plan, asking cuBLASLt where it is to run the wave: for what it was tuned to, where `tunings` (may be null)
// has something that is still legal, else for its choice.
CudaStatus MakePlan(CudaDriver& driver, const CudaPlanKey& key, const CudaKernels& kernels,
                    const CudaTuningTable* tunings, std::shared_ptr<const CudaPlan>* to);

// An algorithm in words, as in BwrtCudaEffective::kernel.
std::string LtKernelName(const LtConfig& config);

// Adds what only the traversal tells: tiles next to each other that a cluster could not pair.
void DescribePairs(const CudaPlan& plan, const BwrtCudaWave& wave, BwrtCudaEffective* effective);

// Adds one more wish that is not carried out as written; the last ones are left out when there is no room.
void AddNote(BwrtCudaEffective* effective, const char* field, const std::string& requested, const std::string& executed,
             const char* reason);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_PLAN_H_
