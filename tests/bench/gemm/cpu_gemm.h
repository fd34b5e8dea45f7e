// CpuGemm: the contender that is ours: the runtime's CPU device, called as the daemon's lanes call it, in process.
//
// C's memory is kept from wave to wave, as the peers keep theirs.
#ifndef BWRT_TESTS_BENCH_GEMM_CPU_GEMM_H_
#define BWRT_TESTS_BENCH_GEMM_CPU_GEMM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu_info.h"
#include "runtime/cpu_device.h"
#include "runtime/system_clock.h"
#include "runtime/wave.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "tests/bench/gemm/contender.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/tile_orders.h"

namespace bwrt::bench {

// The device with `threads` workers, and the memory of its weights. The tensors must go first.
class CpuEngine {
 public:
  using Tensors = std::vector<std::shared_ptr<const runtime::DeviceTensor>>;

  CpuEngine(const kernels::CpuInfo& cpu, int threads);

  runtime::Device& device() { return *device_; }
  // `copies` tensors of the shape's W, uploaded and packed as a published version's are.
  Tensors Upload(const GemmShape& shape, const std::byte* w, int copies);

 private:
  runtime::SystemClock clock_;
  runtime::WeightBudget budget_;
  runtime::WeightMemory memory_;
  std::unique_ptr<runtime::CpuDevice> device_;
};

class CpuGemm final : public Contender {
 public:
  static constexpr int64_t kTile = 128;  // The planner's: tiles of 128 x 128.

  // `order`: of all tiles of the shape. `a` [m, k] is read in place by every Multiply. Contenders that share `c` write
  // their results to the same memory.
  CpuGemm(CpuEngine* engine, const GemmShape& shape, const std::byte* a, CpuEngine::Tensors w, TileOrder order,
          std::shared_ptr<std::string> c = std::make_shared<std::string>());

  void Multiply(int copy) override;
  const std::byte* c() const override { return reinterpret_cast<const std::byte*>(c_->data()); }

 private:
  CpuEngine* const engine_;
  const CpuEngine::Tensors w_;
  const runtime::Wave wave_;
  const std::shared_ptr<std::string> c_;
};

// The tiles of a shape.
inline runtime::TileGrid GridOf(const GemmShape& shape) { return {shape.m, shape.n, CpuGemm::kTile, CpuGemm::kTile}; }

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_CPU_GEMM_H_
