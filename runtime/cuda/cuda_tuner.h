// CudaTuner: times the algorithms that cuBLASLt could run a kind of wave with, and picks the fastest right one.
//
// Candidates are what runs untuned, what the library's heuristics recommend, and its recommended algorithms with every
// number of stages and both orders of thread blocks; where the untuned choice honours the planner's tile and cluster,
// only those that do. Each can be made again from its configuration alone: others are left out.
//
// They run on the lane's memory, with random operands. From the fastest on, a result that is not that of the plain
// kernel, computed once, rejects its candidate. Used by one thread; after an error the caller sees to it that the
// stream ends.
#ifndef BWRT_RUNTIME_CUDA_CUDA_TUNER_H_
#define BWRT_RUNTIME_CUDA_CUDA_TUNER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_lane.h"
#include "runtime/cuda/cuda_plan.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda/cuda_tuning_table.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

struct CudaTuneResult {
  int candidates = 0;
  int timed = 0;
  std::vector<std::string> rejected;  // Name and error.
  std::optional<CudaTuning> tuning;

  void Describe(BwrtCudaTuneReport* report) const;
};

class CudaTuner {
 public:
  // `key` has neither bias nor activation, and cuBLASLt can run it. `now_ns` only grows.
  CudaTuner(CudaDriver* driver, CudaLane* lane, const CudaPlanKey& key, const BwrtCudaTuneOptions& options,
            const BwrtCudaProgress* progress, std::function<int64_t()> now_ns, int multiprocessors);

  CudaStatus Run(CudaTuneResult* to);

 private:
  struct Candidate {
    LtAlgorithm algorithm;
    int64_t median_ns = 0;
  };
  // Where things lie in the lane's memory.
  struct Layout {
    int64_t ticket = 0, a = 0, w = 0, c = 0, reference = 0, workspace = 0, end = 0;
  };

  CudaStatus FindCandidates(std::vector<Candidate>* to);
  CudaStatus Lay(const std::vector<Candidate>& candidates);
  CudaStatus FillOperand(int64_t at, int64_t bytes, uint64_t seed);
  CudaStatus Queue(const LtAlgorithm& algorithm);
  // Of `launches` in a row.
  CudaStatus TimeLaunches(const LtAlgorithm& algorithm, int64_t launches, int64_t* ns);
  CudaStatus Time(Candidate* candidate);
  CudaStatus ComputeReference();
  // Relative to the reference, over all of C; not a number where C is not.
  CudaStatus ErrorOf(const LtAlgorithm& algorithm, double* error);
  CudaStatus Ask() const;

  CudaDriver* const driver_;
  CudaLane* const lane_;
  const CudaPlanKey key_;
  const BwrtCudaTuneOptions options_;
  const BwrtCudaProgress* const progress_;
  const std::function<int64_t()> now_ns_;
  const int multiprocessors_;
  std::unique_ptr<LtMatmul> matmul_;
  Layout layout_;
  DevicePtr base_ = nullptr;
  std::vector<std::byte> reference_;  // In host memory; empty before it is asked for.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_TUNER_H_
