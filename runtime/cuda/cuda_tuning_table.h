// CudaTuningTable: which algorithm of cuBLASLt was found to be the fastest for a problem and a wish. Thread-safe.
//
// What it holds is used only after the library has checked it for the problem at hand: see MakePlan.
#ifndef BWRT_RUNTIME_CUDA_CUDA_TUNING_TABLE_H_
#define BWRT_RUNTIME_CUDA_CUDA_TUNING_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "runtime/cuda/cublaslt_choice.h"
#include "runtime/cuda/cublaslt_matmul.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

struct CudaTuning {
  LtProblem problem;
  LtWish wish;
  LtConfig config;
  int64_t median_ns = 0;
  int64_t first_ns = 0;  // Of what runs untuned.
};

class CudaTuningTable {
 public:
  // Beyond them nothing new is added.
  static constexpr size_t kMost = 4096;

  void Set(const CudaTuning& tuning) {
    runtime::MutexLock lock(mu_);
    const Key key = KeyOf(tuning.problem, tuning.wish);
    if (tunings_.size() < kMost || tunings_.count(key) != 0) tunings_[key] = tuning;
  }

  // The one for the problem, else for the same without its epilogue, which takes little of the time.
  std::optional<LtConfig> Find(LtProblem problem, const LtWish& wish) const {
    runtime::MutexLock lock(mu_);
    auto at = tunings_.find(KeyOf(problem, wish));
    if (at == tunings_.end()) {
      problem.activation = LtActivation::kNone;
      problem.bias = false;
      at = tunings_.find(KeyOf(problem, wish));
    }
    if (at == tunings_.end()) return std::nullopt;
    return at->second.config;
  }

  std::vector<CudaTuning> All() const {
    runtime::MutexLock lock(mu_);
    std::vector<CudaTuning> all;
    all.reserve(tunings_.size());
    for (const auto& [key, tuning] : tunings_) all.push_back(tuning);
    return all;
  }

 private:
  using Wish = std::tuple<int32_t, int32_t, int32_t, int32_t, int32_t, int32_t>;
  using Key = std::pair<LtProblem, Wish>;

  static Key KeyOf(const LtProblem& problem, const LtWish& wish) {
    return {problem,
            {wish.tile.rows, wish.tile.cols, wish.cluster.rows, wish.cluster.cols, wish.stages.k, wish.stages.count}};
  }

  mutable runtime::Mutex mu_;
  std::map<Key, CudaTuning> tunings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_TUNING_TABLE_H_
