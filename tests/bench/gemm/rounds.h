// Rounds: contenders measured in turn, again and again, so that all of them see the same machine.
//
// Idle pools of worker threads go on spinning for a while after a call (oneDNN's OpenMP for some milliseconds,
// OpenBLAS's for about 30); on a machine whose processors are all in use they would slow down whoever comes next. So
// each turn begins when they have gone to sleep.
#ifndef BWRT_TESTS_BENCH_GEMM_ROUNDS_H_
#define BWRT_TESTS_BENCH_GEMM_ROUNDS_H_

#include <cstddef>
#include <functional>
#include <vector>

namespace bwrt::bench {

struct RoundPlan {
  int min_rounds = 7;
  int max_rounds = 21;
  double budget_seconds = 2.5;  // Beyond min_rounds, a round begins only while less than this has passed.
  double turn_seconds = 0.12;   // Each turn repeats its call until about this long.
};

// `call(i)`: the i-th call of a contender, counted over all rounds.
using TimedCall = std::function<void(int i)>;

struct RoundTimes {
  std::vector<std::vector<double>> seconds;  // A call, [contender][round].
  double others_share = 0;                   // Of the machine, in these rounds: the mean of CpuUse::OthersShare.
};

// Round r begins with contender r mod n. Up to three untimed calls of each come first, and one at the beginning of each
// turn, unless a call takes longer than a turn.
// Rounds in which other programs took more than a tenth of the machine do not count, whatever they measured, as long as
// min_rounds are left; to get these, up to three times the budget is spent. Else the min_rounds least disturbed count.
RoundTimes MeasureRounds(const std::vector<TimedCall>& calls, const RoundPlan& plan);

// Which of the rounds with these shares taken by others count, in order.
std::vector<size_t> CountedRounds(const std::vector<double>& others_shares, int min_rounds);

// Returns when no thread of this process runs but the caller. Throws when that takes more than `patience_seconds`.
void AwaitIdlePools(double patience_seconds = 2);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_ROUNDS_H_
