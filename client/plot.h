// A picture of measurements: one panel or a few, each of lines or of bars, under one title.
//
// Plain values; plot_script.h says it in gnuplot's language, gnuplot.h draws it. A series of one name has one colour,
// point and dash in all panels; colours are those that colour-blind people tell apart, and every y axis starts at 0.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

namespace bwrt::client {

// A measured value and, where it is known, between which two it scattered.
struct PlotValue {
  double value = 0;
  std::optional<double> low = {}, high = {};
};

struct PlotPoint {
  double x = 0;
  PlotValue y = {};
};

struct PlotLine {
  std::string name = {};
  std::vector<PlotPoint> points = {};  // By rising x.
};

// Every x that a point has gets a tick.
struct LinePanel {
  std::string title = {};
  std::string x_label = {}, y_label = {};  // With the unit.
  bool log2_x = false;                     // Then every x > 0.
  std::vector<PlotLine> lines = {};
};

// What all bars of one colour have in common.
struct PlotBars {
  std::string name = {};
  // One for each category; empty: no bar.
  std::vector<std::optional<PlotValue>> values = {};
};

struct BarPanel {
  std::string title = {};
  std::string x_label = {}, y_label = {};
  std::vector<std::string> categories = {};
  // Side by side in each category, unless each category has a bar of only one of them.
  std::vector<PlotBars> bars = {};
  bool one_bar_each = false;
  // Above each bar: this many digits behind the point, then this.
  int digits = 2;
  std::string unit = {};
  // A dashed line across, with its name in the legend.
  std::optional<double> baseline = {};
  std::string baseline_name = {};
  // Where the y axis ends. Unset: above the highest bar.
  std::optional<double> y_max = {};
};

struct Plot {
  std::string title = {};
  // Names of series whose looks shall be the same in several plots, in one order. Others follow as they appear.
  std::vector<std::string> series = {};
  std::vector<std::variant<LinePanel, BarPanel>> panels = {};
};

// Draws `plot` as a PNG into the file `path`.
// - NOT_FOUND: there is no gnuplot; names the package to install.
// - INVALID_ARGUMENT: there is nothing to draw, or too much (kMaxPlotPanels).
// - INTERNAL, DEADLINE_EXCEEDED: gnuplot failed; with what it said.
// - otherwise: `path` cannot be written.
absl::Status WritePlot(const Plot& plot, const std::string& path);

}  // namespace bwrt::client
