#include "tests/bench/gemm/rounds.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/bench/gemm/cpu_use.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

constexpr double kQuietShare = 0.1;

// Whether a thread other than the caller runs, or would if it had a processor: one that spins does, one that waits does
// not.
bool OthersRun() {
  const std::string self = absl::StrCat(gettid());
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == self) continue;
    std::ifstream file(task.path() / "stat");
    std::string stat;  // "tid (name) state ...", where the name may hold anything.
    std::getline(file, stat);
    const size_t name_end = stat.rfind(')');
    if (name_end != std::string::npos && name_end + 2 < stat.size() && stat[name_end + 2] == 'R') return true;
  }
  return false;
}

class Turns {
 public:
  Turns(const TimedCall& call, double turn_seconds) : call_(call) {
    double once = Once();
    // The first call is slower than others, and a short one that was interrupted would be repeated too seldom.
    if (once < 2 * turn_seconds) once = std::min(Once(), Once());
    repeats_ = std::max(1, static_cast<int>(std::lround(turn_seconds / std::max(once, 1e-9))));
    // Wakes the contender's own threads and brings its code back; what a long call does not notice.
    warm_up_ = once < turn_seconds;
  }

  // Seconds a call.
  double Measure() {
    AwaitIdlePools();
    if (warm_up_) call_(calls_++);
    const Stopwatch watch;
    for (int i = 0; i < repeats_; ++i) call_(calls_++);
    return watch.seconds() / repeats_;
  }

 private:
  double Once() {
    const Stopwatch watch;
    call_(calls_++);
    return watch.seconds();
  }

  const TimedCall& call_;
  int calls_ = 0;
  int repeats_ = 1;
  bool warm_up_ = false;
};

}  // namespace

void AwaitIdlePools(double patience_seconds) {
  const Stopwatch waited;
  while (OthersRun()) {
    Require(waited.seconds() < patience_seconds, "a contender's threads do not go to sleep");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::vector<size_t> CountedRounds(const std::vector<double>& others_shares, int min_rounds) {
  std::vector<size_t> rounds(others_shares.size());
  std::iota(rounds.begin(), rounds.end(), size_t{0});
  std::stable_sort(rounds.begin(), rounds.end(),
                   [&](size_t a, size_t b) { return others_shares[a] < others_shares[b]; });
  size_t counted = 0;
  while (counted < rounds.size() &&
         (counted < static_cast<size_t>(min_rounds) || others_shares[rounds[counted]] <= kQuietShare)) {
    ++counted;
  }
  rounds.resize(counted);
  std::sort(rounds.begin(), rounds.end());
  return rounds;
}

RoundTimes MeasureRounds(const std::vector<TimedCall>& calls, const RoundPlan& plan) {
  std::vector<Turns> turns;
  turns.reserve(calls.size());
  for (const TimedCall& call : calls) {
    AwaitIdlePools();
    turns.emplace_back(call, plan.turn_seconds);
  }
  std::vector<std::vector<double>> seconds;  // [round][contender]
  std::vector<double> others;
  const auto enough = [&](double elapsed) {
    const auto quiet = std::count_if(others.begin(), others.end(), [](double share) { return share <= kQuietShare; });
    return static_cast<int>(others.size()) >= plan.min_rounds &&
           elapsed >= plan.budget_seconds * (quiet >= plan.min_rounds ? 1 : 3);
  };
  const Stopwatch watch;
  for (int round = 0; round < plan.max_rounds && !enough(watch.seconds()); ++round) {
    const CpuUse use;
    seconds.emplace_back(calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
      const size_t contender = (i + static_cast<size_t>(round)) % calls.size();
      seconds.back()[contender] = turns[contender].Measure();
    }
    others.push_back(use.OthersShare());
  }
  RoundTimes times;
  times.seconds.resize(calls.size());
  const std::vector<size_t> counted = CountedRounds(others, plan.min_rounds);
  for (const size_t round : counted) {
    for (size_t i = 0; i < calls.size(); ++i) times.seconds[i].push_back(seconds[round][i]);
    times.others_share += others[round] / static_cast<double>(counted.size());
  }
  return times;
}

}  // namespace bwrt::bench
