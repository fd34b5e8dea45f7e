// Benchmark artifacts side by side: which cases they share, and how much faster the later ones are than the first.
//
// Plain values and pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/bench_artifact.h"
#include "client/plot.h"

namespace bwrt::client {

struct NamedArtifact {
  std::string name = {};  // As people see it, such as its file's name; of each artifact another one.
  BenchArtifact artifact = {};
};

struct ComparedCase {
  std::string name = {};
  int64_t in_flight = 1;
  // One for each artifact; empty where it lacks the case.
  std::vector<std::optional<BenchCase>> measured = {};

  // Waves per second of artifact `i` over those of the first; empty where either lacks the case.
  std::optional<double> Speedup(size_t i) const;
};

struct BenchComparison {
  std::vector<std::string> names = {};   // Of the artifacts.
  std::vector<ComparedCase> cases = {};  // In the artifacts' order; those of one name by rising in_flight.
  std::vector<std::string> notes = {};   // What makes the artifacts hard to compare, in sentences.
  std::string machine = {};              // Where all were measured; empty where that differs.

  // Of the cases' names, in order, each once.
  std::vector<std::string> CaseNames() const;
  // The geometric mean over the cases that artifact `i` shares with the first; empty where there is none.
  std::optional<double> GeomeanSpeedup(size_t i) const;
};

// INVALID_ARGUMENT: no artifact, or more than kMaxPlotSeries; a case that means different waves in two artifacts; an
// artifact that shares no case with the first.
absl::StatusOr<BenchComparison> Compare(const std::vector<NamedArtifact>& artifacts);

// Waves per second against waves in flight: a panel for each case, a line for each artifact. Cases of a single artifact
// that are alike in speed share one panel, a line each.
Plot ScalingPlot(const BenchComparison& comparison);

// Speed-up of every artifact over the first: a panel for each case, bars by waves in flight. Empty where there is none.
std::optional<Plot> SpeedupPlot(const BenchComparison& comparison);

}  // namespace bwrt::client
