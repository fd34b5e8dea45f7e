// bwrtctl explain: what a spec means, drawn.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/explained_wave.h"
#include "client/commands/output.h"
#include "client/commands/own_daemon.h"
#include "client/file.h"
#include "client/tile_drawing.h"
#include "client/tile_grid_svg.h"
#include "client/tile_grid_text.h"

namespace bwrt::client {
namespace {

Json ExplainJson(const TileDrawing& drawing, const ExplainFlags& flags, const v1::ValidateWaveResponse& response) {
  Json json;
  json["wave"] = drawing.name;
  json["m"] = drawing.m;
  json["n"] = drawing.n;
  json["k"] = drawing.k;
  json["grid"] = {{"rows", drawing.rows}, {"cols", drawing.cols}, {"bm", drawing.bm}, {"bn", drawing.bn}};
  json["window"] = {{"begin", drawing.swap_begin},
                    {"end", drawing.swap_end},
                    {"open_between_waves", drawing.OpenBetweenWaves()},
                    {"words", WindowInWords(drawing)}};
  json.update(ToJson(response));
  if (!flags.svg.empty()) json["svg"] = flags.svg;
  return json;
}

std::string Lower(absl::string_view text) { return absl::AsciiStrToLower(text); }

void PrintEffective(const v1::EffectiveSpec& effective, std::ostream& out) {
  out << "\nruns on " << effective.device() << " with " << effective.kernel() << ": "
      << Lower(DType_Name(effective.dtype())) << " into " << Lower(DType_Name(effective.c_dtype())) << ", K step "
      << effective.k_step() << ", stages " << effective.stages() << ", cluster " << effective.cluster().x() << "x"
      << effective.cluster().y() << ", tails " << TailPolicy_Name(effective.tail_policy()) << '\n';
  if (effective.unlisted_shape()) {
    out << "  not on the daemon's whitelist: runs only where --shape-check=lenient\n";
  }
  for (const v1::Downgrade& downgrade : effective.downgrades()) {
    out << "  " << downgrade.field() << ": " << downgrade.requested() << " runs as " << downgrade.executed() << ": "
        << downgrade.reason() << '\n';
  }
}

absl::StatusOr<v1::ValidateWaveResponse> Ask(Context& context, v1::SubmitWaveRequest request) {
  // Every shape may be asked about; the answer says which are unlisted.
  const auto own = StartUnlessNamed(context, request);
  if (!own.ok()) return own.status();
  const auto client = context.Connect();
  if (!client.ok()) return client.status();
  return (*client)->ValidateWave(request);
}

int RunExplain(Context& context, const ExplainFlags& flags) {
  const auto wave = ReadExplainedWave(flags);
  if (!wave.ok()) return context.Usage(wave.status());
  if (!wave->ignored_keys.empty()) {
    context.err << "bwrtctl: ignored keys: " << absl::StrJoin(wave->ignored_keys, ", ") << std::endl;
  }
  // Our own daemon has ended before anything is printed: a reader that goes away kills us without further notice.
  const auto response = Ask(context, wave->request);
  if (!response.ok()) return context.Fail(response.status());
  const TileDrawing drawing = DrawWave(wave->name, wave->request, *response);
  if (!flags.svg.empty()) {
    if (absl::Status status = WriteFile(flags.svg, TileGridSvg(drawing)); !status.ok()) return context.Usage(status);
  }
  if (context.json) {
    PrintJson(ExplainJson(drawing, flags, *response), context.out);
  } else {
    context.out << TileGridText(drawing);
    PrintEffective(response->effective(), context.out);
    context.out << std::flush;
  }
  return kExitDone;
}

}  // namespace

void AddExplainCommand(CLI::App& app, Context& context) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* command = app.add_subcommand(
      "explain",
      "Draw what a wave's spec means: order of tiles, tails, tokens, swap window. Without --server or "
      "BWRT_SERVER it asks a bwrtd of its own");
  command
      ->add_option("--spec", flags->spec,
                   "A planner's waves, or a bwrt.WaveSpec or bwrt.v1.SubmitWaveRequest in JSON; - for stdin")
      ->required();
  command->add_option("--wave", flags->wave, "Which wave of a plan, counted from 0 through all its windows");
  command->add_option("--m", flags->m, "Rows of C; default: what the file says, else those of the listed tiles");
  command->add_option("--n", flags->n, "Columns of C, likewise");
  command->add_option("--k", flags->k, "Depth; default: what the file says, else 512");
  command->add_option("--svg", flags->svg, "Write a picture there");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunExplain(context, *flags); }; });
}

}  // namespace bwrt::client
