#include "client/plot_script.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace bwrt::client {
namespace {

LinePanel Lines() {
  return {.title = "small",
          .x_label = "waves in flight",
          .y_label = "waves / s",
          .log2_x = true,
          .lines = {{.name = "A", .points = {{1, {.value = 100}}, {8, {.value = 300.5, .low = 290, .high = 310}}}},
                    {.name = "B", .points = {{1, {.value = 120}}, {64, {.value = 400}}}}}};
}

BarPanel Bars() {
  return {.title = "small",
          .x_label = "waves in flight",
          .y_label = "speed-up",
          .categories = {"1", "8"},
          .bars = {{.name = "B", .values = {PlotValue{.value = 1.25}, std::nullopt}},
                   {.name = "C", .values = {PlotValue{.value = 0.5}, PlotValue{.value = 2}}}},
          .unit = "x",
          .baseline = 1,
          .baseline_name = "A = 1"};
}

std::string ScriptOf(const Plot& plot) {
  const auto script = PlotScript(plot);
  EXPECT_TRUE(script.ok()) << script.status();
  return script.ok() ? *script : "";
}

// The looks of the series of that title: what stands before it in its part of a plot command.
std::string LooksOf(absl::string_view script, absl::string_view title) {
  for (const absl::string_view line : absl::StrSplit(script, '\n')) {
    if (!absl::StrContains(line, absl::StrCat("title '", title, "'"))) continue;
    const size_t colour = line.find("lc rgb");
    if (colour != absl::string_view::npos) return std::string(line.substr(colour, line.find(" title") - colour));
  }
  return "";
}

TEST(PlotScript, SaysEveryValueAndLabel) {
  const std::string script = ScriptOf({.title = "Throughput", .panels = {Lines()}});
  EXPECT_TRUE(absl::StrContains(script, "set multiplot layout 1,1 title 'Throughput'"));
  EXPECT_TRUE(absl::StrContains(script, "set title 'small'"));
  EXPECT_TRUE(absl::StrContains(script, "set xlabel 'waves in flight'"));
  EXPECT_TRUE(absl::StrContains(script, "set ylabel 'waves / s'"));
  EXPECT_TRUE(absl::StrContains(script, "set logscale x 2\n"));
  // A tick for each x that was measured.
  EXPECT_TRUE(absl::StrContains(script, "set xtics ('1' 1, '8' 8, '64' 64)\n"));
  EXPECT_TRUE(absl::StrContains(script, "\n1 100\n8 300.5\nEOD\n"));
  EXPECT_TRUE(absl::StrContains(script, "\n8 300.5 290 310\nEOD\n"));
  EXPECT_TRUE(absl::StrContains(script, "\n1 120\n64 400\nEOD\n"));
  EXPECT_TRUE(absl::StrContains(script, "set yrange [0:"));
  EXPECT_FALSE(absl::StrContains(script, "logscale y"));
  EXPECT_NE(LooksOf(script, "A"), "");
  EXPECT_NE(LooksOf(script, "A"), LooksOf(script, "B"));
}

TEST(PlotScript, BarsStandSideBySideWithTheirValues) {
  const std::string script = ScriptOf({.panels = {Bars()}});
  EXPECT_TRUE(absl::StrContains(script, "set xtics ('1' 0, '8' 1)\n"));
  // Two kinds share 0.8 of a category; the second category has no bar of the first kind.
  EXPECT_TRUE(absl::StrContains(script, " << EOD\n-0.20000000000000001 1.25\nEOD\n"));
  EXPECT_TRUE(absl::StrContains(script, "\"1.25x\"\n"));
  EXPECT_TRUE(absl::StrContains(script, "\"0.50x\"\n"));
  EXPECT_TRUE(absl::StrContains(script, "title 'A = 1'"));
  EXPECT_TRUE(absl::StrContains(script, "unset logscale x"));
}

TEST(PlotScript, OneBarOfEachStandsInTheMiddle) {
  BarPanel panel = Bars();
  panel.one_bar_each = true;
  panel.bars[1].values[0] = std::nullopt;
  const std::string script = ScriptOf({.panels = {panel}});
  EXPECT_TRUE(absl::StrContains(script, " << EOD\n0 1.25\nEOD\n"));
  EXPECT_TRUE(absl::StrContains(script, " << EOD\n1 2\nEOD\n"));
}

TEST(PlotScript, ASeriesLooksTheSameInAllPanels) {
  LinePanel other = Lines();
  std::swap(other.lines[0], other.lines[1]);
  other.lines.pop_back();
  const std::string both = ScriptOf({.panels = {Lines(), other}});
  const std::string looks = LooksOf(both, "B");
  EXPECT_EQ(LooksOf(both.substr(both.rfind("set title")), "B"), looks);
  // And in another plot, where the order is given.
  EXPECT_EQ(LooksOf(ScriptOf({.series = {"A", "B"}, .panels = {other}}), "B"), looks);
  EXPECT_NE(LooksOf(ScriptOf({.panels = {other}}), "B"), looks);
}

TEST(PlotScript, LongTicksAndCrowdedValuesAreTurned) {
  BarPanel panel = Bars();
  EXPECT_FALSE(absl::StrContains(ScriptOf({.panels = {panel}}), "rotate by"));
  panel.categories = std::vector<std::string>(24, "a traversal");
  panel.bars[1].values = std::vector<std::optional<PlotValue>>(24, PlotValue{.value = 1});
  const std::string script = ScriptOf({.panels = {panel}});
  EXPECT_TRUE(absl::StrContains(script, "set xtics rotate by 30"));
  EXPECT_TRUE(absl::StrContains(script, "left rotate by 90"));
}

// What a name is made of must never become a command.
TEST(PlotScript, TextsStayTexts) {
  LinePanel panel = Lines();
  panel.lines[0].name = "it's `touch /tmp/x`";
  panel.lines[1].name = "a\nsystem('x')\x01";
  panel.title = "a\xff\xc0\x80 \xe2\x82\xac \xe2\x82";
  const std::string script = ScriptOf({.title = std::string(500, 'x'), .panels = {panel}});
  EXPECT_TRUE(absl::StrContains(script, "title 'it''s `touch /tmp/x`'"));
  EXPECT_TRUE(absl::StrContains(script, "title 'a?system(''x'')?'"));
  EXPECT_TRUE(absl::StrContains(script, "set title 'a??? \xe2\x82\xac ?\?'"));
  EXPECT_TRUE(absl::StrContains(script, absl::StrCat("title '", std::string(90, 'x'), "...'")));
  panel.title = std::string(500, 'y');
  EXPECT_TRUE(absl::StrContains(ScriptOf({.panels = {panel}}), absl::StrCat("title '", std::string(80, 'y'), "...'")));
  BarPanel bars = Bars();
  bars.unit = "\"\nEOD\nsystem";
  EXPECT_TRUE(absl::StrContains(ScriptOf({.panels = {bars}}), "\"1.25??EOD?system\"\n"));
}

TEST(PlotScript, RefusesWhatCannotBeDrawn) {
  EXPECT_FALSE(PlotScript({}).ok());
  EXPECT_FALSE(PlotScript({.panels = std::vector<std::variant<LinePanel, BarPanel>>(10, Lines())}).ok());
  EXPECT_FALSE(PlotScript({.panels = {LinePanel{}}}).ok());
  EXPECT_FALSE(PlotScript({.panels = {BarPanel{}}}).ok());
  LinePanel lines = Lines();
  lines.lines[0].points[0].x = 0;
  EXPECT_FALSE(PlotScript({.panels = {lines}}).ok());
  lines.log2_x = false;
  EXPECT_TRUE(PlotScript({.panels = {lines}}).ok());
  lines.lines[0].points[0].y.value = INFINITY;
  EXPECT_FALSE(PlotScript({.panels = {lines}}).ok());
  lines = Lines();
  lines.lines[0].points[1].y.high = NAN;
  EXPECT_FALSE(PlotScript({.panels = {lines}}).ok());
  lines = Lines();
  lines.lines.resize(13);
  EXPECT_TRUE(absl::StrContains(PlotScript({.panels = {lines}}).status().message(), "13 lines: at most 12"));
  BarPanel bars = Bars();
  bars.bars[0].values[0]->value = NAN;
  EXPECT_FALSE(PlotScript({.panels = {bars}}).ok());
  bars = Bars();
  bars.categories.resize(25);
  EXPECT_TRUE(absl::StrContains(PlotScript({.panels = {bars}}).status().message(), "25 categories: at most 24"));
}

}  // namespace
}  // namespace bwrt::client
