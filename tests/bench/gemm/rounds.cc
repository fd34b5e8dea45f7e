#include "tests/bench/gemm/rounds.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/bench/gemm/cpu_use.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

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
    call_(calls_++);
    double once = Once();
    // A short call that was interrupted would be repeated too seldom.
    if (once < turn_seconds) once = std::min(once, Once());
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

RoundTimes MeasureRounds(const std::vector<TimedCall>& calls, const RoundPlan& plan) {
  std::vector<Turns> turns;
  turns.reserve(calls.size());
  for (const TimedCall& call : calls) {
    AwaitIdlePools();
    turns.emplace_back(call, plan.turn_seconds);
  }
  RoundTimes times;
  times.seconds.resize(calls.size());
  const CpuUse use;
  const Stopwatch watch;
  for (int round = 0; round < plan.max_rounds; ++round) {
    if (round >= plan.min_rounds && watch.seconds() >= plan.budget_seconds) break;
    for (size_t i = 0; i < calls.size(); ++i) {
      const size_t contender = (i + static_cast<size_t>(round)) % calls.size();
      times.seconds[contender].push_back(turns[contender].Measure());
    }
  }
  times.others_share = use.OthersShare();
  return times;
}

}  // namespace bwrt::bench
