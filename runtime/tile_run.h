// TileRun: the tiles of one wave, taken up in the traversal's order by however many threads share it.
//
// Lives for one run of one wave. Thread-safe: each thread calls Do.
//
//  1. Tiles start in the traversal's order, and a tile's token starts with it. A tile is finished, and its token with
//     it, when all its parts are; with several threads, tiles may finish in another order than they started.
//  2. As long as there are many tiles, a thread takes a whole one. The last ones, and those of a wave that has few, are
//     cut into parts, along N first, so that all threads end at about the same time and all pull their share of W.
//  3. The result does not depend on the number of threads.
#ifndef BWRT_RUNTIME_TILE_RUN_H_
#define BWRT_RUNTIME_TILE_RUN_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cache_counts.h"
#include "kernels/hardware_counters.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_rect.h"
#include "runtime/clock.h"
#include "runtime/cpu_scratch.h"
#include "runtime/device.h"
#include "runtime/mutex.h"
#include "runtime/tile_workers.h"
#include "runtime/wave.h"

namespace bwrt::runtime {

class TileRun final : public TileWorkers::Work {
 public:
  // At most `threads` threads will call Do. Their hardware counters are read where `counters` is not null. All of it
  // outlives the run.
  TileRun(const Wave& wave, kernels::TileGemm& gemm, int threads, WaveProgress& progress, CpuScratch& scratch,
          const Clock& clock, kernels::HardwareCounters* counters);

  // Takes up parts of tiles until there are none left or the wave is to stop. A thread that gets no scratch memory does
  // nothing; that is an error if nobody else does it.
  void Do() override;
  bool HasMore() const override { return more_.load(std::memory_order_relaxed); }

  // Once all threads have returned from Do: OK, what WaveProgress said when the wave was to stop, or
  // RESOURCE_EXHAUSTED where no thread had scratch memory.
  absl::Status status() const;
  // Sums over all threads: from joining to leaving, and in micro-kernels.
  Duration worker_time() const;
  Duration kernel_time() const;
  // What was counted of all threads together; nullopt where not all of them were counted.
  std::optional<kernels::CacheCounts> counts() const;

  // The rectangle of C that a tile of the grid is.
  static kernels::TileRect RectOf(const TileGrid& grid, TileCoord tile);

 private:
  // A tile that has started and has parts that are not finished.
  struct Tile {
    size_t index;
    int64_t parts_left;
    std::optional<int64_t> token;
  };
  struct Part {
    size_t tile;
    kernels::TileRect rect;
  };

  // Finishes a part of tile `done`, if any, and takes up the next part; nullopt when there is nothing left.
  std::optional<Part> Next(std::optional<size_t> done);
  std::optional<Part> NextLocked(std::optional<int64_t> finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A part of a tile is done; the token that finishes with it.
  std::optional<int64_t> FinishLocked(std::optional<size_t> done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The token that starts with tile `index`; the one that finishes with it goes into `tile`.
  std::optional<int64_t> StartLocked(size_t index, Tile& tile) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Decides into how many parts tile `index` is cut.
  void CutLocked(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  kernels::TileRect PartLocked(int64_t part) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StopLocked(absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Wave& wave_;
  kernels::TileGemm& gemm_;
  const int64_t threads_;
  WaveProgress& progress_;
  CpuScratch& scratch_;
  const Clock& clock_;
  kernels::HardwareCounters* const counters_;

  std::atomic<bool> more_{true};
  mutable Mutex mu_;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;  // Tile of the order that is being cut up, or is next.
  // How the tile that is being cut up is cut; parts_ == 0: it has not started.
  kernels::TileRect rect_ ABSL_GUARDED_BY(mu_);
  int64_t parts_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t row_parts_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t col_parts_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t next_part_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Tile> started_ ABSL_GUARDED_BY(mu_);
  int64_t next_token_ ABSL_GUARDED_BY(mu_);
  const int64_t last_token_;
  bool last_started_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<int64_t> last_extent_ ABSL_GUARDED_BY(mu_);  // Finishes when the first tile starts.
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  int64_t workers_ ABSL_GUARDED_BY(mu_) = 0;  // Threads that had scratch memory.
  Duration worker_time_ ABSL_GUARDED_BY(mu_){0};
  Duration kernel_time_ ABSL_GUARDED_BY(mu_){0};
  std::optional<kernels::CacheCounts> counts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TILE_RUN_H_
