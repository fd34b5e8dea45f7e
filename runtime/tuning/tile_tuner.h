// TileTuner: times the tile shapes of a whitelist for one problem, and lets the device tune its algorithm for each.
//
// Where things run is the TuneBench's to say; this decides what is timed, how often, and which shape won. Shapes take
// turns, round by round, so that a machine that slows down meanwhile slows all of them down. Blocks; one thread.
#ifndef BWRT_RUNTIME_TUNING_TILE_TUNER_H_
#define BWRT_RUNTIME_TUNING_TILE_TUNER_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/tuning/tune_problem.h"

namespace bwrt::runtime {

// Runs waves of one problem on one device. Every call is one turn in the device's lanes.
class TuneBench {
 public:
  struct Timed {
    std::string kernel;
    Duration compute{0};
  };

  virtual ~TuneBench() = default;
  virtual absl::StatusOr<Timed> Run(const TileShape& shape) = 0;
  // As Device::Tune.
  virtual absl::StatusOr<std::optional<TunedAlgorithm>> TuneAlgorithm(const TileShape& shape, Duration budget) = 0;
};

struct TileTunerOptions {
  int repeats = 5;  // Of each shape, besides one run that pays for what is made once.
  // Of one turn that tunes an algorithm: waves wait behind it where there are no more lanes.
  Duration longest_turn = std::chrono::seconds(1);
};

// Told after each turn how many of the shapes have been timed.
using TuneProgress = std::function<void(size_t done, size_t of)>;

// `shapes` is not empty. A shape counts as timed from its first run that is not the one to warm up; when `budget` is
// over, what has none is left out, but for the first shape. An error of the bench ends it: it is the answer.
absl::StatusOr<TuneResult> TuneTiles(const std::vector<TileShape>& shapes, Duration budget, TuneBench& bench,
                                     const Clock& clock, const TuneProgress& progress,
                                     const TileTunerOptions& options = {});

// The one in the middle; of an even number the mean of the two. `times` is not empty.
Duration Median(std::vector<Duration> times);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TUNING_TILE_TUNER_H_
