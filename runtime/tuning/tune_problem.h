// TuneProblem: a kind of wave that a device is tuned for, and TuneResult: what came of it. Plain values.
#ifndef BWRT_RUNTIME_TUNING_TUNE_PROBLEM_H_
#define BWRT_RUNTIME_TUNING_TUNE_PROBLEM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/tile_shape.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

// C[m, n] = A[m, k] @ W, without C, bias and activation. Unchecked.
struct TuneProblem {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  DTypeWish dtype = DTypeWish::kUnspecified;    // Unspecified: f32.
  DTypeWish c_dtype = DTypeWish::kUnspecified;  // Unspecified: f32.
  bool w_transposed = false;
  friend bool operator==(const TuneProblem&, const TuneProblem&) = default;
};

// "MxNxK[:dtype[:transposed]]", such as "4096x4096x4096:bf16"; the dtype is f32 where there is none, C is f32.
// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<TuneProblem> ParseTuneProblem(absl::string_view text);
// One a line; blank lines and lines that start with '#' are skipped. INVALID_ARGUMENT names the line; none, or more
// than kMaxTuneProblems, are refused.
absl::StatusOr<std::vector<TuneProblem>> ParseTuneProblems(absl::string_view text);
// As ParseTuneProblem reads it, where C is f32; else with ":c=" and its type behind it.
std::string ToString(const TuneProblem& problem);

inline constexpr size_t kMaxTuneProblems = 64;

// A tile shape, as it did.
struct TimedTile {
  TileShape shape;
  std::string kernel;
  Duration median{0};
  int repeats = 0;
  std::string algorithm;     // What the device chose to run it with; empty where there is no choice.
  Duration first_choice{0};  // Of that choice: what it would have taken otherwise.
  friend bool operator==(const TimedTile&, const TimedTile&) = default;
};

struct TuneResult {
  TimedTile winner;  // The fastest; of equals the first of the whitelist.
  TimedTile first;   // Of the whitelist.
  std::vector<TimedTile> timed = {};
  int left_out = 0;  // Shapes that the budget left no time for.
  std::vector<std::string> rejected = {};
  bool kept = false;  // Found earlier: `timed` is empty.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TUNING_TUNE_PROBLEM_H_
