// bwrtctl replay: a planner's recorded waves.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/progress.h"
#include "client/replay.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

void PrintFailures(const ReplayResult& result, std::ostream& err) {
  for (const ReplayFailure& failure : result.failures) {
    err << "bwrtctl: " << failure.wave << ": " << FormatError(failure.status) << std::endl;
  }
  if (result.failed > result.failures.size()) {
    err << "bwrtctl: and " << result.failed - result.failures.size() << " more" << std::endl;
  }
}

void PrintReplay(const Context& context, const ReplayOptions& options, const ReplayResult& result) {
  if (context.json) {
    Json json;
    json["waves"] = result.waves;
    json["verified"] = result.verified;
    json["failed"] = result.failed;
    json["tiles"] = result.tiles;
    json["max_rel_error"] = result.max_rel_error;
    json["seconds"] = result.seconds;
    PrintJson(json, context.out);
    return;
  }
  context.out << result.waves << " waves, " << result.tiles << " tiles in " << FormatSeconds(result.seconds) << ": ";
  if (options.verify) {
    context.out << result.verified << " verified, " << result.failed << " failed, worst tile "
                << absl::StreamFormat("%.2g", result.max_rel_error);
  } else {
    context.out << result.waves - result.failed << " done, " << result.failed << " failed";
  }
  context.out << std::endl;
}

int RunReplay(const Context& context, const std::string& file, ReplayOptions options) {
  if (options.verify && !options.tensor.empty() && !options.tensor_seed.has_value()) {
    return context.Usage(absl::InvalidArgumentError(
        "--verify cannot know a stored tensor's values: say with --tensor-seed which seed it was "
        "published with (weights set ... =random:SEED)"));
  }
  const auto plan = ReadPlan(file);
  if (!plan.ok()) return context.Usage(plan.status());
  if (!plan->ignored_keys.empty()) {
    context.err << "bwrtctl: ignored keys: " << absl::StrJoin(plan->ignored_keys, ", ") << std::endl;
  }
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  absl::StatusOr<ReplayResult> result;
  {
    Progress progress(context.err, context.terminal, "replay", plan->waves.size());
    options.on_progress = [&progress](uint64_t done) { progress.Update(done); };
    result = Replay(**client, *plan, options);
  }
  if (!result.ok()) return context.Fail(result.status());
  PrintFailures(*result, context.err);
  PrintReplay(context, options, *result);
  return result->failed == 0 ? kExitDone : kExitFailed;
}

}  // namespace

void AddReplayCommand(CLI::App& app, Context& context) {
  struct Flags {
    std::string file = {};
    ReplayOptions options = {};
  };
  auto flags = std::make_shared<Flags>();
  ReplayOptions& options = flags->options;
  CLI::App* command = app.add_subcommand("replay", "Run every wave of a planner's JSON");
  command->add_option("PLAN", flags->file, "A list of windows with waves, or a list of waves; - for stdin")->required();
  command->add_option("--k", options.k, "Depth of every wave")->capture_default_str();
  AddDType(*command, "--dtype", &options.dtype, "Type of A and W: f32 (default), f16, bf16");
  AddDType(*command, "--c-dtype", &options.c_dtype, "Type of C: f32 (default) or that of A and W");
  command->add_option("--seed", options.seed, "Of the operands")->check(CheckUnsigned)->capture_default_str();
  command->add_flag("--verify", options.verify, "Compare each tile with a reference");
  command->add_option("--model", options.model, "Model whose weights and window the waves obey");
  command->add_option("--tensor", options.tensor, "Take W from this tensor of the model");
  command->add_option("--tensor-seed", options.tensor_seed, "Seed the tensor was published with, to verify")
      ->check(CheckUnsigned);
  command->add_option("--in-flight", options.in_flight, "Waves at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  AddDuration(*command, "--timeout", &options.timeout, "Deadline of one wave; default 60s");
  command->callback([&context, flags] {
    context.command = [&context, flags] { return RunReplay(context, flags->file, flags->options); };
  });
}

}  // namespace bwrt::client
