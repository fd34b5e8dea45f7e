// What a wave must compute, in double precision, and how far a result is from it.
//
// Pure functions; thread-safe. They read the request as the proto documents it and share no code
// with the daemon:
//
//   C = activation(alpha * a_scale * w_scale * A @ W + beta * C + bias)
//
// on every tile that runs; other tiles keep the C given, or zeros.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

// [m, n], packed row-major. A, W and C (where given) must be inline: for a W stored in the daemon,
// pass a copy of the request that holds its bytes and its dtype. INVALID_ARGUMENT: shapes, strides
// and bytes do not fit each other.
absl::StatusOr<std::vector<double>> ReferenceC(const v1::SubmitWaveRequest& request);

struct TileComparison {
  int64_t tiles = 0;  // All of the grid.
  // The largest relative Frobenius error of any tile: ||got - want|| / ||want||, with
  // RelativeErrorFloor in place of a smaller ||want||. Infinite where a tile holds a NaN or
  // infinity that it should not.
  double max_rel_error = 0;
  int64_t worst_m = 0;  // The tile it was found in.
  int64_t worst_n = 0;
};

// Compares `c`, the bytes of WaveResult.c, with `reference`, tile by tile. INVALID_ARGUMENT: `c` is
// not the size of the request's C.
absl::StatusOr<TileComparison> CompareTiles(const v1::SubmitWaveRequest& request, const std::vector<double>& reference,
                                            absl::string_view c);

// So that a tile which must be zero can be judged: its elements may be off by 1e-6 times the
// tolerance.
double RelativeErrorFloor(int64_t elements);

// The largest error a correct result shows: 1e-5 where A, W and C are f32, 1e-2 otherwise.
double Tolerance(const v1::SubmitWaveRequest& request);

}  // namespace bwrt::client
