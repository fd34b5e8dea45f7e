// What a valid wave must come back with: a judge of results, written from the design's sentences alone.
//
//   C = activation(alpha * A @ W + beta * C + bias), in double precision, on every tile that runs
//
// and bit for bit what C held before everywhere else: in tiles that are skipped and in the gaps of its stride.
//
// The error of a tile is the relative Frobenius norm ||got - want|| / ||want||. Where cancellation has left ||want||
// below a quarter of what its terms amount to (the root of the sum of their squares), that quarter stands in: no sum
// in f32 can do better, and tiles of one element do cancel. Nor is any element taken for less than the smallest normal
// number of C's type.
//
// A WaveOracle is immutable and thread-safe. The request and the tensor it is made of must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"
#include "client/tile_schedule.h"

namespace bwrt::client {

struct Verdict {
  double worst_rel_error = 0;  // Of any tile that was computed.
  int64_t worst_m = 0;         // That tile.
  int64_t worst_n = 0;
  std::string mismatch = {};  // The first one, in words; empty where the result is right.

  bool ok() const { return mismatch.empty(); }
};

class WaveOracle {
 public:
  // `stored_w` is the tensor that W names, else null. INVALID_ARGUMENT: operands are missing or do not fit the sizes;
  // more than that is not checked: the wave must be valid.
  static absl::StatusOr<WaveOracle> Create(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w = nullptr);

  const TileSchedule& schedule() const { return schedule_; }
  DType dtype() const { return dtype_; }  // Of A and W.
  DType c_dtype() const { return c_dtype_; }
  // What a correct result may be off by: 1e-5 where A, W and C are f32, else 1e-2.
  double tolerance() const;

  // [m, n], packed, in A's row order. Only where `computed`.
  const std::vector<double>& want() const { return want_; }
  const std::vector<bool>& computed() const { return computed_; }

  // Of C, and of what the result says about tiles, tokens, types and shape.
  Verdict Judge(const v1::WaveResult& result) const;
  // Of the order above all.
  Verdict Judge(const v1::ValidateWaveResponse& response) const;

 private:
  explicit WaveOracle(const v1::SubmitWaveRequest& request) : request_(request) {}

  absl::Status Compute(const v1::Tensor* stored_w);
  void ComputeTile(const ScheduledTile& tile, const std::vector<double>& a, const std::vector<double>& w,
                   const std::vector<double>& given);
  void JudgeC(const std::string& c, Verdict* verdict) const;
  std::string JudgeReport(const v1::EffectiveSpec& effective, const v1::TokenPlan& tokens) const;

  const v1::SubmitWaveRequest& request_;
  TileSchedule schedule_;
  DType dtype_ = F32;
  DType c_dtype_ = F32;
  int64_t c_stride_ = 0;
  std::string start_;  // C's bytes before the first tile.
  std::vector<double> want_;
  std::vector<bool> computed_;
  std::vector<double> scales_;  // Of each tile in the schedule: what its terms amount to.
};

}  // namespace bwrt::client
