// bwrtctl weights: models, their versions, and the updates that make new ones.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/models.h"
#include "client/commands/output.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

constexpr char kFooter[] =
    "Examples:\n"
    "  bwrtctl weights push m --tensor w:f32:512x256=w.bin --npy b=b.npy --policy wait\n"
    "\n"
    "  ID=$(bwrtctl weights begin m)\n"
    "  bwrtctl weights stage $ID --tensor w:f32:512x256=w.bin\n"
    "  bwrtctl weights precommit $ID\n"
    "  bwrtctl weights commit $ID --policy wait\n"
    "\n"
    "  bwrtctl weights list m\n"
    "  bwrtctl weights rollback m --to 6\n"
    "\n"
    "Exit status: 0 done, 1 the work failed, 2 usage, 3 cannot reach the server.";

int RunList(const Context& context, const std::string& model) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  if (!model.empty()) {
    const auto response = (*client)->GetModel(model);
    if (!response.ok()) return context.Fail(response.status());
    if (context.json) {
      PrintJson(ToJson(*response), context.out);
    } else {
      PrintModel(*response, context.out);
    }
    return kExitDone;
  }
  const auto response = (*client)->ListModels();
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    PrintModels(*response, context.out);
  }
  return kExitDone;
}

}  // namespace

void AddWeightsCommands(CLI::App& app, Context& context) {
  CLI::App* weights = app.add_subcommand("weights", "Models, their versions and tensors, and the updates of them");
  weights->require_subcommand(1);
  auto model = std::make_shared<std::string>();
  CLI::App* list = weights->add_subcommand("list", "All models, or one with its window, tensors and kept versions");
  list->add_option("MODEL", *model, "Show this one");
  list->callback([&context, model] { context.command = [&context, model] { return RunList(context, *model); }; });
  AddWeightsReadCommand(*weights, context);
  AddWeightsSetCommand(*weights, context);
  AddWeightsPushCommand(*weights, context);
  AddWeightsLoadCommand(*weights, context);
  AddWeightsVersionCommands(*weights, context);
  AddWeightsBeginCommand(*weights, context);
  AddWeightsStageCommand(*weights, context);
  AddWeightsUpdateCommands(*weights, context);
  const auto group = [weights](const char* name, std::initializer_list<const char*> commands) {
    for (const char* command : commands) weights->get_subcommand(command)->group(name);
  };
  group("Models and versions", {"list", "read", "rollback", "delete"});
  group("New versions in one call", {"set", "push", "load"});
  group("Updates step by step", {"begin", "stage", "precommit", "commit", "abort", "updates", "show"});
  // Last, as the commands above would take it over.
  weights->footer(kFooter);
}

}  // namespace bwrt::client
