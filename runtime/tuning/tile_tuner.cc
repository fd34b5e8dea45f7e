#include "runtime/tuning/tile_tuner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/tile_whitelist.h"

namespace bwrt::runtime {
namespace {

// Half of the time for algorithms, as what runs afterwards tells which shape is best.
constexpr int kAlgorithmsPart = 2;

struct Candidate {
  TimedTile tile;
  bool warm = false;
  std::vector<Duration> times;
};

}  // namespace

Duration Median(std::vector<Duration> times) {
  std::sort(times.begin(), times.end());
  const size_t half = times.size() / 2;
  if (times.size() % 2 != 0) return times[half];
  return times[half - 1] + (times[half] - times[half - 1]) / 2;
}

absl::StatusOr<TuneResult> TuneTiles(const std::vector<TileShape>& shapes, Duration budget, TuneBench& bench,
                                     const Clock& clock, const TuneProgress& progress,
                                     const TileTunerOptions& options) {
  const Time begin = clock.Now();
  const auto left = [&] { return budget - (clock.Now() - begin); };
  TuneResult result;
  std::vector<Candidate> candidates(shapes.size());
  for (size_t i = 0; i < shapes.size(); ++i) candidates[i].tile.shape = shapes[i];
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Duration share = (left() - budget / kAlgorithmsPart) / static_cast<int64_t>(shapes.size() - i);
    if (share <= Duration(0)) continue;
    auto tuned = bench.TuneAlgorithm(shapes[i], std::min(share, options.longest_turn));
    if (!tuned.ok()) return tuned.status();
    // What has no choice for one shape has none for another.
    if (!*tuned) break;
    candidates[i].tile.algorithm = std::move((*tuned)->algorithm);
    candidates[i].tile.first_choice = (*tuned)->first_choice;
    for (std::string& rejected : (*tuned)->rejected) {
      result.rejected.push_back(absl::StrCat(rejected, " at ", ToString(shapes[i])));
    }
    progress(0, shapes.size());
  }

  size_t done = 0;
  for (int round = 0; round <= options.repeats; ++round) {
    for (Candidate& candidate : candidates) {
      // One that was warmed up is timed at least once, or that time was lost.
      const bool must = (&candidate == &candidates.front() || candidate.warm) && candidate.times.empty();
      if (!must && left() <= Duration(0)) continue;
      auto timed = bench.Run(candidate.tile.shape);
      if (!timed.ok()) return timed.status();
      if (!candidate.warm) {
        candidate.warm = true;
        continue;
      }
      candidate.tile.kernel = std::move(timed->kernel);
      if (candidate.times.empty()) ++done;
      candidate.times.push_back(timed->compute);
      progress(done, shapes.size());
    }
  }
  for (Candidate& candidate : candidates) {
    if (candidate.times.empty()) {
      ++result.left_out;
      continue;
    }
    candidate.tile.repeats = static_cast<int>(candidate.times.size());
    candidate.tile.median = Median(std::move(candidate.times));
    result.timed.push_back(std::move(candidate.tile));
  }
  result.first = result.timed.front();
  result.winner = *std::min_element(result.timed.begin(), result.timed.end(),
                                    [](const TimedTile& a, const TimedTile& b) { return a.median < b.median; });
  return result;
}

}  // namespace bwrt::runtime
