#include "runtime/cuda/cublaslt_choice.h"

#include <algorithm>
#include <vector>

namespace bwrt::cuda {
namespace {

constexpr int kRecommended = 16;

// The stages to try for a wish, best first; 0, the library's default, comes last.
std::vector<uint32_t> StagesToTry(std::vector<uint32_t> offered, LtStages wish) {
  const auto rank = [&](uint32_t number) {
    const auto stages = LtStagesOf(number);
    if (!stages) return 4;
    if (*stages == wish) return 0;
    if (stages->k == wish.k && stages->count == 0) return 1;
    if (stages->count == 0) return 2;
    return 3;
  };
  std::stable_sort(offered.begin(), offered.end(), [&](uint32_t a, uint32_t b) { return rank(a) < rank(b); });
  offered.push_back(0);
  return offered;
}

}  // namespace

CudaStatus ChooseAlgorithm(LtMatmul& matmul, const LtWish& wish, std::optional<LtAlgorithm>* to) {
  to->reset();
  std::vector<LtAlgorithm> recommended;
  CudaStatus status = matmul.Heuristics(kLtWorkspace, kRecommended, &recommended);
  if (!status.ok() || recommended.empty()) return status;

  std::vector<int32_t> ids;
  std::vector<std::vector<uint32_t>> stages;  // By position in ids.
  for (const LtAlgorithm& algorithm : recommended) {
    if (std::find(ids.begin(), ids.end(), algorithm.config.id) != ids.end()) continue;
    ids.push_back(algorithm.config.id);
    std::vector<uint32_t> offered;
    status = matmul.StagesOf(algorithm.config.id, &offered);
    if (!status.ok()) return status;
    stages.push_back(StagesToTry(std::move(offered), wish.stages));
  }

  const auto tile = LtTileNumber(wish.tile);
  const auto cluster = LtClusterNumber(wish.cluster);
  // With the wished stages alone, then with whatever stages; without the cluster as the library likes it (0).
  struct Level {
    bool cluster;
    bool exact_stages;
  };
  for (const Level level : {Level{true, true}, Level{true, false}, Level{false, false}}) {
    if (!tile || (level.cluster && !cluster)) continue;
    for (size_t i = 0; i < ids.size(); ++i) {
      for (const uint32_t number : stages[i]) {
        if (level.exact_stages && LtStagesOf(number) != wish.stages) continue;
        LtConfig config;
        config.id = ids[i];
        config.tile = *tile;
        config.stages = number;
        config.cluster = level.cluster ? *cluster : uint16_t{0};
        bool legal = false;
        LtAlgorithm algorithm;
        status = matmul.Check(config, kLtWorkspace, &legal, &algorithm);
        if (!status.ok()) return status;
        if (legal) {
          *to = algorithm;
          return {};
        }
      }
    }
  }
  *to = recommended.front();
  return {};
}

}  // namespace bwrt::cuda
