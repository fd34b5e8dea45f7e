#include "client/tile_grid_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {
namespace {

void AddLine(std::string line, std::string* text) {
  absl::StripTrailingAsciiWhitespace(&line);
  absl::StrAppend(text, line, "\n");
}

std::string PadLeft(std::string text, size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

std::string PadRight(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string Number(const DrawnTile& tile) {
  if (tile.position > 0) return absl::StrCat(tile.position);
  return tile.omitted ? "." : "?";
}

std::string Marks(const DrawnTile& tile) {
  // Only partial tiles are dropped: one mark says both.
  return absl::StrCat(tile.appended ? "+" : "", tile.dropped ? "x" : tile.partial ? "~" : "");
}

std::string Header(const TileDrawing& d) {
  std::string text;
  AddLine(absl::StrCat(d.name, ": M=", d.m, " N=", d.n, " K=", d.k), &text);
  AddLine(absl::StrCat("grid    ", d.rows, " x ", d.cols, " tiles of ", d.bm, " x ", d.bn, ", bk ", d.bk), &text);
  AddLine(absl::StrCat("tiles   ", d.listed, " listed, ", d.appended, " appended, ", d.dropped, " dropped, ", d.omitted,
                       " omitted"),
          &text);
  AddLine(absl::StrCat("tokens  P=", d.prefetch_tokens, " prefetch, T=", d.tile_tokens, " tiles"), &text);
  AddLine(absl::StrCat("window  [", d.swap_begin, ",", d.swap_end, "): ", WindowInWords(d)), &text);
  return text;
}

std::string Grid(const TileDrawing& d) {
  size_t numbers = 1, marks = 0;
  for (const DrawnTile& tile : d.tiles) {
    numbers = std::max(numbers, Number(tile).size());
    marks = std::max(marks, Marks(tile).size());
  }
  // A column's heading must fit as well.
  const size_t cell = std::max(numbers + marks, absl::StrCat(d.shown_cols - 1).size());
  const size_t margin = std::max<size_t>(3, absl::StrCat(d.shown_rows - 1).size());
  std::string text;
  if (d.cut()) {
    AddLine(absl::StrCat("the first ", d.shown_rows, " x ", d.shown_cols, " of ", d.rows, " x ", d.cols, " tiles:"),
            &text);
  }
  std::string head = PadLeft("m\\n", margin);
  std::string rule(margin + 1, ' ');
  for (int64_t col = 0; col < d.shown_cols; ++col) {
    absl::StrAppend(&head, "   ", PadRight(PadLeft(absl::StrCat(col), numbers), cell));
    absl::StrAppend(&rule, "+", std::string(cell + 2, '-'));
  }
  absl::StrAppend(&rule, "+");
  AddLine(head, &text);
  AddLine(rule, &text);
  for (int64_t row = 0; row < d.shown_rows; ++row) {
    std::string line = PadLeft(absl::StrCat(row), margin) + " ";
    for (int64_t col = 0; col < d.shown_cols; ++col) {
      const DrawnTile& tile = d.at(row, col);
      absl::StrAppend(&line, "| ", PadRight(PadLeft(Number(tile), numbers) + Marks(tile), cell), " ");
    }
    AddLine(line + "|", &text);
    AddLine(rule, &text);
  }
  return text;
}

absl::string_view PartialInWords(TailPolicy tails) {
  return tails == PEEL ? "~ partial: PEEL runs it last, at its own size" : "~ partial: PAD runs it as if padded";
}

std::string Legend(const TileDrawing& d) {
  const auto any = [&d](auto is) { return std::any_of(d.tiles.begin(), d.tiles.end(), is); };
  std::vector<absl::string_view> marks;
  if (any([](const DrawnTile& t) { return t.appended; })) marks.emplace_back("+ appended by COMPLETE");
  if (any([](const DrawnTile& t) { return t.partial && !t.dropped && t.position > 0; })) {
    marks.push_back(PartialInWords(d.tails));
  }
  if (any([](const DrawnTile& t) { return t.dropped; })) marks.emplace_back("x dropped by DROP");
  if (any([](const DrawnTile& t) { return t.omitted; })) marks.emplace_back(". omitted by PARTIAL");
  if (any([](const DrawnTile& t) { return t.position == 0 && !t.omitted; })) {
    marks.emplace_back("? not told: the answer holds only the start of the order");
  }
  if (marks.empty()) return "";
  return absl::StrCat("    ", absl::StrJoin(marks, "; "), "\n");
}

std::string Label(const TileDrawing& d, const TokenSpan& span) {
  if (!span.single()) return "..";
  if (span.prefetch) return "p";
  const int64_t position = d.Position(span.first);
  const bool carries_appended = span.first == d.tokens() - 1 && d.appended > 0;
  return absl::StrCat(position == 0 ? "?" : absl::StrCat(position), d.Dropped(position) ? "x" : "",
                      carries_appended ? "+" : "");
}

std::string Tokens(const TileDrawing& d) {
  std::string index = "index  ", tokens = "tokens ", window = "window ";
  bool after_prefetch = false, underlined = false;
  for (const TokenSpan& span : TokenSpans(d)) {
    if (after_prefetch && !span.prefetch) {
      absl::StrAppend(&index, "  ");
      absl::StrAppend(&tokens, " |");
      absl::StrAppend(&window, underlined && span.open ? "^^" : "  ");
    }
    after_prefetch = span.prefetch;
    const std::string label = Label(d, span);
    const std::string number = span.single() ? absl::StrCat(span.first) : "..";
    const size_t width = std::max(label.size(), number.size());
    absl::StrAppend(&index, " ", PadRight(number, width));
    absl::StrAppend(&tokens, " ", PadRight(label, width));
    absl::StrAppend(&window, underlined && span.open ? "^" : " ", std::string(width, span.open ? '^' : ' '));
    underlined = span.open;
  }
  std::string text;
  AddLine(index, &text);
  AddLine(tokens, &text);
  absl::StripTrailingAsciiWhitespace(&window);
  AddLine(absl::StrCat(PadRight(window, 7), " [", d.swap_begin, ",", d.swap_end, ")"), &text);
  return text;
}

}  // namespace

std::string TileGridText(const TileDrawing& drawing) {
  return absl::StrCat(Header(drawing), "\n", Grid(drawing), Legend(drawing), "\n", Tokens(drawing));
}

}  // namespace bwrt::client
