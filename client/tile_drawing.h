// One wave as `bwrtctl explain` shows it: its grid of tiles, the order in which they run, and its tokens. What the text
// and the picture share, so that both tell the same story.
//
// A plain value and pure functions over it; thread-safe.
//
// 1. The order is the daemon's (ValidateWaveResponse.order). Nothing of it is worked out here.
// 2. Positions count from 1 in that order; tokens count from 0, as in a swap window. The listed tiles own one token
// each,
//    in this order; appended ones belong to the last, even where PEEL runs them before a listed one.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

// A larger grid is shown up to here in either direction: beyond that neither a terminal nor a picture is readable.
inline constexpr int64_t kMaxShown = 32;

struct DrawnTile {
  int64_t position = 0;   // 0: not in the order.
  int64_t token = 0;      // The one it belongs to.
  bool appended = false;  // COMPLETE added it.
  bool partial = false;   // Reaches over the edge of C.
  bool dropped = false;   // DROP skips it.
  bool omitted = false;   // PARTIAL skips it. Neither this nor a position: later than the daemon's answer reaches.
};

// Neighbours in the order, all of them listed or all appended.
struct TileRun {
  int64_t first = 0;  // Positions.
  int64_t last = 0;
  bool appended = false;
  int64_t size() const { return last - first + 1; }
};

struct TileDrawing {
  std::string name = {};  // Of the wave.
  int64_t m = 0, n = 0, k = 0;
  int64_t bm = 1, bn = 1, bk = 1;
  int64_t rows = 1, cols = 1;  // Of the grid.
  int64_t shown_rows = 1, shown_cols = 1;
  std::vector<DrawnTile> tiles = {};                    // Those shown, row by row.
  std::vector<std::pair<int64_t, int64_t>> order = {};  // Row and column of the tiles in the order, shown or not.
  // The whole order, or as much as can be told of it.
  std::vector<TileRun> runs = {};
  int64_t listed = 0, appended = 0, dropped = 0, omitted = 0;
  int64_t prefetch_tokens = 0;
  int64_t tile_tokens = 0;
  int64_t swap_begin = 0, swap_end = 0;
  TailPolicy tails = PAD;

  const DrawnTile& at(int64_t row, int64_t col) const { return tiles[static_cast<size_t>(row * shown_cols + col)]; }
  bool cut() const { return shown_rows < rows || shown_cols < cols; }
  bool Shows(int64_t row, int64_t col) const { return row < shown_rows && col < shown_cols; }
  bool Partial(int64_t row, int64_t col) const { return (row + 1) * bm > m || (col + 1) * bn > n; }
  // Of a position in the order, as far as that reaches.
  bool Dropped(int64_t position) const {
    if (tails != DROP || position < 1 || position > static_cast<int64_t>(order.size())) return false;
    const auto& [row, col] = order[static_cast<size_t>(position - 1)];
    return Partial(row, col);
  }
  int64_t tokens() const { return prefetch_tokens + tile_tokens; }
  bool KnowsRuns() const { return !runs.empty() && runs.back().last >= listed + appended; }
  // Of the listed tile that owns this token; 0 where that can't be told.
  int64_t Position(int64_t token) const;
  // The swap window holds the whole clock, whose upper end stands at the last token once an appended tile has started:
  // unless the window reaches that far, it is open no longer than up to here.
  int64_t OpenEnd() const;
  // Whether a wave lets the version change while this token runs.
  bool Open(int64_t token) const { return swap_begin <= token && token < OpenEnd(); }
  // A wave that has ended rests at its last token.
  bool OpenBetweenWaves() const { return Open(tokens() - 1); }
};

// `response` must be the daemon's answer to `request`, whose dimensions and tile shape it therefore found valid.
TileDrawing DrawWave(std::string name, const v1::SubmitWaveRequest& request, const v1::ValidateWaveResponse& response);

// The tokens [first, last] in one piece: a single token, or a run too long to show, whose tokens are all open or all
// closed.
struct TokenSpan {
  int64_t first = 0;
  int64_t last = 0;
  bool prefetch = false;
  bool open = false;
  bool single() const { return first == last; }
};

// Every token in order. Runs of prefetches or tiles longer than 16 keep their ends and those of the window.
std::vector<TokenSpan> TokenSpans(const TileDrawing& drawing);

// "open while tiles 1..5 run and between waves; closed during prefetch".
std::string WindowInWords(const TileDrawing& drawing);

}  // namespace bwrt::client
