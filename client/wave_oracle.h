// What a valid wave must come back with: a judge of results, written from the design's sentences alone.
//
//   C = activation(alpha * a_scale * w_scale * A @ W + beta * C + bias), in double precision, on every tile that runs
//
// and bit for bit what C held before everywhere else: in tiles that are skipped and in the gaps of its stride.
//
// The error of a tile is the relative Frobenius norm ||got - want|| / ||want||. Where cancellation has left ||want||
// below a quarter of what its terms amount to (the root of the sum of their squares), that quarter stands in: no sum
// in f32 can do better, and tiles of one element do cancel. Nor is any element taken for less than the smallest normal
// number of C's type.
//
// In place of the product, an oracle can take what another device came back with: then it judges whether two devices
// agree, by the same measure.
//
// A WaveOracle is immutable and thread-safe. The request and the tensor it is made of must outlive it.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"
#include "client/matrix_rect.h"
#include "client/tile_schedule.h"

namespace bwrt::client {

struct ElementIndex {
  int64_t row = 0;
  int64_t column = 0;  // Beyond n: in the gap behind the row.

  friend auto operator<=>(const ElementIndex&, const ElementIndex&) = default;
};

struct Verdict {
  double worst_rel_error = 0;  // Of any tile that was computed.
  int64_t worst_m = 0;         // That tile.
  int64_t worst_n = 0;
  std::string mismatch = {};  // The first one, in words; empty where the result is right.
  // Row-major, the first element of C that is wrong by itself: one that should have stayed as it was, or one of a tile
  // beyond the tolerance that is off by more than an equal share of what the tile may be off by. Unset where C is right
  // or of another size.
  std::optional<ElementIndex> first_difference = {};

  bool ok() const { return mismatch.empty(); }
};

struct OracleOptions {
  // Computes and judges this part of C alone, which saves as much work as is left out. Within C, and not empty. Unset:
  // all of it and the gaps of its stride.
  std::optional<MatrixRect> part = {};
  // The bytes of a C that another device computed of the same wave.
  std::optional<absl::string_view> peer_c = {};
};

class WaveOracle {
 public:
  // `stored_w` is the tensor that W names, else null. INVALID_ARGUMENT: operands are missing or do not fit the sizes;
  // more than that is not checked: the wave must be valid.
  static absl::StatusOr<WaveOracle> Create(const v1::SubmitWaveRequest& request, const v1::Tensor* stored_w = nullptr,
                                           const OracleOptions& options = {});

  const TileSchedule& schedule() const { return schedule_; }
  DType dtype() const { return dtype_; }  // Of A and W.
  DType c_dtype() const { return c_dtype_; }
  // What a correct result may be off by: 1e-5 where A, W and C are f32, else 1e-2.
  double tolerance() const;

  // What is computed and judged, in A's row order.
  const MatrixRect& part() const { return part_; }

  // part(), packed. Only where `computed`.
  const std::vector<double>& want() const { return want_; }
  const std::vector<bool>& computed() const { return computed_; }

  // The bytes of a right C, rounded from `want`. Beyond part() they are those it started as.
  std::string WantedC() const;
  // The bytes of `c` that are judged: part(), row after row, or all of them. `c` has C's size. Where they equal those
  // of WantedC(), no further judgement is needed.
  std::string JudgedBytes(absl::string_view c) const;

  // Of C alone.
  Verdict JudgeC(const std::string& c) const;
  // Of C, and of what the result says about tiles, tokens, types and shape.
  Verdict Judge(const v1::WaveResult& result) const;
  // Of the order above all.
  Verdict Judge(const v1::ValidateWaveResponse& response) const;

 private:
  // Of part(), packed.
  struct Operands {
    std::vector<double> a, w, given, peer;  // w: [k, columns of the part]. peer: empty where there is none.
  };
  // The rows and columns of C that a tile holds, within part().
  struct TileElements {
    std::vector<int64_t> rows;
    int64_t column_begin = 0;
    int64_t column_end = 0;

    int64_t size() const { return static_cast<int64_t>(rows.size()) * (column_end - column_begin); }
  };

  explicit WaveOracle(const v1::SubmitWaveRequest& request) : request_(request) {}

  absl::Status Compute(const v1::Tensor* stored_w, const OracleOptions& options);
  void ComputeTile(const ScheduledTile& tile, const Operands& operands);
  TileElements ElementsOf(const ScheduledTile& tile) const;
  size_t IndexOf(int64_t row, int64_t column) const {
    return static_cast<size_t>((row - part_.row_begin) * part_.columns() + column - part_.column_begin);
  }
  void JudgeUntouched(const std::string& c, Verdict* verdict) const;
  void JudgeTile(size_t position, const std::vector<double>& got, Verdict* verdict) const;
  std::string JudgeReport(const v1::EffectiveSpec& effective, const v1::TokenPlan& tokens) const;

  const v1::SubmitWaveRequest& request_;
  TileSchedule schedule_;
  DType dtype_ = F32;
  DType c_dtype_ = F32;
  int64_t c_stride_ = 0;
  MatrixRect part_;
  bool judges_gaps_ = true;
  std::string start_;  // C's bytes before the first tile.
  std::vector<double> want_;
  std::vector<bool> computed_;
  std::vector<double> scales_;  // Of each tile in the schedule: what its terms within the part amount to.
};

}  // namespace bwrt::client
