#include "runtime/tile_run.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using CounterReading = kernels::HardwareCounters::Reading;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of this thread.
std::optional<CounterReading> ReadCounters(kernels::HardwareCounters* counters) {
  return counters == nullptr ? std::nullopt : counters->Read();
}

std::optional<kernels::CacheCounts> CountsSince(const std::optional<CounterReading>& begin,
                                                const std::optional<CounterReading>& end) {
  if (!begin || !end) return std::nullopt;
  return kernels::HardwareCounters::Between(*begin, *end);
}

}  // namespace

TileRun::TileRun(const Wave& wave, kernels::TileGemm& gemm, int threads, WaveProgress& progress, CpuScratch& scratch,
                 const Clock& clock, kernels::HardwareCounters* counters)
    : wave_(wave),
      gemm_(gemm),
      threads_(threads),
      progress_(progress),
      scratch_(scratch),
      clock_(clock),
      counters_(counters),
      next_token_(wave.tokens.prefetch),
      last_token_(wave.tokens.last()) {
  if (counters_ != nullptr) counts_.emplace();
  if (wave.tokens.prefetch > 0) last_extent_ = wave.tokens.prefetch - 1;
  // What each thread is at, and a tile whose last parts nobody has taken up yet.
  started_.reserve(static_cast<size_t>(threads) + 1);
}

kernels::TileRect TileRun::RectOf(const TileGrid& grid, TileCoord tile) {
  const int64_t row = tile.m * grid.bm;
  const int64_t col = tile.n * grid.bn;
  return {row, col, std::min(grid.bm, grid.m - row), std::min(grid.bn, grid.n - col)};
}

void TileRun::Do() {
  const Time joined = clock_.Now();
  const auto scratch = scratch_.ForTiles();
  if (!scratch) {
    more_.store(false, std::memory_order_relaxed);  // Nobody else will get any.
    return;
  }
  const Duration before = scratch->kernel_time();
  const auto counted_before = ReadCounters(counters_);
  std::optional<size_t> done;
  while (const std::optional<Part> part = Next(done)) {
    gemm_.Run(part->rect, *scratch);
    done = part->tile;
  }
  const auto counted = CountsSince(counted_before, ReadCounters(counters_));
  MutexLock lock(mu_);
  // A sum over some of the threads would be a number of nothing.
  if (counts_ && counted) {
    *counts_ += *counted;
  } else {
    counts_.reset();
  }
  ++workers_;
  worker_time_ += clock_.Now() - joined;
  kernel_time_ += scratch->kernel_time() - before;
}

absl::Status TileRun::status() const {
  MutexLock lock(mu_);
  if (workers_ == 0) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory to compute tiles in; retry later");
  }
  return status_;
}

Duration TileRun::worker_time() const {
  MutexLock lock(mu_);
  return worker_time_;
}

Duration TileRun::kernel_time() const {
  MutexLock lock(mu_);
  return kernel_time_;
}

std::optional<kernels::CacheCounts> TileRun::counts() const {
  MutexLock lock(mu_);
  return counts_;
}

std::optional<TileRun::Part> TileRun::Next(std::optional<size_t> done) {
  MutexLock lock(mu_);
  return NextLocked(FinishLocked(done));
}

std::optional<int64_t> TileRun::FinishLocked(std::optional<size_t> done) {
  if (!done) return std::nullopt;
  const auto tile = std::find_if(started_.begin(), started_.end(), [&](const Tile& t) { return t.index == *done; });
  if (--tile->parts_left > 0) return std::nullopt;
  const std::optional<int64_t> token = tile->token;
  started_.erase(tile);
  return token;
}

std::optional<TileRun::Part> TileRun::NextLocked(std::optional<int64_t> finished) {
  const auto& order = wave_.traversal.order;
  while (status_.ok() && next_ < order.size()) {
    std::optional<int64_t> started;
    const bool starts = parts_ == 0;
    Tile tile{next_, 0, std::nullopt};
    if (starts) {
      started = StartLocked(next_, tile);
      if (last_extent_) finished = std::exchange(last_extent_, std::nullopt);
    }
    if (absl::Status status = progress_.Step(finished, started); !status.ok()) {
      StopLocked(std::move(status));
      return std::nullopt;
    }
    finished.reset();
    if (starts && wave_.tails == TailPolicy::kDrop && wave_.grid.Partial(order[next_])) {
      finished = tile.token;  // Skipped: it is done at once.
      ++next_;
      continue;
    }
    if (starts) {
      CutLocked(next_);
      tile.parts_left = parts_;
      started_.push_back(tile);
    }
    const Part part{next_, PartLocked(next_part_)};
    if (++next_part_ == parts_) {
      parts_ = 0;
      ++next_;
      if (next_ == order.size()) more_.store(false, std::memory_order_relaxed);
    }
    return part;
  }
  more_.store(false, std::memory_order_relaxed);
  // The last parts of a wave that is to stop still count.
  if (status_.ok() && finished) {
    if (absl::Status status = progress_.Step(finished, std::nullopt); !status.ok()) StopLocked(std::move(status));
  }
  return std::nullopt;
}

// A listed tile owns the next token. Appended ones belong to the last token, which is finished when the wave is.
std::optional<int64_t> TileRun::StartLocked(size_t index, Tile& tile) {
  if (wave_.traversal.IsAppended(index)) {
    if (std::exchange(last_started_, true)) return std::nullopt;
    return last_token_;
  }
  const int64_t token = next_token_++;
  if (token == last_token_) {
    last_started_ = true;
  } else {
    tile.token = token;
  }
  return token;
}

void TileRun::CutLocked(size_t index) {
  rect_ = RectOf(wave_.grid, wave_.traversal.order[index]);
  const auto tiles_left = static_cast<int64_t>(wave_.traversal.order.size() - index);
  // Two parts for each thread among what is left: then they end within half a tile of one another.
  const int64_t wanted = threads_ == 1 ? 1 : CeilDiv(2 * threads_, tiles_left);
  const int64_t panels =
      CeilDiv(rect_.col0 + rect_.cols, kernels::TileGemm::kPartCols) - rect_.col0 / kernels::TileGemm::kPartCols;
  const int64_t blocks = CeilDiv(rect_.rows, kernels::TileGemm::kPartRows);
  col_parts_ = std::min(wanted, panels);
  row_parts_ = std::min(CeilDiv(wanted, col_parts_), blocks);
  parts_ = row_parts_ * col_parts_;
  next_part_ = 0;
}

kernels::TileRect TileRun::PartLocked(int64_t part) const {
  // Boundaries lie on the grids that the kernels compute in, where nothing is computed twice.
  const auto cut = [](int64_t begin, int64_t size, int64_t unit, int64_t which, int64_t of) {
    const int64_t first = begin / unit;
    const int64_t units = CeilDiv(begin + size, unit) - first;
    const auto at = [&](int64_t i) { return std::clamp((first + units * i / of) * unit, begin, begin + size); };
    return std::pair(at(which), which + 1 == of ? begin + size : at(which + 1));
  };
  const auto [row, row_end] = cut(0, rect_.rows, kernels::TileGemm::kPartRows, part / col_parts_, row_parts_);
  const auto [col, col_end] = cut(rect_.col0, rect_.cols, kernels::TileGemm::kPartCols, part % col_parts_, col_parts_);
  return {rect_.row0 + row, col, row_end - row, col_end - col};
}

void TileRun::StopLocked(absl::Status why) {
  status_ = std::move(why);
  more_.store(false, std::memory_order_relaxed);
}

}  // namespace bwrt::runtime
