// CudaWaveRun: one wave on one lane, from its operands in host memory to its result there.
//
// The order on the lane's stream: operands, begin event, kernels, end event, result. Used by one thread.
//
// 1. Run returns OK only after the result, which lies behind every kernel on the stream, has arrived: then nothing on
//    the device uses the wave's memory or its weights any more.
// 2. After anything else the caller must see to it that the stream has come to its end before it lets go of either.
#ifndef BWRT_RUNTIME_CUDA_CUDA_WAVE_RUN_H_
#define BWRT_RUNTIME_CUDA_CUDA_WAVE_RUN_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_lane.h"
#include "runtime/cuda/cuda_plan.h"
#include "runtime/cuda/cuda_rows.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {

class CudaWaveRun {
 public:
  // `w` is the weights on the device, or null for a wave that brings its own.
  CudaWaveRun(CudaDriver* driver, CudaLane* lane, const CudaPlan* plan, const BwrtCudaWave* wave, const std::byte* w,
              const BwrtCudaProgress* progress, int multiprocessors, bool counts, bool poison);

  CudaStatus Run();
  // Between the events around the kernels; after Run.
  int64_t compute_ns() const { return compute_ns_; }
  // What the kernel counted, after Run; below 0 where it did not.
  const kernels::WgmmaRatios& ratios() const { return ratios_; }

  // Tiles that one launch of our own kernels takes: some milliseconds' worth, but enough to fill the device. Between
  // launches a wave can be stopped, and others get their turn.
  static int64_t TilesPerLaunch(const BwrtCudaWave& wave, int multiprocessors, bool tensor_cores = false);

 private:
  // Where things lie in the lane's memory.
  struct Layout {
    int64_t tickets = 0, bias = 0, tiles = 0, a = 0, w = 0, c = 0, workspace = 0, end = 0;
    // The Hopper kernel's: counts lie behind C, so that both come back in one transfer, and what is cleared in one go.
    int64_t counts = 0, slots = 0, cleared_end = 0;
  };
  static Layout Lay(const CudaPlan& plan, const BwrtCudaWave& wave, int64_t launches, int64_t blocks);

  CudaStatus SendOperands();
  CudaStatus SendBias();
  CudaStatus SendTiles();
  CudaStatus Compute();
  CudaStatus RunMatmul();
  CudaStatus RunPlain();
  CudaStatus RunPlainAtOnce(const kernels::PlainGemm& gemm);
  CudaStatus ClearTickets();
  CudaStatus ClearCounts();
  CudaStatus ReceiveResult();
  kernels::PlainGemm MakePlain() const;
  kernels::WgmmaGemm MakeWgmma() const;
  CudaStatus RunWgmma();
  CudaStatus RunWgmmaAtOnce(const kernels::WgmmaGemm& gemm);
  // `queue` for each launch, one after another: one runs while the next is queued behind it.
  CudaStatus RunLaunches(const std::function<CudaStatus(int64_t launch, int64_t first, int64_t count)>& queue);
  CudaStatus Step(int64_t finished, int64_t started) const;

  CudaDriver* const driver_;
  CudaLane* const lane_;
  const CudaPlan* const plan_;
  const BwrtCudaWave* const wave_;
  const BwrtCudaProgress* const progress_;
  const int multiprocessors_;
  const bool counts_;  // The Hopper kernel does.
  const bool poison_;  // C is filled with NaNs where its content does not count.
  const CudaPlanKey key_;
  const CudaRows a_;
  const CudaRows w_rows_;
  const CudaRows c_;
  const int64_t per_launch_;
  const int64_t launches_;
  const Layout layout_;
  const std::byte* w_;
  DevicePtr base_ = nullptr;
  int64_t compute_ns_ = 0;
  kernels::WgmmaRatios ratios_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_WAVE_RUN_H_
