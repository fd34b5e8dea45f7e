// A plot in gnuplot's language, which writes the PNG to its standard output.
//
// A pure function. Texts of a plot come from files and command lines: they are written so that gnuplot takes them for
// texts and nothing else.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "client/plot.h"

namespace bwrt::client {

// More cannot be read.
inline constexpr size_t kMaxPlotPanels = 9;
inline constexpr size_t kMaxPlotSeries = 12;  // Of one panel.
inline constexpr size_t kMaxPlotCategories = 24;

// INVALID_ARGUMENT: no panel, more than a limit above allows, a panel without a point or bar, or a value that is not
// finite or, on a log axis, not positive.
absl::StatusOr<std::string> PlotScript(const Plot& plot);

}  // namespace bwrt::client
