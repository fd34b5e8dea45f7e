#include "client/traversal_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/plot_script.h"

namespace bwrt::client {
namespace {

// Less than this is not worth another order: the model is no better.
constexpr double kNotable = 1.005;

constexpr absl::string_view kColumnMajor = " (column-major)";

std::string GroupName(uint32_t group, int64_t rows) {
  return absl::StrCat("groups of ", group, static_cast<int64_t>(group) >= rows ? kColumnMajor : "");
}

std::string GivenName(const v1::SubmitWaveRequest& wave, int64_t rows, uint64_t tiles) {
  const WaveSpec& spec = wave.spec();
  const int listed = std::max(spec.tile_order_size(), spec.tile_order_flat_size());
  // COMPLETE appends the others.
  const bool all = static_cast<uint64_t>(listed) >= tiles;
  if (listed > 0) return absl::StrCat("given (", all ? "all" : absl::StrCat(listed, " of ", tiles), " tiles listed)");
  if (spec.swizzle_group_size() == 0) return "given (row-major)";
  return absl::StrCat("given (", GroupName(spec.swizzle_group_size(), rows), ")");
}

std::string NameOf(const v1::TraversalChoice& choice, const v1::SubmitWaveRequest& wave, uint64_t tiles) {
  const int64_t bm = std::max(wave.spec().bm(), 1);
  const int64_t rows = (wave.m() - 1) / bm + 1;
  switch (choice.kind()) {
    case v1::GIVEN:
      return GivenName(wave, rows, tiles);
    case v1::ROW_MAJOR:
      return "row-major";
    case v1::ROW_SNAKE:
      return "row snake";
    case v1::GROUPED:
      return GroupName(choice.group_size(), rows);
    default:
      return absl::StrCat("traversal ", static_cast<int>(choice.kind()));
  }
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

double Ratio(uint64_t a, uint64_t b) { return b == 0 ? 1 : static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

std::optional<uint32_t> SwizzleOf(const v1::TraversalChoice& choice) {
  if (choice.kind() == v1::ROW_MAJOR) return 0;
  if (choice.kind() == v1::GROUPED) return choice.group_size();
  return std::nullopt;
}

TraversalReport ReportTraversals(const v1::ModelTraversalsRequest& request,
                                 const v1::ModelTraversalsResponse& response) {
  TraversalReport report;
  report.read_bytes = response.read_bytes();
  report.distinct_bytes = response.distinct_bytes();
  for (const v1::ModelledTraversal& modelled : response.traversals()) {
    const size_t i = report.traversals.size();
    report.traversals.push_back({.name = NameOf(modelled.traversal(), request.wave(), response.tiles()),
                                 .choice = modelled.traversal(),
                                 .hit_ratio = modelled.l2_hit_ratio(),
                                 .memory_bytes = modelled.memory_bytes()});
    const auto reads_less = [&](size_t than) {
      return report.traversals[i].memory_bytes < report.traversals[than].memory_bytes;
    };
    if (modelled.traversal().kind() == v1::GIVEN) {
      report.given = i;
      if (!reads_less(report.best) &&
          report.traversals[i].memory_bytes == report.traversals[report.best].memory_bytes) {
        report.best = i;
      }
    }
    if (reads_less(report.best)) report.best = i;
    if (SwizzleOf(modelled.traversal()).has_value() &&
        (!report.best_swizzle.has_value() || reads_less(*report.best_swizzle))) {
      report.best_swizzle = i;
    }
  }
  for (ReportedTraversal& traversal : report.traversals) {
    traversal.relative = Ratio(traversal.memory_bytes, report.traversals[report.best].memory_bytes);
  }
  return report;
}

std::vector<std::string> Advice(const TraversalReport& report) {
  const ReportedTraversal& best = report.traversals[report.best];
  std::vector<std::string> lines;
  lines.push_back(absl::StrCat("best: ", best.name, ": ", Percent(best.hit_ratio), " of operand bytes hit, ",
                               FormatBytes(best.memory_bytes), " from memory; each operand once would be ",
                               FormatBytes(report.distinct_bytes)));
  if (!report.given.has_value()) return lines;
  const ReportedTraversal& given = report.traversals[*report.given];
  lines.push_back(given.relative < kNotable
                      ? "given: as good as the best"
                      : absl::StrFormat("given: reads %.2f times the bytes of the best", given.relative));
  if (!report.best_swizzle.has_value()) return lines;
  const ReportedTraversal& swizzle = report.traversals[*report.best_swizzle];
  const double saving = 1 - Ratio(swizzle.memory_bytes, given.memory_bytes);
  if (saving < kNotable - 1) {
    lines.emplace_back("swizzle: no swizzle_group_size among these reads notably less than the given order");
  } else {
    lines.push_back(absl::StrCat("swizzle: swizzle_group_size=", *SwizzleOf(swizzle.choice),
                                 " without tile_order would read ", FormatBytes(swizzle.memory_bytes), ", ",
                                 Percent(saving), " less than the given order"));
  }
  return lines;
}

Plot TraversalPlot(const TraversalReport& report, const std::string& title) {
  constexpr double kGiB = 1 << 30, kMiB = 1 << 20;
  uint64_t most = report.distinct_bytes;
  const size_t count = std::min(report.traversals.size(), kMaxPlotCategories);
  for (size_t i = 0; i < count; ++i) most = std::max(most, report.traversals[i].memory_bytes);
  const bool small = static_cast<double>(most) < kGiB;
  const double unit = small ? kMiB : kGiB;
  BarPanel hits{.title = "reads of operands that hit the L2: more is better",
                .y_label = "L2 hit ratio (%)",
                .one_bar_each = true,
                .digits = 1,
                .baseline = 100 * (1 - Ratio(report.distinct_bytes, report.read_bytes)),
                .baseline_name = "each operand once",
                .y_max = 110};
  BarPanel bytes{.title = "operand bytes read from memory: less is better",
                 .y_label = small ? "from memory (MiB)" : "from memory (GiB)",
                 .one_bar_each = true,
                 .baseline = static_cast<double>(report.distinct_bytes) / unit,
                 .baseline_name = "each operand once"};
  // By colour: who is who.
  const bool given_is_best = report.given == report.best;
  const std::vector<std::string> kinds = {"others", given_is_best ? "given, and best" : "given", "best"};
  for (BarPanel* panel : {&hits, &bytes}) {
    for (const std::string& kind : kinds) {
      panel->bars.push_back({.name = kind, .values = std::vector<std::optional<PlotValue>>(count)});
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const ReportedTraversal& traversal = report.traversals[i];
    const size_t kind = report.given == i ? 1 : report.best == i ? 2 : 0;
    // Without what stands in brackets: the axis has no room for it.
    std::string name = traversal.name.substr(0, traversal.name.find(" ("));
    if (absl::EndsWith(traversal.name, kColumnMajor) && report.given != i) name = "column-major";
    hits.categories.push_back(name);
    bytes.categories.push_back(std::move(name));
    hits.bars[kind].values[i] = PlotValue{.value = 100 * traversal.hit_ratio};
    bytes.bars[kind].values[i] = PlotValue{.value = static_cast<double>(traversal.memory_bytes) / unit};
  }
  for (BarPanel* panel : {&hits, &bytes}) {
    // Nobody looks for a colour that is not there.
    panel->bars.erase(std::remove_if(panel->bars.begin(), panel->bars.end(),
                                     [](const PlotBars& bars) {
                                       return std::none_of(bars.values.begin(), bars.values.end(),
                                                           [](const auto& value) { return value.has_value(); });
                                     }),
                      panel->bars.end());
  }
  Plot plot{.title = title, .series = kinds};
  plot.panels.emplace_back(std::move(hits));
  plot.panels.emplace_back(std::move(bytes));
  return plot;
}

}  // namespace bwrt::client
