#include "client/plot_script.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace bwrt::client {
namespace {

// Those of Okabe and Ito, which people with any kind of colour blindness tell apart; yellow is left out, as it cannot
// be seen on white. Points differ as well, and dashes once the colours are used up.
constexpr absl::string_view kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
constexpr int kPoints[] = {7, 5, 9, 11, 13, 15, 6};

constexpr int kPanelWidth = 640, kGraphHeight = 400, kTitleHeight = 50;
constexpr int kLineHeight = 18;
constexpr int kOnlyPanelWidth = 1000;
constexpr int kAxisWidth = 110;  // Of a panel, beside the bars.
constexpr double kUprightHeadRoom = 1.25;
constexpr double kHeadRoom = 1.15;                           // For the values above the bars.
constexpr double kBarRoom = 0.8;                             // Of a category.
constexpr int kCharacterWidth = 9;                           // In pixels.
constexpr size_t kLegendCharacter = 8, kLegendSample = 100;  // In pixels; of the latter, most is gnuplot's own space.
// In lines of text.
constexpr double kAxisHeight = 4, kLegendRow = 1.4, kSlantedTickHeight = 0.24;
constexpr size_t kMaxTicks = 16;
constexpr size_t kTitleCharacter = 11;  // In pixels.
constexpr size_t kMaxText = 80;         // Characters.

// The length of the UTF-8 character that `text` begins with; 0 where it begins with none.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80 ? 1 : byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc2 ? 2 : 0;
  if (length == 0 || length > text.size() || byte(0) > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

// A string of gnuplot's: within single quotes nothing but the quote itself has a meaning.
std::string Quoted(absl::string_view text, size_t most = kMaxText) {
  std::string quoted = "'";
  for (size_t characters = 0; !text.empty(); ++characters) {
    if (characters == most) {
      quoted += "...";
      break;
    }
    const size_t length = std::max<size_t>(CharacterLength(text), 1);
    const bool control = static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7f;
    if (CharacterLength(text) == 0 || control) {
      quoted += '?';
    } else if (text[0] == '\'') {
      quoted += "''";
    } else {
      absl::StrAppend(&quoted, text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return quoted + "'";
}

std::string Number(double value) { return absl::StrFormat("%.17g", value); }

bool IsUsable(const PlotValue& value) {
  return std::isfinite(value.value) && std::isfinite(value.low.value_or(0)) && std::isfinite(value.high.value_or(0));
}

double Top(const PlotValue& value) { return std::max(value.value, value.high.value_or(value.value)); }

class Script {
 public:
  explicit Script(const Plot& plot) : plot_(plot), names_(plot.series) {}

  absl::StatusOr<std::string> Write() {
    const size_t count = plot_.panels.size();
    if (count == 0 || count > kMaxPlotPanels) {
      return absl::InvalidArgumentError(absl::StrCat("a plot of ", count, " panels: must have 1 to ", kMaxPlotPanels));
    }
    const size_t columns = count <= 3 ? count : count == 4 ? 2 : 3;
    const size_t rows = (count - 1) / columns + 1;
    panel_width_ = count == 1 ? kOnlyPanelWidth : kPanelWidth;
    const double bottom = BottomLines();
    const int height = kGraphHeight + static_cast<int>(bottom * kLineHeight);
    absl::StrAppend(&text_, "set encoding utf8\n", "set terminal pngcairo noenhanced size ",
                    static_cast<int>(columns) * panel_width_, ",", static_cast<int>(rows) * height + kTitleHeight,
                    " font 'DejaVu Sans,12' background '#ffffff'\n"
                    "set border 3 lc '#444444'\n"
                    "set tics nomirror out\n"
                    "set grid ytics lt 1 lw 1 lc '#e0e0e0'\n"
                    "set bars 0.6\n"
                    "set style fill solid 1.0 noborder\n"
                    "set style textbox opaque noborder margins 0.2,0.2\n"
                    "set lmargin 11\nset rmargin 3\n"
                    "set bmargin ",
                    Number(bottom), "\nset key below center horizontal maxcols ", LegendColumns(),
                    " samplen 3 spacing 1.2 width 2\n"
                    "set multiplot layout ",
                    rows, ",", columns, " title ",
                    Quoted(plot_.title, columns * static_cast<size_t>(panel_width_) / kTitleCharacter),
                    " font ',16'\n");
    for (const auto& panel : plot_.panels) {
      const absl::Status status = std::visit([this](const auto& p) { return Add(p); }, panel);
      if (!status.ok()) return status;
    }
    return std::move(text_) + "unset multiplot\n";
  }

 private:
  template <typename Panel>
  void Labels(const Panel& panel) {
    absl::StrAppend(&text_, "set title ", Quoted(panel.title), " font ',13'\n", "set xlabel ", Quoted(panel.x_label),
                    " offset 0,0.4\n", "set ylabel ", Quoted(panel.y_label), "\n");
  }

  // The names in a panel's legend.
  static std::vector<std::string> Legend(const LinePanel& panel) {
    std::vector<std::string> names;
    for (const PlotLine& line : panel.lines) names.push_back(line.name);
    return names;
  }
  static std::vector<std::string> Legend(const BarPanel& panel) {
    std::vector<std::string> names;
    for (const PlotBars& bars : panel.bars) names.push_back(bars.name);
    if (panel.baseline.has_value()) names.push_back(panel.baseline_name);
    return names;
  }

  // In lines of text.
  double TickHeight(const LinePanel& /*panel*/) const { return 0; }
  double TickHeight(const BarPanel& panel) const {
    return IsSlanted(panel.categories) ? kSlantedTickHeight * static_cast<double>(Longest(panel.categories)) : 0;
  }

  // Of the widest legend.
  size_t LegendColumns() const {
    size_t columns = kMaxPlotSeries;
    for (const auto& panel : plot_.panels) {
      const size_t entry =
          Longest(std::visit([](const auto& p) { return Legend(p); }, panel)) * kLegendCharacter + kLegendSample;
      columns = std::min(columns, std::max<size_t>(static_cast<size_t>(panel_width_ - kAxisWidth) / entry, 1));
    }
    return columns;
  }

  // Lines of text below the graphs: room for the largest legend and the longest tick labels, in all panels alike, as
  // their axes shall stand in one line.
  double BottomLines() const {
    const size_t columns = LegendColumns();
    size_t rows = 1;
    double ticks = 0;
    for (const auto& panel : plot_.panels) {
      const size_t names = std::visit([](const auto& p) { return Legend(p).size(); }, panel);
      rows = std::max(rows, (names + columns - 1) / columns);
      ticks = std::max(ticks, std::visit([this](const auto& p) { return TickHeight(p); }, panel));
    }
    return kAxisHeight + ticks + kLegendRow * static_cast<double>(rows);
  }

  static size_t Longest(const std::vector<std::string>& texts) {
    size_t longest = 0;
    for (const std::string& text : texts) longest = std::max(longest, std::min(text.size(), kMaxText));
    return longest;
  }

  bool IsSlanted(const std::vector<std::string>& categories) const {
    return Longest(categories) * categories.size() * kCharacterWidth > static_cast<size_t>(panel_width_ - kAxisWidth);
  }

  // A series keeps its looks in all panels.
  size_t StyleOf(const std::string& name) {
    const auto known = std::find(names_.begin(), names_.end(), name);
    const size_t style = static_cast<size_t>(known - names_.begin());
    if (known == names_.end()) names_.push_back(name);
    return style;
  }

  static std::string Colour(size_t style) {
    return absl::StrCat("lc rgb '", kColours[style % std::size(kColours)], "'");
  }

  // A data block of the script; returns its name.
  std::string Block(absl::string_view rows) {
    std::string name = absl::StrCat("$b", ++blocks_);
    absl::StrAppend(&text_, name, " << EOD\n", rows, "EOD\n");
    return name;
  }

  absl::Status Add(const LinePanel& panel) {
    if (panel.lines.size() > kMaxPlotSeries) return TooMany("lines", panel.lines.size(), kMaxPlotSeries);
    std::set<double> xs;
    double top = 0;
    for (const PlotLine& line : panel.lines) {
      for (const PlotPoint& point : line.points) {
        if (!std::isfinite(point.x) || !IsUsable(point.y) || (panel.log2_x && point.x <= 0)) {
          return absl::InvalidArgumentError(
              absl::StrCat("a plot's point (", point.x, ", ", point.y.value, ") cannot be drawn"));
        }
        xs.insert(point.x);
        top = std::max(top, Top(point.y));
      }
    }
    if (xs.empty()) return Empty();
    Labels(panel);
    absl::StrAppend(&text_, panel.log2_x ? "set logscale x 2\n" : "unset logscale x\n");
    // Room at both sides, so that no point sits on an axis.
    const double first = *xs.begin(), last = *xs.rbegin();
    const double margin = first == last ? 1 : (last - first) / 20;
    if (panel.log2_x) {
      absl::StrAppend(&text_, "set xrange [", Number(first / 1.4), ":", Number(last * 1.4), "]\n");
    } else {
      absl::StrAppend(&text_, "set xrange [", Number(first - margin), ":", Number(last + margin), "]\n");
    }
    YRange(top * kHeadRoom);
    text_ += "set xtics norotate autojustify\n";
    if (xs.size() <= kMaxTicks) {
      absl::string_view separator = "set xtics (";
      for (const double x : xs) {
        absl::StrAppend(&text_, separator, Quoted(absl::StrCat(x)), " ", Number(x));
        separator = ", ";
      }
      text_ += ")\n";
    } else {
      text_ += "set xtics autofreq\n";
    }
    std::vector<std::string> parts;
    for (const PlotLine& line : panel.lines) {
      std::string rows, scatter;
      for (const PlotPoint& point : line.points) {
        absl::StrAppend(&rows, Number(point.x), " ", Number(point.y.value), "\n");
        AppendScatter(point.x, point.y, &scatter);
      }
      if (rows.empty()) continue;
      const size_t style = StyleOf(line.name);
      AddScatter(scatter, Colour(style), &parts);
      parts.push_back(absl::StrCat(Block(rows), " using 1:2 with linespoints ", Colour(style), " lw 2.5 dt ",
                                   style / std::size(kColours) + 1, " pt ", kPoints[style % std::size(kPoints)],
                                   " ps 1.4 title ", Quoted(line.name)));
    }
    PlotParts(parts);
    return absl::OkStatus();
  }

  absl::Status Add(const BarPanel& panel) {
    const size_t categories = panel.categories.size();
    if (panel.bars.size() > kMaxPlotSeries) return TooMany("kinds of bars", panel.bars.size(), kMaxPlotSeries);
    if (categories > kMaxPlotCategories) return TooMany("categories", categories, kMaxPlotCategories);
    double top = panel.baseline.value_or(0);
    size_t longest = 0;
    for (const PlotBars& bars : panel.bars) {
      for (size_t i = 0; i < std::min(bars.values.size(), categories); ++i) {
        if (!bars.values[i].has_value()) continue;
        if (!IsUsable(*bars.values[i])) return absl::InvalidArgumentError("a plot's bar has no finite height");
        longest = std::max(longest, ValueText(panel, *bars.values[i]).size());
        top = std::max(top, Top(*bars.values[i]));
      }
    }
    if (longest == 0 || !std::isfinite(top)) return Empty();
    const double width = kBarRoom / static_cast<double>(panel.one_bar_each ? 1 : panel.bars.size());
    const double pixels = (panel_width_ - kAxisWidth) * width / static_cast<double>(categories);
    const bool upright = static_cast<double>(longest * kCharacterWidth) > pixels;
    Labels(panel);
    text_ += "unset logscale x\n";
    absl::StrAppend(&text_, "set xrange [-0.6:", Number(static_cast<double>(categories) - 0.4), "]\n");
    YRange(panel.y_max.value_or(top * (upright ? kUprightHeadRoom : kHeadRoom)));
    CategoryTicks(panel.categories);
    std::vector<std::string> boxes, values;
    for (size_t i = 0; i < panel.bars.size(); ++i) {
      const double shift = panel.one_bar_each ? 0 : (static_cast<double>(i) + 0.5) * width - kBarRoom / 2;
      AddBars(panel, panel.bars[i], shift, width, &boxes, &values);
    }
    if (panel.baseline.has_value()) {
      boxes.push_back(absl::StrCat(Number(*panel.baseline), " with lines lc rgb '#444444' lw 2 dt 2 title ",
                                   Quoted(panel.baseline_name)));
    }
    // Above everything else.
    for (const std::string& block : values) {
      boxes.push_back(absl::StrCat(block, " using 1:2:3 with labels ",
                                   upright ? "left rotate by 90 offset 0,0.4" : "center boxed offset 0,0.7",
                                   " font ',11' notitle"));
    }
    PlotParts(boxes);
    return absl::OkStatus();
  }

  // What stands above a bar. No text of a user's, but it must not end the string that holds it.
  static std::string ValueText(const BarPanel& panel, const PlotValue& value) {
    std::string text = absl::StrCat(absl::StrFormat("%.*f", std::clamp(panel.digits, 0, 6), value.value), panel.unit);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '"' || static_cast<unsigned char>(c) < 0x20; }, '?');
    return text;
  }

  // Its data block of values above the bars goes to `values`.
  void AddBars(const BarPanel& panel, const PlotBars& bars, double shift, double width, std::vector<std::string>* parts,
               std::vector<std::string>* values) {
    std::string heights, texts, scatter;
    for (size_t i = 0; i < std::min(bars.values.size(), panel.categories.size()); ++i) {
      if (!bars.values[i].has_value()) continue;
      const PlotValue& value = *bars.values[i];
      const double x = static_cast<double>(i) + shift;
      absl::StrAppend(&heights, Number(x), " ", Number(value.value), "\n");
      absl::StrAppend(&texts, Number(x), " ", Number(Top(value)), " \"", ValueText(panel, value), "\"\n");
      AppendScatter(x, value, &scatter);
    }
    if (heights.empty()) return;
    parts->push_back(absl::StrCat(Block(heights), " using 1:2:(", Number(width * 0.92), ") with boxes ",
                                  Colour(StyleOf(bars.name)), " title ", Quoted(bars.name)));
    AddScatter(scatter, "lc rgb '#333333'", parts);
    values->push_back(Block(texts));
  }

  void CategoryTicks(const std::vector<std::string>& categories) {
    absl::StrAppend(&text_, "set xtics ", IsSlanted(categories) ? "rotate by 30 right" : "norotate autojustify", "\n");
    absl::string_view separator = "set xtics (";
    for (size_t i = 0; i < categories.size(); ++i) {
      absl::StrAppend(&text_, separator, Quoted(categories[i]), " ", i);
      separator = ", ";
    }
    text_ += ")\n";
  }

  void YRange(double end) { absl::StrAppend(&text_, "set yrange [0:", Number(end > 0 ? end : 1), "]\n"); }

  static void AppendScatter(double x, const PlotValue& value, std::string* rows) {
    if (!value.low.has_value() || !value.high.has_value()) return;
    absl::StrAppend(rows, Number(x), " ", Number(value.value), " ", Number(*value.low), " ", Number(*value.high), "\n");
  }

  void AddScatter(const std::string& rows, const std::string& colour, std::vector<std::string>* parts) {
    if (rows.empty()) return;
    parts->push_back(absl::StrCat(Block(rows), " using 1:2:3:4 with yerrorbars ", colour, " lw 1.5 pt 0 notitle"));
  }

  void PlotParts(const std::vector<std::string>& parts) {
    absl::string_view separator = "plot ";
    for (const std::string& part : parts) {
      absl::StrAppend(&text_, separator, part);
      separator = ", \\\n     ";
    }
    text_ += "\n";
  }

  static absl::Status TooMany(absl::string_view what, size_t count, size_t limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("a plot of ", count, " ", what, ": at most ", limit, " can be read; draw fewer"));
  }
  static absl::Status Empty() { return absl::InvalidArgumentError("a plot's panel has nothing to draw"); }

  const Plot& plot_;
  std::vector<std::string> names_;
  std::string text_;
  int panel_width_ = 0;
  int blocks_ = 0;
};

}  // namespace

absl::StatusOr<std::string> PlotScript(const Plot& plot) { return Script(plot).Write(); }

}  // namespace bwrt::client
