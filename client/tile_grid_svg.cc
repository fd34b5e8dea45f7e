#include "client/tile_grid_svg.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "client/svg_writer.h"

namespace bwrt::client {
namespace {

constexpr double kMargin = 24;
constexpr double kGap = 36;  // Between the grid, its legend and the tokens.
constexpr double kTokenHeight = 34;
constexpr double kTokenWidth = 38;

constexpr absl::string_view kInk = "fill=\"#1f2937\"";
constexpr absl::string_view kMuted = "fill=\"#6b7280\"";
constexpr absl::string_view kBold = "fill=\"#1f2937\" font-weight=\"bold\"";
constexpr absl::string_view kOpenInk = "fill=\"#15803d\" font-weight=\"bold\"";

constexpr absl::string_view kAppendedFill = "fill=\"url(#appended)\" stroke=\"#c2410c\" stroke-width=\"1.5\"";
constexpr absl::string_view kDroppedFill = "fill=\"#fee2e2\" stroke=\"#b91c1c\" stroke-width=\"1\"";
constexpr absl::string_view kOmittedFill =
    "fill=\"#f9fafb\" stroke=\"#9ca3af\" stroke-width=\"1\" stroke-dasharray=\"3 3\"";
constexpr absl::string_view kPrefetchFill = "fill=\"#e5e7eb\" stroke=\"#6b7280\" stroke-width=\"1\"";
constexpr absl::string_view kDefinitions =
    "<defs><pattern id=\"appended\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><rect width=\"8\" height=\"8\" fill=\"#ffedd5\"/>"
    "<rect width=\"3\" height=\"8\" fill=\"#fdba74\"/></pattern></defs>\n";

struct Point {
  double x = 0;
  double y = 0;
};

// Sans-serif digits and lower-case letters are about this wide.
double TextWidth(absl::string_view text, double size) { return 0.6 * size * static_cast<double>(text.size()); }

class Picture {
 public:
  explicit Picture(const TileDrawing& drawing) : d_(drawing) {
    const double longer = static_cast<double>(std::max(d_.bm, d_.bn));
    const int64_t across = std::max(d_.shown_rows, d_.shown_cols);
    const double room = across <= 8 ? 88 : across <= 16 ? 52 : 32;
    // To scale, as long as a number fits into a cell.
    cell_width_ = std::max(room * static_cast<double>(d_.bn) / longer, 28.0);
    cell_height_ = std::max(room * static_cast<double>(d_.bm) / longer, 28.0);
  }

  std::string Draw() {
    svg_.Raw(kDefinitions);
    const double grid_top = DrawTitle() + 30;
    origin_ = {kMargin + 44, grid_top};
    const Point grid_end = DrawGrid();
    const double legend_bottom = DrawLegend({grid_end.x + kGap, grid_top + 4});
    DrawTokens(std::max(grid_end.y, legend_bottom) + kGap);
    return svg_.Finish(width_ + kMargin, height_ + kMargin, d_.name);
  }

 private:
  void Reach(double x, double y) {
    width_ = std::max(width_, x);
    height_ = std::max(height_, y);
  }

  void Write(double x, double y, double size, absl::string_view attributes, absl::string_view text) {
    svg_.Text(x, y, size, "start", attributes, text);
    Reach(x + TextWidth(text, size), y);
  }

  // Returns where it ends.
  double DrawTitle() {
    double y = kMargin + 12;
    Write(kMargin, y, 17, kBold,
          absl::StrCat(d_.name, ": C of ", d_.m, " x ", d_.n, " in ", d_.rows, " x ", d_.cols, " tiles of ", d_.bm,
                       " x ", d_.bn, ", K ", d_.k));
    y += 22;
    std::string tiles = absl::StrCat(d_.listed, " listed");
    if (d_.appended > 0) absl::StrAppend(&tiles, ", ", d_.appended, " appended");
    if (d_.dropped > 0) absl::StrAppend(&tiles, ", ", d_.dropped, " dropped");
    if (d_.omitted > 0) absl::StrAppend(&tiles, ", ", d_.omitted, " omitted");
    if (d_.cut()) absl::StrAppend(&tiles, "; the first ", d_.shown_rows, " x ", d_.shown_cols, " tiles are shown");
    Write(kMargin, y, 13, kMuted, tiles);
    return y;
  }

  // --- the grid ---

  double Width(int64_t col) const {
    const int64_t elements = std::min(d_.bn, d_.n - col * d_.bn);
    return std::max(cell_width_ * static_cast<double>(elements) / static_cast<double>(d_.bn), 10.0);
  }
  double Height(int64_t row) const {
    const int64_t elements = std::min(d_.bm, d_.m - row * d_.bm);
    return std::max(cell_height_ * static_cast<double>(elements) / static_cast<double>(d_.bm), 10.0);
  }
  // Only the last row and column can be narrower, so these hold for every tile's corner.
  double Left(int64_t col) const { return origin_.x + cell_width_ * static_cast<double>(col); }
  double Top(int64_t row) const { return origin_.y + cell_height_ * static_cast<double>(row); }
  Point Centre(int64_t row, int64_t col) const { return {Left(col) + Width(col) / 2, Top(row) + Height(row) / 2}; }
  double Radius() const { return std::min(13.0, 0.4 * std::min(cell_width_, cell_height_)); }

  // Light to dark, by the token of a listed tile.
  std::string ListedFill(int64_t token) const {
    const auto before = static_cast<double>(token - d_.prefetch_tokens);
    const double t = d_.tile_tokens <= 1 ? 0 : std::clamp(before / static_cast<double>(d_.tile_tokens - 1), 0.0, 1.0);
    const auto mix = [t](int from, int to) { return static_cast<int>(std::lround(from + t * (to - from))); };
    return absl::StrFormat("fill=\"#%02x%02x%02x\" stroke=\"#1e3a8a\" stroke-width=\"1\"", mix(0xdb, 0x3b),
                           mix(0xea, 0x82), mix(0xfe, 0xf6));
  }

  // The attributes of a tile's cell, in the grid and among the tokens.
  std::string Fill(const DrawnTile& tile) const {
    if (tile.position == 0) return std::string(kOmittedFill);
    if (tile.dropped) return std::string(kDroppedFill);
    if (tile.appended) return std::string(kAppendedFill);
    return ListedFill(tile.token);
  }

  static absl::string_view Kind(const DrawnTile& tile) {
    if (tile.position == 0) return tile.omitted ? "omitted" : "unknown";
    return tile.dropped ? "dropped" : tile.appended ? "appended" : "listed";
  }

  static std::string Hint(const DrawnTile& tile, int64_t row, int64_t col) {
    const std::string where = absl::StrCat("tile m=", row, " n=", col, ": ");
    if (tile.position == 0) return absl::StrCat(where, tile.omitted ? "omitted by PARTIAL" : "order not told");
    return absl::StrCat(where, "number ", tile.position, tile.appended ? ", appended" : ", listed",
                        tile.partial ? ", partial" : "", tile.dropped ? ", dropped" : "");
  }

  bool AnyTile(bool (*is)(const DrawnTile&)) const { return std::any_of(d_.tiles.begin(), d_.tiles.end(), is); }
  bool ShowsPadding() const {
    return d_.tails == PAD && AnyTile([](const DrawnTile& t) { return t.partial && t.position > 0; });
  }

  // Returns its lower right corner.
  Point DrawGrid() {
    const int64_t last_row = d_.shown_rows - 1, last_col = d_.shown_cols - 1;
    const Point end{Left(last_col) + Width(last_col), Top(last_row) + Height(last_row)};
    Point full = end;
    if (ShowsPadding()) {
      full = {Left(last_col) + cell_width_, Top(last_row) + cell_height_};
      svg_.Rect(origin_.x, origin_.y, full.x - origin_.x, full.y - origin_.y,
                "class=\"padding\" fill=\"none\" stroke=\"#9ca3af\" stroke-width=\"1\" stroke-dasharray=\"2 4\"");
    }
    for (int64_t row = 0; row <= last_row; ++row) {
      for (int64_t col = 0; col <= last_col; ++col) DrawCell(row, col);
    }
    svg_.Rect(origin_.x, origin_.y, end.x - origin_.x, end.y - origin_.y,
              "fill=\"none\" stroke=\"#111827\" stroke-width=\"2\"");
    for (int64_t col = 0; col <= last_col; ++col) {
      svg_.Text(Centre(0, col).x, origin_.y - 8, 11, "middle", kMuted, absl::StrCat(col == 0 ? "n=" : "", col));
    }
    for (int64_t row = 0; row <= last_row; ++row) {
      svg_.Text(origin_.x - 8, Centre(row, 0).y + 4, 11, "end", kMuted, absl::StrCat(row == 0 ? "m=" : "", row));
    }
    DrawRun();
    for (int64_t row = 0; row <= last_row; ++row) {
      for (int64_t col = 0; col <= last_col; ++col) DrawBadge(row, col);
    }
    Reach(full.x, full.y);
    return full;
  }

  void DrawCell(int64_t row, int64_t col) {
    const DrawnTile& tile = d_.at(row, col);
    svg_.Rect(Left(col), Top(row), Width(col), Height(row),
              absl::StrCat("class=\"tile ", Kind(tile), "\" ", Fill(tile)), Hint(tile, row, col));
    if (tile.dropped) DrawCross(Left(col), Top(row), Width(col), Height(row), &svg_);
  }

  static void DrawCross(double x, double y, double width, double height, SvgWriter* out) {
    constexpr absl::string_view kCross = "stroke=\"#b91c1c\" stroke-width=\"1.5\" stroke-opacity=\"0.6\"";
    out->Line(x, y, x + width, y + height, kCross);
    out->Line(x, y + height, x + width, y, kCross);
  }

  void DrawBadge(int64_t row, int64_t col) {
    const DrawnTile& tile = d_.at(row, col);
    const Point at = Centre(row, col);
    if (tile.position == 0) {
      if (!tile.omitted) svg_.Text(at.x, at.y + 4, 11, "middle", kMuted, "?");
      return;
    }
    const std::string number = absl::StrCat(tile.position);
    const absl::string_view edge = tile.dropped ? "#b91c1c" : tile.appended ? "#c2410c" : "#1e3a8a";
    svg_.Circle(at.x, at.y, Radius(), absl::StrCat("fill=\"#ffffff\" stroke=\"", edge, "\" stroke-width=\"1.5\""));
    const double size = std::min(13.0, 1.75 * Radius() / TextWidth(number, 1));
    svg_.Text(at.x, at.y + 0.36 * size, size, "middle", absl::StrCat("fill=\"", edge, "\" font-weight=\"bold\""),
              number);
  }

  void DrawRun() {
    std::string listed, appended;
    std::vector<std::pair<Point, Point>> steps;
    bool pen_down = false;  // The tile that ran before is shown.
    bool was_appended = false;
    Point before;
    for (size_t i = 0; i < d_.order.size(); ++i) {
      const auto& [row, col] = d_.order[i];
      const auto position = static_cast<int64_t>(i) + 1;
      if (d_.Dropped(position)) continue;
      if (!d_.Shows(row, col)) {
        pen_down = false;
        continue;
      }
      const Point at = Centre(row, col);
      const bool is_appended = d_.at(row, col).appended;
      std::string& path = is_appended ? appended : listed;
      // Either path goes on where the other ended.
      if (pen_down && is_appended != was_appended) Step("M", before, &path);
      Step(pen_down ? "L" : "M", at, &path);
      if (pen_down) steps.emplace_back(before, at);
      before = at;
      was_appended = is_appended;
      pen_down = true;
    }
    if (!listed.empty()) {
      svg_.Path(listed, "class=\"run\" fill=\"none\" stroke=\"#1e3a8a\" stroke-width=\"2\" stroke-linejoin=\"round\"");
    }
    if (!appended.empty()) {
      svg_.Path(appended,
                "class=\"run appended\" fill=\"none\" stroke=\"#c2410c\" stroke-width=\"2\" stroke-dasharray=\"6 4\" "
                "stroke-linejoin=\"round\"");
    }
    for (const auto& [from, to] : steps) DrawArrowHead(from, to);
  }

  static void Step(absl::string_view command, Point at, std::string* path) {
    absl::StrAppend(path, path->empty() ? "" : " ", command, " ", SvgNumber(at.x), " ", SvgNumber(at.y));
  }

  void DrawArrowHead(Point from, Point to) {
    const double length = std::hypot(to.x - from.x, to.y - from.y);
    const double size = std::min(9.0, length - 2 * Radius());
    if (size < 4) return;
    const Point along{(to.x - from.x) / length, (to.y - from.y) / length};
    // Just before the badge it leads to.
    const Point tip{to.x - along.x * (Radius() + 1), to.y - along.y * (Radius() + 1)};
    const Point base{tip.x - along.x * size, tip.y - along.y * size};
    std::string data;
    Step("M", tip, &data);
    Step("L", {base.x - along.y * size / 2, base.y + along.x * size / 2}, &data);
    Step("L", {base.x + along.y * size / 2, base.y - along.x * size / 2}, &data);
    svg_.Path(absl::StrCat(data, " Z"), absl::StrCat("class=\"arrow\" ", kInk));
  }

  // --- the legend ---

  // Returns where it ends.
  double DrawLegend(Point at) {
    const auto next = [&](absl::string_view text) {
      Write(at.x + 46, at.y + 13, 12, kInk, text);
      at.y += 25;
    };
    const auto swatch = [&](absl::string_view fill, absl::string_view text) {
      svg_.Rect(at.x, at.y, 36, 17, fill);
      next(text);
    };
    if (AnyTile([](const DrawnTile& t) { return t.position > 0 && !t.appended && !t.dropped; })) {
      for (int i = 0; i < 3; ++i) {
        svg_.Rect(at.x + 12 * i, at.y, 12, 17, ListedFill(d_.prefetch_tokens + (d_.tile_tokens - 1) * i / 2));
      }
      next(d_.listed > 1 ? "listed, first to last" : "listed");
    }
    if (AnyTile([](const DrawnTile& t) { return t.appended && !t.dropped; })) {
      swatch(kAppendedFill, "appended by COMPLETE");
    }
    if (AnyTile([](const DrawnTile& t) { return t.dropped; })) {
      svg_.Rect(at.x, at.y, 36, 17, kDroppedFill);
      DrawCross(at.x, at.y, 36, 17, &svg_);
      next("dropped by DROP: a partial tile");
    }
    if (AnyTile([](const DrawnTile& t) { return t.omitted; })) swatch(kOmittedFill, "omitted by PARTIAL");
    if (AnyTile([](const DrawnTile& t) { return t.position == 0 && !t.omitted; })) {
      swatch(kOmittedFill, "?: the order told ends before");
    }
    if (ShowsPadding()) {
      svg_.Rect(at.x, at.y, 36, 17, "fill=\"none\" stroke=\"#9ca3af\" stroke-width=\"1\" stroke-dasharray=\"2 4\"");
      next("PAD: computed, not stored");
    }
    if (d_.tails == PEEL && AnyTile([](const DrawnTile& t) { return t.partial && t.position > 0; })) {
      svg_.Rect(at.x + 12, at.y, 12, 17, ListedFill(d_.tokens() - 1));
      next("PEEL: partial tiles run last, at their size");
    }
    if (d_.prefetch_tokens > 0) swatch(kPrefetchFill, "prefetch of one extent");
    swatch("fill=\"#22c55e\" fill-opacity=\"0.28\" stroke=\"#15803d\" stroke-width=\"1.5\"", "swaps allowed");
    return at.y;
  }

  // --- the tokens ---

  static std::string Label(const TileDrawing& d, const TokenSpan& span) {
    if (!span.single()) return "...";
    if (span.prefetch) return "p";
    const int64_t position = d.Position(span.first);
    return position == 0 ? "?" : absl::StrCat(position);
  }

  // Their positions.
  std::string AppendedLabel() const {
    if (!d_.KnowsRuns()) return "?";
    std::string label;
    for (const TileRun& run : d_.runs) {
      if (!run.appended) continue;
      absl::StrAppend(&label, label.empty() ? "" : ", ", run.first);
      if (run.last > run.first) absl::StrAppend(&label, "..", run.last);
    }
    return label;
  }

  static double LabelWidth(absl::string_view label) { return std::max(kTokenWidth, TextWidth(label, 13) + 12); }

  void DrawTokens(double y) {
    Write(kMargin, y, 14, kBold,
          d_.tokens() == 1 ? "Token 0, in time" : absl::StrCat("Tokens 0 to ", d_.tokens() - 1, ", in time"));
    const double group_y = y + 26, strip = group_y + 14;
    const double index_y = strip + kTokenHeight + 16, band_top = strip - 7, band_bottom = index_y + 8;
    double x = kMargin;
    const std::vector<TokenSpan> spans = TokenSpans(d_);
    double tiles_begin = x, window_begin = -1, window_end = -1;
    // The band lies beneath the tokens, whose places are known only once they are drawn.
    SvgWriter tokens;
    for (const TokenSpan& span : spans) {
      const bool carries_appended = d_.appended > 0 && span.last == d_.tokens() - 1;
      const std::string label = Label(d_, span);
      const std::string index = span.single() ? absl::StrCat(span.first) : absl::StrCat(span.first, "..", span.last);
      const double own = std::max(LabelWidth(label), TextWidth(index, 11) + 8);
      const double width = own + (carries_appended ? LabelWidth(AppendedLabel()) : 0);
      if (span.first == d_.prefetch_tokens) {
        if (d_.prefetch_tokens > 0) x += kTokenGap;
        tiles_begin = x;
      }
      DrawToken(span, label, {x, strip}, own, width, &tokens);
      tokens.Text(x + width / 2, index_y, 11, "middle", span.open ? kOpenInk : kMuted, index);
      if (span.open) {
        if (window_begin < 0) window_begin = x;
        window_end = x + width;
      }
      x += width;
    }
    if (window_begin >= 0) {
      svg_.Rect(window_begin, band_top, window_end - window_begin, band_bottom - band_top,
                "class=\"window\" fill=\"#22c55e\" fill-opacity=\"0.28\"");
    }
    svg_.Raw(tokens.body());
    if (d_.prefetch_tokens > 0) {
      DrawBracket(kMargin, tiles_begin - kTokenGap, group_y, absl::StrCat("prefetch, P=", d_.prefetch_tokens));
    }
    DrawBracket(tiles_begin, x, group_y, absl::StrCat("tiles, T=", d_.tile_tokens));
    DrawBetweenWaves({x + 18, strip});
    const double label_y = DrawWindowBracket(window_begin, window_end, band_bottom);
    Write(kMargin, label_y + 24, 13, kInk, absl::StrCat("The window is ", WindowInWords(d_), "."));
  }

  void DrawToken(const TokenSpan& span, const std::string& label, Point at, double own, double width, SvgWriter* out) {
    DrawnTile tile{.position = d_.Position(span.first), .token = span.first};
    tile.dropped = span.single() && d_.Dropped(tile.position);
    const std::string fill = span.prefetch ? std::string(kPrefetchFill) : Fill(tile);
    if (width > own) {
      out->Rect(at.x + own, at.y, width - own, kTokenHeight, kAppendedFill);
      const std::string appended = AppendedLabel();
      const double label_width = TextWidth(appended, 13) + 6;
      const double middle = at.x + (own + width) / 2;
      // A plate beneath the number: it would drown in the hatching.
      out->Rect(middle - label_width / 2, at.y + 8, label_width, 18, "rx=\"4\" fill=\"#ffffff\"");
      out->Text(middle, at.y + 22, 13, "middle", "fill=\"#c2410c\" font-weight=\"bold\"", appended);
    }
    out->Rect(at.x, at.y, own, kTokenHeight, fill);
    if (tile.dropped) DrawCross(at.x, at.y, own, kTokenHeight, out);
    out->Text(at.x + own / 2, at.y + 22, 13, "middle", span.prefetch ? kMuted : kBold, label);
    // The whole token, with the tiles appended to it.
    out->Rect(at.x, at.y, width, kTokenHeight, "class=\"token\" fill=\"none\" stroke=\"#111827\" stroke-width=\"1.5\"");
  }

  // Spans [from, to] above the tokens.
  void DrawBracket(double from, double to, double y, const std::string& label) {
    constexpr absl::string_view kLine = "fill=\"none\" stroke=\"#6b7280\" stroke-width=\"1\"";
    std::string data;
    Step("M", {from + 2, y + 5}, &data);
    Step("L", {from + 2, y}, &data);
    Step("L", {to - 2, y}, &data);
    Step("L", {to - 2, y + 5}, &data);
    svg_.Path(data, kLine);
    Write(from + 2, y - 5, 11, kMuted, label);
  }

  // What comes after the last token.
  void DrawBetweenWaves(Point at) {
    const bool open = d_.OpenBetweenWaves();
    constexpr double kWidth = 116;
    if (open) svg_.Rect(at.x, at.y - 7, kWidth, kTokenHeight + 31, "fill=\"#22c55e\" fill-opacity=\"0.28\"");
    svg_.Rect(at.x, at.y, kWidth, kTokenHeight,
              "fill=\"#ffffff\" stroke=\"#6b7280\" stroke-width=\"1\" stroke-dasharray=\"4 3\"");
    svg_.Text(at.x + kWidth / 2, at.y + 22, 12, "middle", kMuted, "between waves");
    svg_.Text(at.x + kWidth / 2, at.y + kTokenHeight + 16, 11, "middle", open ? kOpenInk : kMuted,
              open ? "open" : "closed");
    Reach(at.x + kWidth, at.y + kTokenHeight);
  }

  // Beneath the tokens of the window. Returns where its label ends.
  double DrawWindowBracket(double from, double to, double y) {
    const std::string label = absl::StrCat("[", d_.swap_begin, ",", d_.swap_end, ")");
    if (from < 0) {
      Write(kMargin, y + 18, 13, kMuted,
            absl::StrCat("swap window ", label,
                         d_.swap_begin < d_.tokens() ? ": never open" : ": beyond the last token"));
      return y + 18;
    }
    std::string data;
    Step("M", {from, y}, &data);
    Step("L", {from, y + 6}, &data);
    Step("L", {to, y + 6}, &data);
    Step("L", {to, y}, &data);
    svg_.Path(data, "fill=\"none\" stroke=\"#15803d\" stroke-width=\"2\"");
    Write(from, y + 22, 13, kOpenInk, absl::StrCat("swap window ", label));
    return y + 22;
  }

  static constexpr double kTokenGap = 14;  // Between prefetches and tiles.

  const TileDrawing& d_;
  SvgWriter svg_;
  double cell_width_ = 0;
  double cell_height_ = 0;
  Point origin_;
  // What has been reached so far.
  double width_ = 0;
  double height_ = 0;
};

}  // namespace

std::string TileGridSvg(const TileDrawing& drawing) { return Picture(drawing).Draw(); }

}  // namespace bwrt::client
