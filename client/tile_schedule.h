// Which tiles of a wave run, in which order, under which token: the design's "Traversal", "Tails", "pack_order" and
// "Token clock" read word by word. It shares no code with the daemon, which it judges.
//
// A plain value and a pure function; thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

struct ScheduledTile {
  int64_t m = 0;
  int64_t n = 0;
  int64_t token = 0;
  bool listed = false;   // Else COMPLETE appended it.
  bool partial = false;  // It reaches over the edge of C.
  bool dropped = false;  // DROP skips it; its token completes at once.
};

struct TileSchedule {
  int64_t rows = 0;  // Of the tile grid.
  int64_t columns = 0;
  std::vector<ScheduledTile> order;
  int64_t listed = 0;
  int64_t appended = 0;
  int64_t dropped = 0;
  int64_t omitted = 0;          // By PARTIAL.
  int64_t prefetch_tokens = 0;  // P.
  int64_t tile_tokens = 0;      // T.
  // Row of A and C that each packed row is.
  std::vector<int64_t> packed_rows;
};

// `request` is valid.
TileSchedule ScheduleOf(const v1::SubmitWaveRequest& request);

}  // namespace bwrt::client
