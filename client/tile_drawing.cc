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
    const int64_t open_end = drawing.OpenEnd();
    for (const int64_t token :
         {first, first + 1, drawing.swap_begin - 1, drawing.swap_begin, open_end - 1, open_end, end - 2, end - 1}) {
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

// Ranges of numbers, by whether the window is open there.
struct Cover {
  std::vector<std::string> open;
  std::vector<std::string> closed;

  // Adds the numbers of `count` tokens in a row, the first of which is `token` and has the number `first`.
  void Add(const TileDrawing& drawing, int64_t token, int64_t first, int64_t count) {
    int64_t begin = std::clamp<int64_t>(drawing.swap_begin - token, 0, count);
    const int64_t end = std::clamp<int64_t>(drawing.OpenEnd() - token, begin, count);
    if (begin == end) begin = count;
    if (begin > 0) closed.push_back(Range(first, first + begin - 1));
    if (begin < end) open.push_back(Range(first + begin, first + end - 1));
    if (begin < end && end < count) closed.push_back(Range(first + end, first + count - 1));
  }
};

std::string PrefetchInWords(const std::vector<std::string>& ranges, bool all) {
  return all ? "during prefetch" : absl::StrCat("during prefetch ", Join(ranges));
}

std::string TilesInWords(const std::vector<std::string>& listed, const std::vector<std::string>& appended) {
  const std::string text = Join(listed);
  if (!appended.empty()) return absl::StrCat("while tiles ", text, " (and appended ", Join(appended), ") run");
  const bool one = text.find_first_not_of("0123456789") == std::string::npos;
  return absl::StrCat(one ? "while tile " : "while tiles ", text, one ? " runs" : " run");
}

// What the answer does not reach follows from the numbers of listed and appended tiles, unless PEEL has mixed them.
std::vector<TileRun> RunsOf(const TileDrawing& drawing, const std::set<int64_t>& appended) {
  std::vector<TileRun> runs;
  const auto add = [&runs](int64_t first, int64_t last, bool is_appended) {
    if (first > last) return;
    if (!runs.empty() && runs.back().appended == is_appended) {
      runs.back().last = last;
    } else {
      runs.push_back({first, last, is_appended});
    }
  };
  const auto told = static_cast<int64_t>(drawing.order.size());
  int64_t listed_left = drawing.listed;
  for (int64_t position = 1; position <= told; ++position) {
    const bool is_appended = appended.contains(position - 1);
    listed_left -= is_appended ? 0 : 1;
    add(position, position, is_appended);
  }
  const int64_t tiles = drawing.listed + drawing.appended;
  if (drawing.tails != PEEL || listed_left == 0 || listed_left == tiles - told) {
    add(told + 1, told + listed_left, false);
    add(told + listed_left + 1, tiles, true);
  }
  return runs;
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
  int64_t next_token = d.prefetch_tokens;
  const std::set<int64_t> appended(response.appended().begin(), response.appended().end());
  for (const TileCoord& coord : response.order()) {
    const bool is_appended = appended.contains(static_cast<int64_t>(d.order.size()));
    const int64_t token = is_appended ? d.tokens() - 1 : next_token++;
    d.order.emplace_back(coord.m(), coord.n());
    if (coord.m() < 0 || coord.n() < 0 || !d.Shows(coord.m(), coord.n())) continue;
    DrawnTile& tile = d.tiles[static_cast<size_t>(coord.m() * d.shown_cols + coord.n())];
    tile.position = static_cast<int64_t>(d.order.size());
    tile.token = token;
    tile.appended = is_appended;
    tile.dropped = tile.partial && d.tails == DROP;
    tile.omitted = false;
  }
  d.runs = RunsOf(d, appended);
  return d;
}

int64_t TileDrawing::Position(int64_t token) const {
  int64_t before = token - prefetch_tokens;
  for (const TileRun& run : runs) {
    if (run.appended) continue;
    if (before < run.size()) return run.first + before;
    before -= run.size();
  }
  return 0;
}

int64_t TileDrawing::OpenEnd() const {
  if (swap_end >= tokens()) return swap_end;
  int64_t token = prefetch_tokens;
  for (const TileRun& run : runs) {
    if (run.appended) return std::min(swap_end, token);
    token += run.size();
  }
  return swap_end;
}

std::vector<TokenSpan> TokenSpans(const TileDrawing& drawing) {
  std::vector<TokenSpan> spans;
  AddGroup(drawing, 0, drawing.prefetch_tokens, /*prefetch=*/true, &spans);
  AddGroup(drawing, drawing.prefetch_tokens, drawing.tokens(), /*prefetch=*/false, &spans);
  return spans;
}

std::string WindowInWords(const TileDrawing& drawing) {
  if (!drawing.KnowsRuns()) return "not told in tiles: the answer holds only the start of the order";
  Cover prefetch, listed, appended;
  if (drawing.prefetch_tokens > 0) prefetch.Add(drawing, 0, 1, drawing.prefetch_tokens);
  const int64_t last_token = drawing.tokens() - 1;
  int64_t token = drawing.prefetch_tokens;  // Of the next listed tile, where the clock begins while appended ones run.
  for (const TileRun& run : drawing.runs) {
    if (run.appended) {
      const bool is_open = drawing.Open(std::min(token, last_token));
      (is_open ? appended.open : appended.closed).push_back(Range(run.first, run.last));
    } else {
      listed.Add(drawing, token, run.first, run.size());
      token += run.size();
    }
  }
  std::vector<std::string> open, closed;
  if (!prefetch.open.empty()) open.push_back(PrefetchInWords(prefetch.open, prefetch.closed.empty()));
  if (!prefetch.closed.empty()) closed.push_back(PrefetchInWords(prefetch.closed, prefetch.open.empty()));
  if (!listed.open.empty()) open.push_back(TilesInWords(listed.open, appended.open));
  if (!listed.closed.empty()) closed.push_back(TilesInWords(listed.closed, appended.closed));
  (drawing.OpenBetweenWaves() ? open : closed).emplace_back("between waves");
  if (open.empty()) {
    return absl::StrCat(
        "never open: ", drawing.swap_begin > last_token ? "" : "appended tiles start the last token early; ",
        "the last token is ", last_token);
  }
  if (closed.empty()) return "always open";
  return absl::StrCat("open ", Join(open), "; closed ", Join(closed));
}

}  // namespace bwrt::client
