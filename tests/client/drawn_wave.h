// Waves for the tests of the drawings, as a daemon would answer for them.
//
// Plain values; thread-safe.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "client/tile_drawing.h"

namespace bwrt::client {

struct DrawnWave {
  int64_t m = 0, n = 0;
  std::vector<std::pair<int32_t, int32_t>> order = {};
  int64_t listed = 0;
  int64_t prefetch = 0;
  int64_t swap_begin = 0, swap_end = 1;
  TailPolicy tails = PAD;
  int64_t dropped = 0, omitted = 0;
  std::vector<uint32_t> appended = {};  // Their places in `order`; empty where they come last.

  // Tiles are 128 x 128.
  TileDrawing Draw() const {
    v1::SubmitWaveRequest request;
    request.set_m(m);
    request.set_n(n);
    request.set_k(512);
    request.mutable_spec()->set_bm(128);
    request.mutable_spec()->set_bn(128);
    request.mutable_spec()->set_bk(64);
    v1::ValidateWaveResponse response;
    for (const auto& [row, col] : order) {
      TileCoord* tile = response.add_order();
      tile->set_m(row);
      tile->set_n(col);
      if (appended.empty() && response.order_size() > listed) {
        response.add_appended(static_cast<uint32_t>(response.order_size() - 1));
      }
    }
    for (const uint32_t position : appended) response.add_appended(position);
    v1::EffectiveSpec* effective = response.mutable_effective();
    effective->set_tiles_listed(static_cast<uint64_t>(listed));
    effective->set_tiles_appended(order.size() - std::min(order.size(), static_cast<size_t>(listed)));
    effective->set_tiles_dropped(static_cast<uint64_t>(dropped));
    effective->set_tiles_omitted(static_cast<uint64_t>(omitted));
    effective->set_tail_policy(tails);
    response.mutable_tokens()->set_prefetch_tokens(static_cast<uint64_t>(prefetch));
    response.mutable_tokens()->set_tile_tokens(static_cast<uint64_t>(listed));
    response.mutable_tokens()->set_swap_begin(swap_begin);
    response.mutable_tokens()->set_swap_end(swap_end);
    return DrawWave("wave", request, response);
  }
};

// A snake through 2 x 3 tiles that its planner cut off after five: COMPLETE appends the sixth.
inline DrawnWave TruncatedSnake() {
  return {.m = 256,
          .n = 384,
          .order = {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 1}, {1, 0}},
          .listed = 5,
          .prefetch = 5,
          .swap_begin = 5,
          .swap_end = 10};
}

// Swizzled by two rows; the last row and column are partial.
inline DrawnWave PeeledTails() {
  return {.m = 300,
          .n = 300,
          .order = {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {1, 2}, {2, 0}, {2, 1}, {2, 2}},
          .listed = 9,
          .prefetch = 2,
          .swap_begin = 1,
          .swap_end = 4,
          .tails = PEEL};
}

// Listed are two full tiles and two partial ones. COMPLETE appends two full tiles and three partial ones, and PEEL runs
// the full ones before the partial ones that are listed.
inline DrawnWave PeeledAndAppended() {
  return {.m = 300,
          .n = 300,
          .order = {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {0, 2}, {2, 0}, {1, 2}, {2, 1}, {2, 2}},
          .listed = 4,
          .prefetch = 2,
          .swap_begin = 5,
          .swap_end = 6,
          .tails = PEEL,
          .appended = {2, 3, 6, 7, 8}};
}

// The first and the last listed tile are partial, and so are some of those appended.
inline DrawnWave DroppedTails() {
  return {.m = 300,
          .n = 300,
          .order = {{0, 2}, {0, 1}, {2, 0}, {0, 0}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {2, 2}},
          .listed = 3,
          .swap_begin = 0,
          .swap_end = 2,
          .tails = DROP,
          .dropped = 5};
}

inline DrawnWave PartOfTheGrid() {
  return {.m = 256,
          .n = 256,
          .order = {{1, 1}, {0, 0}},
          .listed = 2,
          .prefetch = 1,
          .swap_begin = 20,
          .swap_end = 21,
          .omitted = 2};
}

inline DrawnWave SingleTile() { return {.m = 128, .n = 128, .order = {{0, 0}}, .listed = 1}; }

// Row by row, `rows` x `cols`.
inline DrawnWave LargeGrid(int32_t rows, int32_t cols) {
  DrawnWave wave{.m = int64_t{rows} * 128, .n = int64_t{cols} * 128, .listed = int64_t{rows} * cols};
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t col = 0; col < cols; ++col) wave.order.emplace_back(row, col);
  }
  return wave;
}

}  // namespace bwrt::client
