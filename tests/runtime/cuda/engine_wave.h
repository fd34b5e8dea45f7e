// EngineWave: an f32 wave in the plugin's words, with its operands and what its result must be.
#ifndef BWRT_TESTS_RUNTIME_CUDA_ENGINE_WAVE_H_
#define BWRT_TESTS_RUNTIME_CUDA_ENGINE_WAVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

class EngineWave {
 public:
  // [m, n, k] of small whole numbers, so that every order of summing gives the same bits; one tile listed for each of
  // the grid, row by row.
  EngineWave(int64_t m, int64_t n, int64_t k, int32_t bm, int32_t bn)
      : a_(static_cast<size_t>(m * k)), w_(static_cast<size_t>(k * n)), c_(static_cast<size_t>(m * n), -7777.0f) {
    for (size_t i = 0; i < a_.size(); ++i) a_[i] = static_cast<float>(static_cast<int>(i * 7 % 11) - 5);
    for (size_t i = 0; i < w_.size(); ++i) w_[i] = static_cast<float>(static_cast<int>(i * 5 % 13) - 6);
    for (int64_t row = 0; row * bm < m; ++row) {
      for (int64_t col = 0; col * bn < n; ++col) {
        tiles_.push_back(static_cast<uint32_t>(row) << 16 | static_cast<uint32_t>(col));
      }
    }
    abi.size = sizeof(abi);
    abi.m = m;
    abi.n = n;
    abi.k = k;
    abi.bm = bm;
    abi.bn = bn;
    abi.bk = 64;
    abi.stages = 2;
    abi.cluster_x = abi.cluster_y = 1;
    abi.tiles = tiles_.data();
    abi.tile_count = static_cast<int64_t>(tiles_.size());
    abi.whole = 1;
    abi.a = a_.data();
    abi.a_stride = k;
    abi.w = w_.data();
    abi.w_stride = n;
    abi.alpha = 1;
    abi.c = c_.data();
    abi.c_stride = n;
  }

  // Takes the weights from the device.
  void UseBuffer() { abi.w = nullptr; }
  // An activation that cuBLASLt does not have.
  void UsePlain() { abi.activation = BWRT_CUDA_SILU; }
  const std::vector<float>& w() const { return w_; }
  // Other weights, of whole numbers too.
  void DrawW(int seed) {
    for (size_t i = 0; i < w_.size(); ++i) {
      w_[i] = static_cast<float>(static_cast<int>((i * 5 + static_cast<size_t>(seed) * 3) % 13) - 6);
    }
  }

  // The first element of the result, for waves with the identity; silu is checked elsewhere.
  bool Right() const {
    for (int64_t i = 0; i < abi.m; ++i) {
      for (int64_t j = 0; j < abi.n; ++j) {
        double sum = 0;
        for (int64_t x = 0; x < abi.k; ++x) {
          sum += static_cast<double>(a_[static_cast<size_t>(i * abi.k + x)]) *
                 static_cast<double>(w_[static_cast<size_t>(x * abi.n + j)]);
        }
        sum *= static_cast<double>(abi.alpha);
        if (abi.activation == BWRT_CUDA_SILU) sum = sum / (1 + __builtin_exp(-sum));
        const double got = static_cast<double>(c_[static_cast<size_t>(i * abi.n + j)]);
        if (!(__builtin_fabs(got - sum) <= 1e-4 * (1 + __builtin_fabs(sum)))) return false;
      }
    }
    return true;
  }
  void Forget() { c_.assign(c_.size(), -7777.0f); }

  BwrtCudaWave abi{};

 private:
  std::vector<float> a_, w_, c_;
  std::vector<uint32_t> tiles_;
};

// Progress that a test looks at; may stop a wave.
class EngineProgress {
 public:
  using AtStep = std::function<bool(int64_t finished, int64_t started)>;  // True: stop.
  explicit EngineProgress(AtStep at_step = nullptr) : at_step_(std::move(at_step)) {
    abi.size = sizeof(abi);
    abi.context = this;
    abi.step = [](void* context, int64_t finished, int64_t started) -> int32_t {
      auto* const self = static_cast<EngineProgress*>(context);
      self->steps.emplace_back(finished, started);
      return self->at_step_ && self->at_step_(finished, started) ? 1 : 0;
    };
  }
  BwrtCudaProgress abi{};
  std::vector<std::pair<int64_t, int64_t>> steps;

 private:
  const AtStep at_step_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_TESTS_RUNTIME_CUDA_ENGINE_WAVE_H_
