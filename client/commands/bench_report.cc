// bwrtctl bench report: artifacts of bwrtctl bench side by side, as a table and as pictures.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/bench_artifact.h"
#include "client/bench_comparison.h"
#include "client/commands/bench_commands.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/plot.h"
#include "client/plot_script.h"

namespace bwrt::client {
namespace {

struct ReportFlags {
  std::vector<std::string> paths;
  std::string out = ".";
  bool no_plots = false;
};

// The file's name without its end where that tells all of them apart, else the path.
std::vector<std::string> NamesOf(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    std::string name = std::filesystem::path(path).filename().string();
    names.push_back(Printable(std::string(absl::StripSuffix(name, ".json"))));
  }
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  return paths;
}

absl::StatusOr<std::vector<NamedArtifact>> ReadAll(const std::vector<std::string>& paths) {
  std::vector<NamedArtifact> artifacts;
  std::vector<std::string> names = NamesOf(paths);
  for (size_t i = 0; i < paths.size(); ++i) {
    auto artifact = ReadBenchArtifact(paths[i]);
    if (!artifact.ok()) return artifact.status();
    artifacts.push_back({std::move(names[i]), *std::move(artifact)});
  }
  return artifacts;
}

// What was drawn, and why not all of it.
struct Pictures {
  std::vector<std::pair<std::string, std::string>> paths = {};  // By what they show.
  absl::Status status = absl::OkStatus();
};

Pictures Draw(const BenchComparison& comparison, const std::string& directory) {
  Pictures pictures;
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    pictures.status = absl::InvalidArgumentError(absl::StrCat("--out=", directory, ": ", error.message()));
    return pictures;
  }
  const auto draw = [&](absl::string_view what, const Plot& plot) {
    const std::string path = (std::filesystem::path(directory) / absl::StrCat(what, ".png")).string();
    if (!pictures.status.ok()) return;
    pictures.status = WritePlot(plot, path);
    if (pictures.status.ok()) pictures.paths.emplace_back(what, path);
  };
  draw("scaling", ScalingPlot(comparison));
  if (const auto speedup = SpeedupPlot(comparison); speedup.has_value()) draw("speedup", *speedup);
  return pictures;
}

std::string Microseconds(double us) { return us == 0 ? "-" : FormatSeconds(us / 1e6); }

// Artifacts are letters in the head of the table: their names may be long.
char LetterOf(size_t i) { return static_cast<char>('A' + i); }

void PrintArtifacts(const std::vector<NamedArtifact>& artifacts, std::ostream& out) {
  Table table({"", "ARTIFACT", "MEASURED", "ON", "BUILD"});
  for (size_t i = 0; i < artifacts.size(); ++i) {
    const BenchArtifact& artifact = artifacts[i].artifact;
    table.Add({std::string(1, LetterOf(i)), artifacts[i].name,
               absl::FormatTime("%Y-%m-%d %H:%M UTC", artifact.created, absl::UTCTimeZone()),
               absl::StrCat(artifact.machine.cpu, ", ", artifact.machine.cores, " cores"),
               absl::StrCat(artifact.build.version, " ", artifact.build.mode)});
  }
  table.Print(out);
  out << '\n';
}

void PrintComparison(const BenchComparison& comparison, std::ostream& out) {
  std::vector<std::string> head = {"CASE", "IN FLIGHT"};
  for (size_t i = 0; i < comparison.names.size(); ++i) {
    const std::string letter(1, LetterOf(i));
    head.push_back(letter + " WAVES/S");
    if (i > 0) head.push_back(letter + " / A");
    head.push_back(letter + " P50");
    head.push_back(letter + " P99");
  }
  Table table(std::move(head));
  for (const ComparedCase& compared : comparison.cases) {
    std::vector<std::string> row = {compared.name, absl::StrCat(compared.in_flight)};
    for (size_t i = 0; i < comparison.names.size(); ++i) {
      const auto& measured = compared.measured[i];
      const auto speedup = compared.Speedup(i);
      row.push_back(measured.has_value() ? absl::StrFormat("%.1f", measured->waves_per_second) : "-");
      if (i > 0) row.push_back(speedup.has_value() ? absl::StrFormat("%.2fx", *speedup) : "-");
      row.push_back(measured.has_value() ? Microseconds(measured->p50_us) : "-");
      row.push_back(measured.has_value() ? Microseconds(measured->p99_us) : "-");
    }
    table.Add(std::move(row));
  }
  table.Print(out);
  for (size_t i = 1; i < comparison.names.size(); ++i) {
    const auto mean = comparison.GeomeanSpeedup(i);
    if (!mean.has_value()) continue;
    out << absl::StrFormat("%c / A: %.2fx (geometric mean of the cases both have)\n", LetterOf(i), *mean);
  }
}

template <typename Value>
Json OrNull(const std::optional<Value>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

Json ReportJson(const BenchComparison& comparison, const Pictures& pictures) {
  Json json;
  json["artifacts"] = comparison.names;
  json["cases"] = Json::array();
  for (const ComparedCase& compared : comparison.cases) {
    Json rates = Json::array(), speedups = Json::array();
    for (size_t i = 0; i < comparison.names.size(); ++i) {
      const auto& measured = compared.measured[i];
      rates.push_back(measured.has_value() ? Json(measured->waves_per_second) : Json(nullptr));
      speedups.push_back(OrNull(compared.Speedup(i)));
    }
    json["cases"].push_back({{"name", compared.name},
                             {"in_flight", compared.in_flight},
                             {"waves_per_second", std::move(rates)},
                             {"speedup", std::move(speedups)}});
  }
  json["geomean_speedup"] = Json::array();
  for (size_t i = 0; i < comparison.names.size(); ++i) {
    json["geomean_speedup"].push_back(OrNull(comparison.GeomeanSpeedup(i)));
  }
  json["notes"] = comparison.notes;
  json["plots"] = Json::object();
  for (const auto& [what, path] : pictures.paths) json["plots"][what] = path;
  if (!pictures.status.ok()) json.update(ErrorJson(pictures.status));
  return json;
}

int RunReport(const Context& context, const ReportFlags& flags) {
  const auto artifacts = ReadAll(flags.paths);
  if (!artifacts.ok()) return context.Usage(artifacts.status());
  auto comparison = Compare(*artifacts);
  if (!comparison.ok()) return context.Usage(comparison.status());
  Pictures pictures;
  if (!flags.no_plots) {
    if (const size_t names = comparison->CaseNames().size(); names > kMaxPlotPanels) {
      comparison->notes.push_back(
          absl::StrCat("the pictures show the first ", kMaxPlotPanels, " of ", names, " cases; the table has all"));
    }
    pictures = Draw(*comparison, flags.out);
  }
  if (context.json) {
    PrintJson(ReportJson(*comparison, pictures), context.out);
  } else {
    PrintArtifacts(*artifacts, context.out);
    PrintComparison(*comparison, context.out);
    for (const std::string& note : comparison->notes) context.out << "note: " << Printable(note) << '\n';
    for (const auto& [what, path] : pictures.paths) context.out << "drew " << path << '\n';
    context.out << std::flush;
  }
  if (pictures.status.ok()) return kExitDone;
  context.err << "bwrtctl: " << pictures.status.message() << std::endl;
  return pictures.status.code() == absl::StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace

void AddBenchReportCommand(CLI::App& bench, Context& context) {
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* command = bench.add_subcommand(
      "report", "Compare artifacts of bench: a table with speed-ups over the first, scaling.png and speedup.png");
  command->add_option("FILE", flags->paths, "Artifacts; the later ones are compared with the first")->required();
  command->add_option("--out", flags->out, "Directory for the pictures; default: the current one");
  command->add_flag("--no-plots", flags->no_plots, "Only the table: needs no gnuplot");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunReport(context, *flags); }; });
}

}  // namespace bwrt::client
