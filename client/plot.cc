#include "client/plot.h"

#include "client/file.h"
#include "client/gnuplot.h"
#include "client/plot_script.h"

namespace bwrt::client {

absl::Status WritePlot(const Plot& plot, const std::string& path) {
  const auto script = PlotScript(plot);
  if (!script.ok()) return script.status();
  const auto png = RunGnuplot(*script);
  if (!png.ok()) return png.status();
  return WriteFile(path, *png);
}

}  // namespace bwrt::client
