// CudaWave: a wave in the plugin's words, and its progress in the token clock's.
#ifndef BWRT_RUNTIME_CUDA_WAVE_H_
#define BWRT_RUNTIME_CUDA_WAVE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/cuda_plugin_abi.h"
#include "runtime/device.h"
#include "runtime/wave.h"

namespace bwrt::runtime {

// Owns the table of tiles that abi() points to; views the wave, which must outlive it.
class CudaWave {
 public:
  explicit CudaWave(const Wave& wave);
  CudaWave(const CudaWave&) = delete;
  CudaWave& operator=(const CudaWave&) = delete;

  // Without W's buffer and without C.
  const BwrtCudaWave& abi() const { return abi_; }
  BwrtCudaWave& abi() { return abi_; }

 private:
  std::vector<uint32_t> tiles_;
  BwrtCudaWave abi_{};
};

// Turns the plugin's counts of tiles into tokens. One thread at a time.
//
// Tiles that the device starts together are started as one step to the largest token among them; a tile that DROP
// skips is done when those around it start. The last token stays unfinished until the wave has retired.
class CudaTokens {
 public:
  CudaTokens(const Wave& wave, WaveProgress& progress);

  // The first `finished` computed tiles are done, the first `started` run. Not OK: stop.
  absl::Status Advance(int64_t finished, int64_t started);

  // As the plugin's callback wants it; `context` is a CudaTokens.
  static int32_t Step(void* context, int64_t finished, int64_t started);
  // Why Step asked to stop, or OK.
  const absl::Status& status() const { return status_; }

 private:
  bool Dropped(size_t position) const;
  // The position behind `computed` computed tiles, from `position` on where `seen` of them lie before it.
  size_t Behind(size_t position, int64_t& seen, int64_t computed) const;
  absl::Status Start(size_t end);
  absl::Status Finish(size_t end);

  const Wave& wave_;
  WaveProgress& progress_;
  size_t started_ = 0;  // Positions in the order.
  int64_t started_tiles_ = 0;
  size_t finished_ = 0;
  int64_t finished_tiles_ = 0;
  int64_t start_token_;  // Of the next listed tile.
  int64_t finish_token_;
  bool entered_ = false;
  absl::Status status_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_WAVE_H_
