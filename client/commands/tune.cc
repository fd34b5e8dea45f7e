// bwrtctl tune: times the daemon's tile shapes for the shapes of waves to come, and tells which are the fastest.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/progress.h"
#include "client/tune_shapes.h"

namespace bwrt::client {
namespace {

struct TuneFlags {
  std::string file = {};
  std::vector<std::string> shapes = {};
  std::string device = {};
  std::string whitelist = {};
  DType c_dtype = F32;
  absl::Duration budget = absl::Seconds(10);
  bool only_missing = false;
};

absl::StatusOr<v1::TuneRequest> RequestOf(const TuneFlags& flags) {
  constexpr size_t kMaxFileBytes = size_t{1} << 20;
  std::vector<v1::TuneProblem> problems;
  if (!flags.file.empty()) {
    const auto text = ReadFile(flags.file, kMaxFileBytes);
    if (!text.ok()) return text.status();
    auto listed = ParseTuneShapes(*text);
    if (!listed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(flags.file, ": ", listed.status().message()));
    }
    problems = *std::move(listed);
  }
  for (const std::string& shape : flags.shapes) {
    auto problem = ParseTuneShape(shape);
    if (!problem.ok()) return problem.status();
    problems.push_back(*std::move(problem));
  }
  if (problems.empty()) return absl::InvalidArgumentError("no shapes: give --shape MxNxK[:dtype] or --shapes FILE");
  v1::TuneRequest request;
  request.set_device(flags.device);
  *request.mutable_budget() = ToProto(flags.budget);
  request.set_only_missing(flags.only_missing);
  for (v1::TuneProblem& problem : problems) {
    problem.set_c_dtype(flags.c_dtype);
    *request.add_problems() = std::move(problem);
  }
  return request;
}

double Tflops(const v1::TuneProblem& problem, double seconds) {
  if (seconds <= 0) return 0;
  return 2.0 * static_cast<double>(problem.m()) * static_cast<double>(problem.n()) * static_cast<double>(problem.k()) /
         seconds * 1e-12;
}

// How much longer `other` takes than `seconds`; 0 where there is nothing to compare.
double Gain(double other, double seconds) { return seconds > 0 && other > 0 ? other / seconds : 0; }

Json TileJson(const v1::TuneProblem& problem, const v1::TimedTile& tile) {
  Json json;
  json["tile"] = WhitelistLine(tile.shape());
  json["kernel"] = tile.kernel();
  json["median_us"] = tile.median_seconds() * 1e6;
  json["tflops"] = Tflops(problem, tile.median_seconds());
  json["repeats"] = tile.repeats();
  if (!tile.algorithm().empty()) {
    json["algorithm"] = tile.algorithm();
    json["first_choice_us"] = tile.first_choice_seconds() * 1e6;
  }
  return json;
}

Json ResultJson(const v1::TuneProblem& problem, const v1::TuneResult& result) {
  Json json;
  json["shape"] = FormatTuneShape(problem);
  json["winner"] = TileJson(problem, result.winner());
  json["first"] = TileJson(problem, result.first());
  json["gain"] = Gain(result.first().median_seconds(), result.winner().median_seconds());
  json["timed"] = Json::array();
  for (const v1::TimedTile& tile : result.timed()) json["timed"].push_back(TileJson(problem, tile));
  json["left_out"] = result.left_out();
  json["rejected"] = Json::array();
  for (const std::string& rejected : result.rejected()) json["rejected"].push_back(rejected);
  json["kept"] = result.kept();
  return json;
}

void PrintResult(const v1::TuneProblem& problem, const v1::TuneResult& result, std::ostream& out) {
  const v1::TimedTile& winner = result.winner();
  out << absl::StreamFormat("%-32s %-22s %12.1f us %9.3f TFLOP/s  first %12.1f us  gain %.3f", FormatTuneShape(problem),
                            WhitelistLine(winner.shape()), winner.median_seconds() * 1e6,
                            Tflops(problem, winner.median_seconds()), result.first().median_seconds() * 1e6,
                            Gain(result.first().median_seconds(), winner.median_seconds()));
  out << "  " << Printable(winner.kernel());
  if (!winner.algorithm().empty()) {
    out << absl::StreamFormat("  library's choice %.1f us", winner.first_choice_seconds() * 1e6);
  }
  if (result.left_out() > 0) out << "  (" << result.left_out() << " tile shapes left out: no time)";
  if (result.kept()) out << "  (kept)";
  out << '\n';
  for (const std::string& rejected : result.rejected()) out << "  refused: " << Printable(rejected) << '\n';
  out << std::flush;
}

int RunTune(const Context& context, const TuneFlags& flags) {
  const auto request = RequestOf(flags);
  if (!request.ok()) return context.Usage(request.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto watch = (*client)->Tune(*request);
  Json json;
  json["device"] = flags.device;
  json["results"] = Json::array();
  std::vector<v1::TileShape> winners;
  while (true) {
    std::optional<v1::TuneResponse> response;
    {
      Progress bar(context.err, context.terminal, "tuning", static_cast<uint64_t>(request->problems_size()));
      bar.Update(winners.size());
      auto next = watch->Next();
      if (!next.ok()) return context.Fail(next.status());
      response = *std::move(next);
    }
    if (!response) break;
    if (!response->has_result()) continue;
    const v1::TuneResult& result = response->result();
    if (result.problem() >= static_cast<uint32_t>(request->problems_size())) {
      return context.Fail(absl::InternalError("the daemon answered for a shape that it was not asked for"));
    }
    const v1::TuneProblem& problem = request->problems(static_cast<int>(result.problem()));
    winners.push_back(result.winner().shape());
    if (context.json) {
      json["results"].push_back(ResultJson(problem, result));
    } else {
      PrintResult(problem, result, context.out);
    }
  }
  if (!flags.whitelist.empty()) {
    const Whitelist whitelist = WhitelistOf(winners);
    if (absl::Status status = WriteFile(flags.whitelist, whitelist.text); !status.ok()) return context.Fail(status);
    json["whitelist"] = {{"file", flags.whitelist}, {"shapes", whitelist.shapes}, {"digest", whitelist.digest}};
    if (!context.json) {
      context.out << flags.whitelist << ": " << whitelist.shapes << " tile shapes, " << whitelist.digest << '\n';
    }
  }
  if (context.json) PrintJson(json, context.out);
  return kExitDone;
}

}  // namespace

void AddTuneCommand(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<TuneFlags>();
  CLI::App* command =
      app.add_subcommand("tune", "Time the whitelisted tile shapes, and a GPU's algorithms, for shapes of waves");
  command->add_option("--shapes", flags->file, "Lines MxNxK[:dtype[:transposed]]; - is the standard input")
      ->type_name("FILE");
  command->add_option("--shape", flags->shapes, "MxNxK[:dtype[:transposed]]; may be given several times")
      ->type_name("SHAPE")
      ->expected(1)
      ->take_all();
  command->add_option("--device", flags->device, "As caps names it; default: the first")->type_name("NAME");
  AddDType(*command, "--c-dtype", &flags->c_dtype,
           "Type of C: f32 (default), that of A and W, or of f8 also f16, bf16");
  AddDuration(*command, "--budget", &flags->budget, "For each shape; default 10s");
  command->add_flag("--only-missing", flags->only_missing, "Answer from what the daemon keeps where it has it");
  command
      ->add_option("--whitelist", flags->whitelist, "Write the tile shapes that won, as bwrtd --tile-whitelist reads")
      ->type_name("FILE");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunTune(context, *flags); }; });
}

}  // namespace bwrt::client
