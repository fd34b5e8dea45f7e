#include "client/bench_comparison.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/dtype.h"
#include "client/plot_script.h"

namespace bwrt::client {
namespace {

std::string Words(const BenchSpec& spec) {
  return absl::StrCat("m=", spec.m, " n=", spec.n, " k=", spec.k, " bm=", spec.bm, " bn=", spec.bn, " bk=", spec.bk,
                      " ", DTypeName(spec.dtype));
}

bool Same(const BenchSpec& a, const BenchSpec& b) {
  const auto all = [](const BenchSpec& s) { return std::tie(s.m, s.n, s.k, s.bm, s.bn, s.bk, s.dtype); };
  return all(a) == all(b);
}

bool Same(const BenchMachine& a, const BenchMachine& b) {
  return std::tie(a.cpu, a.cores, a.memory_bytes, a.kernel) == std::tie(b.cpu, b.cores, b.memory_bytes, b.kernel);
}

std::string Words(const BenchMachine& machine) {
  return absl::StrCat(machine.cpu.empty() ? "unknown processor" : machine.cpu, ", ", machine.cores,
                      machine.cores == 1 ? " core" : " cores");
}

// Names of entries that differ, or that only one of the two has.
std::vector<std::string> Differences(const std::map<std::string, std::string>& a,
                                     const std::map<std::string, std::string>& b) {
  std::vector<std::string> names;
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second != value) names.push_back(name);
  }
  for (const auto& [name, value] : b) {
    if (a.count(name) == 0) names.push_back(name);
  }
  return names;
}

void Note(const NamedArtifact& first, const NamedArtifact& other, std::vector<std::string>* notes) {
  const BenchArtifact &a = first.artifact, &b = other.artifact;
  const auto differ = [&](absl::string_view what, const std::string& x, const std::string& y) {
    if (x != y) {
      notes->push_back(absl::StrCat(other.name, " differs from ", first.name, " in ", what, ": ", y, ", not ", x));
    }
  };
  if (!Same(a.machine, b.machine)) {
    notes->push_back(absl::StrCat(other.name, " was measured on another machine than ", first.name, ": ",
                                  Words(b.machine), ", not ", Words(a.machine),
                                  "; speed-ups compare machines as well"));
  }
  differ("sync_every", absl::StrCat(a.sync_every), absl::StrCat(b.sync_every));
  differ("warmup_waves", absl::StrCat(a.warmup_waves), absl::StrCat(b.warmup_waves));
  differ("build mode", a.build.mode, b.build.mode);
  for (const auto& [what, names] : {std::pair("libraries", Differences(a.libraries, b.libraries)),
                                    std::pair("flags", Differences(a.flags, b.flags))}) {
    if (names.empty()) continue;
    notes->push_back(
        absl::StrCat(other.name, " differs from ", first.name, " in ", what, ": ", absl::StrJoin(names, ", ")));
  }
}

ComparedCase* FindCase(const BenchCase& wanted, std::vector<ComparedCase>* cases) {
  for (ComparedCase& compared : *cases) {
    if (compared.name == wanted.name && compared.in_flight == wanted.in_flight) return &compared;
  }
  return nullptr;
}

double RateOf(const BenchRound& round) { return static_cast<double>(round.waves) / round.seconds; }

// With the slowest and the fastest round, where there was more than one.
PlotValue Rate(const BenchCase& measured) {
  PlotValue rate{.value = measured.waves_per_second};
  if (measured.rounds.size() < 2) return rate;
  const auto [low, high] = std::minmax_element(measured.rounds.begin(), measured.rounds.end(),
                                               [](const auto& a, const auto& b) { return RateOf(a) < RateOf(b); });
  rate.low = std::min(RateOf(*low), rate.value);
  rate.high = std::max(RateOf(*high), rate.value);
  return rate;
}

// Every case of `name`, as artifact `i` measured it.
PlotLine LineOf(const BenchComparison& comparison, const std::string& name, size_t i) {
  PlotLine line;
  for (const ComparedCase& compared : comparison.cases) {
    if (compared.name != name || !compared.measured[i].has_value()) continue;
    line.points.push_back({static_cast<double>(compared.in_flight), Rate(*compared.measured[i])});
  }
  return line;
}

LinePanel ScalingPanel(std::string title) {
  return {.title = std::move(title), .x_label = "waves in flight", .y_label = "waves / s", .log2_x = true};
}

// Whether lines of these heights can share a y axis from 0.
bool AreAlike(const std::vector<PlotLine>& lines) {
  constexpr double kMostRatio = 5;
  double lowest = INFINITY, highest = 0;
  for (const PlotLine& line : lines) {
    double top = 0;
    for (const PlotPoint& point : line.points) top = std::max(top, point.y.value);
    lowest = std::min(lowest, top);
    highest = std::max(highest, top);
  }
  return highest <= kMostRatio * lowest;
}

}  // namespace

std::optional<double> ComparedCase::Speedup(size_t i) const {
  if (!measured[0].has_value() || !measured[i].has_value()) return std::nullopt;
  return measured[i]->waves_per_second / measured[0]->waves_per_second;
}

std::vector<std::string> BenchComparison::CaseNames() const {
  std::vector<std::string> unique;
  for (const ComparedCase& compared : cases) {
    if (std::find(unique.begin(), unique.end(), compared.name) == unique.end()) unique.push_back(compared.name);
  }
  return unique;
}

std::optional<double> BenchComparison::GeomeanSpeedup(size_t i) const {
  double logs = 0;
  int count = 0;
  for (const ComparedCase& compared : cases) {
    if (const auto speedup = compared.Speedup(i); speedup.has_value()) {
      logs += std::log(*speedup);
      ++count;
    }
  }
  if (count == 0) return std::nullopt;
  return std::exp(logs / count);
}

absl::StatusOr<BenchComparison> Compare(const std::vector<NamedArtifact>& artifacts) {
  if (artifacts.empty() || artifacts.size() > kMaxPlotSeries) {
    return absl::InvalidArgumentError(
        absl::StrCat(artifacts.size(), " artifacts: a report compares 1 to ", kMaxPlotSeries));
  }
  BenchComparison comparison;
  std::vector<ComparedCase>& cases = comparison.cases;
  for (size_t i = 0; i < artifacts.size(); ++i) {
    comparison.names.push_back(artifacts[i].name);
    for (const BenchCase& measured : artifacts[i].artifact.cases) {
      ComparedCase* compared = FindCase(measured, &cases);
      if (compared == nullptr) {
        compared = &cases.emplace_back(ComparedCase{.name = measured.name, .in_flight = measured.in_flight});
        compared->measured.resize(artifacts.size());
      }
      for (size_t j = 0; j < i; ++j) {
        if (!compared->measured[j].has_value() || Same(compared->measured[j]->spec, measured.spec)) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            "case \"", measured.name, "\" with in_flight=", measured.in_flight, " is ",
            Words(compared->measured[j]->spec), " in ", artifacts[j].name, " and ", Words(measured.spec), " in ",
            artifacts[i].name, ": waves of different specs cannot be compared; measure both with the same"));
      }
      compared->measured[i] = measured;
    }
    if (i > 0 && !comparison.GeomeanSpeedup(i).has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(artifacts[i].name, " shares no case with ", artifacts[0].name,
                                                     ", so there is nothing to compare; measure both with the same "
                                                     "waves and the same --in-flight"));
    }
    if (i > 0) Note(artifacts[0], artifacts[i], &comparison.notes);
    int64_t refused = 0;
    for (const BenchCase& measured : artifacts[i].artifact.cases) refused += measured.refused;
    if (refused > 0) {
      comparison.notes.push_back(absl::StrCat(artifacts[i].name, ": the daemon refused ", refused,
                                              " waves, which were sent again; its rates include that"));
    }
  }
  const auto names = comparison.CaseNames();
  const auto place = [&names](const ComparedCase& c) {
    return std::pair(std::find(names.begin(), names.end(), c.name), c.in_flight);
  };
  std::stable_sort(cases.begin(), cases.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
  const BenchMachine& machine = artifacts[0].artifact.machine;
  if (std::all_of(artifacts.begin(), artifacts.end(),
                  [&](const NamedArtifact& a) { return Same(a.artifact.machine, machine); })) {
    comparison.machine = Words(machine);
  }
  return comparison;
}

Plot ScalingPlot(const BenchComparison& comparison) {
  Plot plot{.title = absl::StrCat("Throughput by waves in flight", comparison.machine.empty() ? "" : " - ",
                                  comparison.machine)};
  std::vector<std::string> names = comparison.CaseNames();
  if (comparison.names.size() == 1) {
    std::vector<PlotLine> lines;
    for (const std::string& name : names) {
      lines.push_back(LineOf(comparison, name, 0));
      lines.back().name = name;
    }
    if (lines.size() <= kMaxPlotSeries && AreAlike(lines)) {
      LinePanel panel = ScalingPanel(comparison.names[0]);
      panel.lines = std::move(lines);
      plot.panels.emplace_back(std::move(panel));
      return plot;
    }
  }
  plot.series = comparison.names;
  names.resize(std::min(names.size(), kMaxPlotPanels));
  for (const std::string& name : names) {
    LinePanel panel = ScalingPanel(name);
    for (size_t i = 0; i < comparison.names.size(); ++i) {
      PlotLine line = LineOf(comparison, name, i);
      line.name = comparison.names[i];
      if (!line.points.empty()) panel.lines.push_back(std::move(line));
    }
    plot.panels.emplace_back(std::move(panel));
  }
  return plot;
}

std::optional<Plot> SpeedupPlot(const BenchComparison& comparison) {
  if (comparison.names.size() < 2) return std::nullopt;
  Plot plot{.title = absl::StrCat("Speed-up over ", comparison.names[0]), .series = comparison.names};
  std::vector<std::string> means;
  for (size_t i = 1; i < comparison.names.size(); ++i) {
    const auto mean = comparison.GeomeanSpeedup(i);
    if (mean.has_value()) means.push_back(absl::StrFormat("%s %.2fx", comparison.names[i], *mean));
  }
  // As long as it fits above one panel.
  constexpr size_t kMaxTitle = 80;
  const std::string longer = absl::StrCat(plot.title, " - geometric mean: ", absl::StrJoin(means, ", "));
  if (longer.size() <= kMaxTitle) plot.title = longer;
  for (const std::string& name : comparison.CaseNames()) {
    if (plot.panels.size() == kMaxPlotPanels) break;
    BarPanel panel{.title = name,
                   .x_label = "waves in flight",
                   .y_label = "speed-up",
                   .unit = "x",
                   .baseline = 1,
                   .baseline_name = absl::StrCat(comparison.names[0], " = 1")};
    panel.bars.resize(comparison.names.size() - 1);
    for (const ComparedCase& compared : comparison.cases) {
      if (compared.name != name || !compared.measured[0].has_value()) continue;
      if (panel.categories.size() == kMaxPlotCategories) break;
      panel.categories.push_back(absl::StrCat(compared.in_flight));
      for (size_t i = 1; i < comparison.names.size(); ++i) {
        panel.bars[i - 1].name = comparison.names[i];
        const auto speedup = compared.Speedup(i);
        panel.bars[i - 1].values.push_back(speedup.has_value() ? std::optional(PlotValue{.value = *speedup})
                                                               : std::nullopt);
      }
    }
    // An artifact without this case takes no room in its panel.
    panel.bars.erase(std::remove_if(panel.bars.begin(), panel.bars.end(),
                                    [](const PlotBars& bars) {
                                      return std::none_of(bars.values.begin(), bars.values.end(),
                                                          [](const auto& value) { return value.has_value(); });
                                    }),
                     panel.bars.end());
    if (!panel.bars.empty()) plot.panels.emplace_back(std::move(panel));
  }
  return plot;
}

}  // namespace bwrt::client
