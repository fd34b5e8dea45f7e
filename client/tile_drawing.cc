#include "client/tile_drawing.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMaxUnbroken = 16;

int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// Adds the tokens [first, end), all prefetches or all tiles.
void AddGroup(const TileDrawing& drawing, int64_t first, int64_t end, bool prefetch, std::vector<TokenSpan>* spans) {
  // Tokens beside a change of the window are always shown, so that what lies between two shown tokens is alike.
  std::vector<int64_t> shown;
  if (end - first <= kMaxUnbroken) {
    for (int64_t token = first; token < end; ++token) shown.push_back(token);
  } else {
    for (const int64_t token : {first, first + 1, drawing.swap_begin - 1, drawing.swap_begin, drawing.swap_end - 1,
                                drawing.swap_end, end - 2, end - 1}) {
      if (first <= token && token < end) shown.push_back(token);
    }
    std::sort(shown.begin(), shown.end());
    shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
  }
  int64_t next = first;
  for (const int64_t token : shown) {
    if (next < token) spans->push_back({next, token - 1, prefetch, drawing.Open(next)});
    spans->push_back({token, token, prefetch, drawing.Open(token)});
    next = token + 1;
  }
}

// What of [0, count) lies in [begin, end), and what does not, as ranges that count from 1.
struct Cover {
  std::vector<std::string> in;
  std::vector<std::string> out;
};

std::string Range(int64_t first, int64_t last) {
  return first == last ? absl::StrCat(first) : absl::StrCat(first, "..", last);
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ", parts[i]);
  }
  return text;
}

Cover CoverOf(int64_t count, int64_t begin, int64_t end) {
  begin = std::clamp<int64_t>(begin, 0, count);
  end = std::clamp<int64_t>(end, begin, count);
  Cover cover;
  if (count == 0) return cover;
  if (begin == end) {
    cover.out.push_back(Range(1, count));
    return cover;
  }
  cover.in.push_back(Range(begin + 1, end));
  if (begin > 0) cover.out.push_back(Range(1, begin));
  if (end < count) cover.out.push_back(Range(end + 1, count));
  return cover;
}

std::string PrefetchInWords(const std::vector<std::string>& ranges, bool all) {
  return all ? "during prefetch" : absl::StrCat("during prefetch ", Join(ranges));
}

std::string TilesInWords(const std::vector<std::string>& ranges, absl::string_view appended) {
  const std::string text = Join(ranges);
  const bool one = appended.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  return absl::StrCat(one ? "while tile " : "while tiles ", text, appended, one ? " runs" : " run");
}

}  // namespace

TileDrawing DrawWave(std::string name, const v1::SubmitWaveRequest& request, const v1::ValidateWaveResponse& response) {
  TileDrawing d;
  d.name = std::move(name);
  d.m = request.m();
  d.n = request.n();
  d.k = request.k();
  // A daemon would have refused zeros; another program behind that address must not make us divide by them.
  d.bm = std::max(request.spec().bm(), 1);
  d.bn = std::max(request.spec().bn(), 1);
  d.bk = request.spec().bk();
  d.rows = std::max<int64_t>(CeilDiv(d.m, d.bm), 1);
  d.cols = std::max<int64_t>(CeilDiv(d.n, d.bn), 1);
  d.shown_rows = std::min(d.rows, kMaxShown);
  d.shown_cols = std::min(d.cols, kMaxShown);
  const v1::EffectiveSpec& effective = response.effective();
  d.listed = static_cast<int64_t>(effective.tiles_listed());
  d.appended = static_cast<int64_t>(effective.tiles_appended());
  d.dropped = static_cast<int64_t>(effective.tiles_dropped());
  d.omitted = static_cast<int64_t>(effective.tiles_omitted());
  d.tails = effective.tail_policy();
  d.prefetch_tokens = static_cast<int64_t>(response.tokens().prefetch_tokens());
  d.tile_tokens = static_cast<int64_t>(response.tokens().tile_tokens());
  d.swap_begin = response.tokens().swap_begin();
  d.swap_end = response.tokens().swap_end();

  const bool whole_order = response.order_size() >= d.listed + d.appended;
  d.tiles.resize(static_cast<size_t>(d.shown_rows * d.shown_cols));
  for (int64_t row = 0; row < d.shown_rows; ++row) {
    for (int64_t col = 0; col < d.shown_cols; ++col) {
      DrawnTile& tile = d.tiles[static_cast<size_t>(row * d.shown_cols + col)];
      tile.partial = d.Partial(row, col);
      tile.omitted = whole_order;
    }
  }
  d.order.reserve(static_cast<size_t>(response.order_size()));
  const std::set<int64_t> appended(response.appended().begin(), response.appended().end());
  for (const TileCoord& coord : response.order()) {
    d.order.emplace_back(coord.m(), coord.n());
    if (coord.m() < 0 || coord.n() < 0 || !d.Shows(coord.m(), coord.n())) continue;
    DrawnTile& tile = d.tiles[static_cast<size_t>(coord.m() * d.shown_cols + coord.n())];
    tile.position = static_cast<int64_t>(d.order.size());
    tile.appended = appended.contains(tile.position - 1);
    tile.dropped = tile.partial && d.tails == DROP;
    tile.omitted = false;
  }
  return d;
}

std::vector<TokenSpan> TokenSpans(const TileDrawing& drawing) {
  std::vector<TokenSpan> spans;
  AddGroup(drawing, 0, drawing.prefetch_tokens, /*prefetch=*/true, &spans);
  AddGroup(drawing, drawing.prefetch_tokens, drawing.tokens(), /*prefetch=*/false, &spans);
  return spans;
}

std::string WindowInWords(const TileDrawing& drawing) {
  std::vector<std::string> open, closed;
  if (drawing.prefetch_tokens > 0) {
    const Cover prefetch = CoverOf(drawing.prefetch_tokens, drawing.swap_begin, drawing.swap_end);
    if (!prefetch.in.empty()) open.push_back(PrefetchInWords(prefetch.in, prefetch.out.empty()));
    if (!prefetch.out.empty()) closed.push_back(PrefetchInWords(prefetch.out, prefetch.in.empty()));
  }
  // Appended tiles run under the last token.
  const std::string appended =
      drawing.appended == 0
          ? ""
          : absl::StrCat(" (and appended ", Range(drawing.listed + 1, drawing.listed + drawing.appended), ")");
  const Cover tiles = CoverOf(drawing.tile_tokens, drawing.swap_begin - drawing.prefetch_tokens,
                              drawing.swap_end - drawing.prefetch_tokens);
  const bool last_open = drawing.OpenBetweenWaves();
  if (!tiles.in.empty()) open.push_back(TilesInWords(tiles.in, last_open ? appended : ""));
  if (!tiles.out.empty()) closed.push_back(TilesInWords(tiles.out, last_open ? "" : appended));
  (last_open ? open : closed).emplace_back("between waves");
  if (open.empty()) {
    return absl::StrCat("never open: the last token is ", drawing.tokens() - 1);
  }
  if (closed.empty()) return "always open";
  return absl::StrCat("open ", Join(open), "; closed ", Join(closed));
}

}  // namespace bwrt::client
